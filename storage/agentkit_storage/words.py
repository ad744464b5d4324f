"""Search by words. The one place that differs by database; SQLite's FTS5 now.

The words table holds no text of its own: it reads the segments', and triggers keep it in step
within the same transaction, deletions by cascade included.
"""

import re

import sqlalchemy as sa

from agentkit_storage.errors import StoreError
from agentkit_storage.filters import of_segments
from agentkit_storage.schema import ChunkRow, SegmentRow
from agentkit_storage.types import Filter, Hit

_MAX_TERMS = 64
_WORDS = sa.table("words", sa.column("rowid"))


def search_words(conn: sa.Connection, query: str, k: int, where: Filter) -> list[Hit]:
    """Return the best segments for any of the words, by bm25."""
    if conn.dialect.name != "sqlite":
        raise StoreError(f"search by words is not there for {conn.dialect.name}; use vectors")
    match = match_expression(query)
    if not match:
        return []
    row = SegmentRow
    score: sa.Label[float] = sa.literal_column("-bm25(words)").label("score")
    search = (
        sa.select(row.video_id, ChunkRow.number, row.start_s, row.end_s, score, row.kind, row.text)
        .join_from(_WORDS, row, row.id == _WORDS.c.rowid)
        .join(ChunkRow, ChunkRow.id == row.chunk_id)
        .where(sa.text("words MATCH :query"), *of_segments(conn, where))
        .order_by(sa.desc("score"), row.id)
        .limit(k)
    )
    return [Hit(*found) for found in conn.execute(search, {"query": match})]


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
