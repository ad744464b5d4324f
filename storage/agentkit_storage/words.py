"""Search by words. The one place that differs by database; SQLite's FTS5 now.

The words table holds no text of its own: it reads the segments', and triggers keep it in step
within the same transaction, deletions by cascade included.
"""

import re
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, text

from agentkit_storage.errors import StoreError
from agentkit_storage.types import Hit

_MAX_TERMS = 64
_SEARCH = """
SELECT segment.video_id, chunk.number, segment.start_s, segment.end_s, -bm25(words) AS score,
       segment.kind, segment.text
FROM words JOIN segment ON segment.id = words.rowid JOIN chunk ON chunk.id = segment.chunk_id
WHERE words MATCH :query {videos}
ORDER BY score DESC, segment.id LIMIT :k
"""


def search_words(
    conn: Connection, query: str, k: int, video_ids: Sequence[str] | None
) -> list[Hit]:
    """Return the best segments for any of the words, by bm25."""
    if conn.dialect.name != "sqlite":
        raise StoreError(f"search by words is not there for {conn.dialect.name}; use vectors")
    match = match_expression(query)
    if not match:
        return []
    if video_ids is None:
        rows = conn.execute(text(_SEARCH.format(videos="")), {"query": match, "k": k})
    else:
        search = text(_SEARCH.format(videos="AND segment.video_id IN :videos"))
        search = search.bindparams(bindparam("videos", expanding=True))
        rows = conn.execute(search, {"query": match, "k": k, "videos": list(video_ids)})
    return [Hit(*row) for row in rows]


def match_expression(query: str) -> str:
    """Return an FTS5 expression for what a person typed: any term may match.

    "quoted words" are one phrase and wor* matches by its beginning; nothing else is an operator.
    """
    terms = [_term(*found) for found in re.findall(r'"([^"]*)"|([^\s"]+)', query)]
    return " OR ".join(list(dict.fromkeys(filter(None, terms)))[:_MAX_TERMS])


def _term(phrase: str, word: str) -> str:
    pieces = [piece for piece in re.findall(r"\w+", phrase or word) if any(map(str.isalnum, piece))]
    if not pieces:
        return ""
    return '"' + " ".join(pieces) + '"' + ("*" if word.endswith("*") else "")
