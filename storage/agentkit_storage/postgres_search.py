"""Search where the database is PostgreSQL: words by its full text search, vectors by pgvector.

Both lie in `segment_search`, a row for each segment, written in the segment's own transaction and
gone with it. Everything in it follows from the segments; `fill` makes it anew.
"""

import itertools
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from agentkit_storage import segments, vector_rows
from agentkit_storage.filters import of_segments
from agentkit_storage.postgres import PostgreSQL
from agentkit_storage.records import unit_vector
from agentkit_storage.schema import SegmentRow
from agentkit_storage.types import Filter
from agentkit_storage.vector_kinds import IndexSettings, Kind

logger = logging.getLogger(__name__)

LOCK = "index of vectors"
_BATCH = 2000
_MOST_CHARS = 200_000  # of a text whose words are found; PostgreSQL takes a megabyte of them
_MOST_IN_PHRASE = 256  # the server refuses some thousands
_K1, _B, _LEAST_IDF = 1.2, 0.75, 1e-6  # of bm25, as SQLite's FTS5 has them

_SEARCH = sa.table(
    "segment_search",
    *map(sa.column, ("segment_id", "space", "words", "num_words", "embedding")),
)
# Many rows by one statement: the trigger that counts words runs once for each, and what it wrote
# before in the same transaction stands in its way.
_INSERT = sa.text(
    "INSERT INTO segment_search (segment_id, space, words, num_words, embedding)"
    " SELECT id, space, to_tsvector('agentkit', words), num_words, CAST(embedding AS halfvec)"
    " FROM unnest(CAST(:id AS bigint[]), CAST(:space AS text[]), CAST(:words AS text[]),"
    " CAST(:num_words AS integer[]), CAST(:embedding AS text[]))"
    " AS given (id, space, words, num_words, embedding)"
)
# One row for each term of a query; a single word counts as often as it stands in a text.
_MATCHES = """
WITH term AS ({terms}),
total AS (SELECT texts, words::float8 / greatest(texts, 1) AS mean FROM word_total),
counted AS (
    SELECT query, lexeme, ln((total.texts - n + 0.5) / (n + 0.5)) AS idf
    FROM total, term, LATERAL (
        SELECT count(*) AS n FROM segment_search WHERE words @@ query
    ) AS matching
),
found AS (
    SELECT segment_id, idf, num_words, coalesce((
        SELECT cardinality(each.positions) FROM unnest(words) AS each
        WHERE each.lexeme = counted.lexeme
    ), 1) AS times
    FROM segment_search JOIN counted ON words @@ query
)
SELECT segment_id, sum(
    greatest(idf, {least_idf}) * times * ({k1} + 1)
    / (times + {k1} * (1 - {b} + {b} * num_words / greatest(mean, 1e-9)))
) AS score
FROM found, total GROUP BY segment_id
"""
_TERM = (
    "SELECT to_tsquery('agentkit', :query_{at}) AS query,"
    " (ts_lexize('agentkit_stem', :word_{at}))[1] AS lexeme"
)


def fill(conn: sa.Connection, chunk_id: int | None = None) -> None:
    """Write what searches read of a chunk's segments, or of all of them anew."""
    query = sa.select(SegmentRow.id, SegmentRow.space, SegmentRow.text, SegmentRow.vector)
    query = query.add_columns(SegmentRow.video_id, SegmentRow.start_s, SegmentRow.end_s)
    if chunk_id is None:
        conn.execute(sa.delete(_SEARCH))
    else:
        query = query.where(SegmentRow.chunk_id == chunk_id)
    a_few = {"stream_results": True, "yield_per": _BATCH}  # all texts at once are gigabytes
    with conn.execute(query.order_by(SegmentRow.id), execution_options=a_few) as result:
        for rows in result.partitions():
            made = [_searchable(row) for row in rows]
            conn.execute(_INSERT, {name: [row[name] for row in made] for name in made[0]})


def _searchable(row: "sa.Row[*tuple[Any, ...]]") -> dict[str, object]:
    found = _as_many_as_fit(words_in(row.text[:_MOST_CHARS]))
    embedding = None if row.vector is None else _literal(segments.unpack(row))
    return {
        "id": row.id,
        "space": row.space,
        "words": " ".join(found),
        "num_words": len(found),
        "embedding": embedding,
    }


def _as_many_as_fit(words: list[str]) -> list[str]:
    """Return the words up to the limit: without accents one letter may be six."""
    ends = itertools.accumulate(len(word) + 1 for word in words)
    return [word for word, end in zip(words, ends, strict=True) if end <= _MOST_CHARS]


def words_in(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents, before their stemming."""
    plain = unicodedata.normalize("NFKD", text.lower())
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", kept)


def matches(terms: Sequence[tuple[str, bool]]) -> sa.Subquery:
    """Return what has any of the terms, each (words, is a beginning): segment_id and bm25 score."""
    values: dict[str, object] = {}
    kept = [
        (words[:_MOST_IN_PHRASE], begins) for text, begins in terms if (words := words_in(text))
    ]
    for at, (words, begins) in enumerate(kept):
        values[f"query_{at}"] = " <-> ".join(f"'{word}'" for word in words) + ":*" * begins
        values[f"word_{at}"] = words[0] if len(words) == 1 and not begins else None
    listed = " UNION ALL ".join(_TERM.format(at=at) for at in range(len(kept)))
    nothing = "SELECT NULL::tsquery AS query, NULL::text AS lexeme WHERE false"
    statement = _MATCHES.format(terms=listed or nothing, k1=_K1, b=_B, least_idf=_LEAST_IDF)
    types = {name: sa.bindparam(name, value, sa.Text) for name, value in values.items()}
    found = sa.text(statement).bindparams(*types.values())
    return found.columns(sa.column("segment_id"), sa.column("score")).subquery("matches")


class PgVectors:
    """The vectors of one space, searched by the server. Does what `SpaceIndex` does with FAISS.

    Up to 20,000 vectors are all looked at; above, an HNSW index of pgvector is made when a writer
    closes the store, or by `rebuild`.
    """

    def __init__(self, db: PostgreSQL, name: str, settings: IndexSettings | None = None) -> None:
        self._db = db
        self._name = name
        self._settings = settings or IndexSettings()

    def search(
        self, conn: sa.Connection, vector: NDArray[np.float32], k: int, where: Filter
    ) -> list[tuple[int, float]]:
        """Return up to `k` (segment id, cosine), best first, of those that `where` lets through.

        Raises:
            VectorError: NaN, no direction, or another size than the space's.
            DamagedChunkError: a stored vector fails its checksum.
        """
        size = self._size(conn)
        vector = unit_vector(vector, "the query", size)
        if size is None or k < 1:
            return []
        wanted = k * self._settings.candidates
        near = self._near(conn, vector, size, wanted, where)
        return vector_rows.rescored(conn, self._name, vector, near)[:k]

    def save(self, wrote: bool = True) -> None:
        """Let who `wrote` make the index that the space is large enough for, if there is none."""
        if wrote and self._missing() is not None:
            with self._alone(wait=False) as is_alone:  # whoever makes one goes on to the others
                if is_alone and (size := self._missing()) is not None:
                    self._make_index(size)

    def rebuild(self) -> None:
        """Make the index anew where there is one, or should be; the rows are `fill`'s to make."""
        with self._alone(wait=True):
            with self._db.read() as conn:
                is_indexed = self._is_indexed(conn)
            if not is_indexed:
                if (size := self._missing()) is not None:
                    self._make_index(size)
                return
            begun = self._index_name.rstrip('"') + '_ccnew"'  # by one that was killed
            self._db.run_alone(f"DROP INDEX CONCURRENTLY IF EXISTS {begun}")
            self._db.run_alone(f"REINDEX INDEX CONCURRENTLY {self._index_name}")

    def _near(
        self, conn: sa.Connection, vector: NDArray[np.float32], size: int, k: int, where: Filter
    ) -> Sequence[int]:
        """Return the ids of up to `k` near ones; all are looked at where an index finds too few."""
        query = self._nearest(size, vector).where(*of_segments(conn, where)).limit(k)
        conn.execute(sa.text("SET LOCAL hnsw.iterative_scan = strict_order"))
        conn.execute(sa.text(f"SET LOCAL hnsw.ef_search = {min(max(k, 40), 1000)}"))
        near = conn.scalars(query).all()
        if len(near) == k or not self._is_indexed(conn):
            return near
        conn.execute(sa.text("SET LOCAL enable_indexscan = off"))
        near = conn.scalars(query).all()
        conn.execute(sa.text("SET LOCAL enable_indexscan = on"))
        return near

    def _nearest(self, size: int, vector: NDArray[np.float32]) -> "sa.Select[int]":
        distance: sa.ColumnElement[float] = sa.literal_column(
            f"({self._expression(size)}) <#> '{_literal(vector)}'"
        )
        query = sa.select(SegmentRow.id).join(_SEARCH, _SEARCH.c.segment_id == SegmentRow.id)
        # Written out, not bound: the index is for this space and this size alone.
        mine = sa.literal_column(f"segment_search.space = '{self._name}'", sa.Boolean)
        has_vector = sa.literal_column("segment_search.embedding IS NOT NULL", sa.Boolean)
        return query.where(mine, has_vector).order_by(distance)

    def _make_index(self, size: int) -> None:
        logger.info("%s: the server makes an index of its vectors", self._name)
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {self._index_name}"
        self._db.run_alone(drop)  # one that was begun
        self._db.run_alone(
            f"CREATE INDEX CONCURRENTLY {self._index_name} ON segment_search USING hnsw"
            f" (({self._expression(size)}) halfvec_ip_ops)"
            f" WHERE space = '{self._name}' AND embedding IS NOT NULL"
        )

    def _missing(self) -> int | None:
        """Return the size of the space's vectors where it is large and has no index; else None."""
        with self._db.read() as conn:
            size, is_indexed = self._size(conn), self._is_indexed(conn)
            count, _ = vector_rows.totals(conn, self._name)
        is_large = self._settings.kind_for(count) is not Kind.FLAT
        return size if is_large and not is_indexed else None

    def _alone(self, wait: bool) -> AbstractContextManager[bool]:
        """Let one process at a time make indexes, of any space: two of one table are a deadlock."""
        return self._db.exclusive(LOCK, wait)

    def _is_indexed(self, conn: sa.Connection) -> bool:
        valid = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        return bool(conn.scalar(valid, {"name": self._index_name}))

    def _size(self, conn: sa.Connection) -> int | None:
        found = segments.space(conn, self._name)
        return None if found is None else found.size

    @property
    def _index_name(self) -> str:
        return '"ix_near_' + self._name[:48] + '"'

    @staticmethod
    def _expression(size: int) -> str:
        return f"segment_search.embedding::halfvec({size})"


def _literal(vector: Iterable[float]) -> str:
    return "[" + ",".join(f"{float(number):.8g}" for number in vector) + "]"
