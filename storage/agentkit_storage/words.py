"""Search by words, by bm25: SQLite's FTS5, or PostgreSQL's full text search.

FTS5's table holds no text of its own: it reads the segments', and triggers keep it in step
within the same transaction, deletions by cascade included.
"""

import re
from collections.abc import Sequence

import sqlalchemy as sa

from agentkit_storage import postgres_search
from agentkit_storage.filters import of_segments
from agentkit_storage.schema import SegmentRow
from agentkit_storage.types import Filter

Term = tuple[str, bool]

_MAX_TERMS = 64
_WORDS = sa.table("words", sa.column("rowid"))


def search_words(conn: sa.Connection, query: str, k: int, where: Filter) -> list[tuple[int, float]]:
    """Return up to `k` (segment id, bm25 score) with any of the words, best first."""
    terms = terms_in(query)
    if not terms or k < 1:
        return []
    found = _by_fts5(terms) if conn.dialect.name == "sqlite" else postgres_search.matches(terms)
    search = (
        sa.select(SegmentRow.id, found.c.score)
        .join(found, SegmentRow.id == found.c.segment_id)
        .where(*of_segments(conn, where))
        .order_by(found.c.score.desc(), SegmentRow.id)
        .limit(k)
    )
    return [(id_, float(score)) for id_, score in conn.execute(search)]


def _by_fts5(terms: Sequence[Term]) -> sa.Subquery:
    score: sa.Label[float] = sa.literal_column("-bm25(words)").label("score")
    match = sa.text("words MATCH :query").bindparams(query=match_expression(terms))
    return sa.select(_WORDS.c.rowid.label("segment_id"), score).where(match).subquery("matches")


def keep(conn: sa.Connection, chunk_id: int | None = None) -> None:
    """Write what searches read of a chunk that was just added, or of everything, anew."""
    if conn.dialect.name == "postgresql":
        postgres_search.fill(conn, chunk_id)
    elif chunk_id is None:  # for a chunk the triggers have done it
        conn.execute(sa.text("INSERT INTO words (words) VALUES ('rebuild')"))


def terms_in(query: str) -> list[Term]:
    """Return the terms of what a person typed, any of which may match: (words, is a beginning).

    "quoted words" are one phrase and wor* matches by its beginning; nothing else is an operator.
    """
    terms = [_term(*found) for found in re.findall(r'"([^"]*)"|([^\s"]+)', query)]
    return [term for term in dict.fromkeys(terms) if term[0]][:_MAX_TERMS]


def match_expression(terms: Sequence[Term]) -> str:
    """Return terms as FTS5 writes them."""
    return " OR ".join(f'"{words}"' + "*" * begins for words, begins in terms)


def _term(phrase: str, word: str) -> Term:
    pieces = [piece for piece in re.findall(r"\w+", phrase or word) if any(map(str.isalnum, piece))]
    return " ".join(pieces), word.endswith("*")
