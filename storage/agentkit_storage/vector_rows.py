"""A space's vectors as SQL has them: all in order, a sample, or those behind some hits."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from agentkit_storage import segments
from agentkit_storage.schema import SegmentRow
from agentkit_storage.vectors import Ids, best_first

Vectors = tuple[Ids, NDArray[np.float32]]  # [N], [N, E]

_BATCH = 4096
_IDS_PER_QUERY = 500  # databases limit the values of one statement


def totals(conn: sa.Connection, name: str) -> tuple[int, int]:
    """Return how many vectors a space has, and the sum of their ids."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(SegmentRow.id), 0))
    count, total = conn.execute(query.where(*_mine(name))).one()
    return int(count), int(total)


def after(conn: sa.Connection, name: str, last_id: int) -> Iterator[Vectors]:
    """Yield the vectors with ids above `last_id`, in order, some thousands at a time."""
    query = segments.vectors_of(name).where(SegmentRow.id > last_id).order_by(SegmentRow.id)
    with conn.execute(query) as result:
        for rows in result.partitions(_BATCH):
            yield _stacked(rows)


def sample(conn: sa.Connection, name: str, count: int, seed: int) -> NDArray[np.float32] | None:
    """Return `count` vectors [N, E] of a space, the same for the same rows; None for none."""
    if not count:
        return None
    ids = np.fromiter(conn.scalars(sa.select(SegmentRow.id).where(*_mine(name))), np.int64)
    ids.sort()
    chosen = np.random.default_rng(seed).choice(ids, min(count, len(ids)), replace=False)
    return np.concatenate([vectors for _, vectors in _of_ids(conn, name, np.sort(chosen).tolist())])


def rescored(
    conn: sa.Connection, name: str, query: NDArray[np.float32], ids: Sequence[int]
) -> list[tuple[int, float]]:
    """Return (id, cosine to the unit `query` [E]), best first, from the stored vectors."""
    scored: list[tuple[int, float]] = []
    for found, vectors in _of_ids(conn, name, ids):
        scored += zip(found.tolist(), (vectors @ query).tolist(), strict=True)
    return best_first(scored)


def _of_ids(conn: sa.Connection, name: str, ids: Sequence[int]) -> Iterator[Vectors]:
    for at in range(0, len(ids), _IDS_PER_QUERY):
        some = SegmentRow.id.in_(ids[at : at + _IDS_PER_QUERY])
        if rows := conn.execute(segments.vectors_of(name).where(some)).all():
            yield _stacked(rows)


def _stacked(rows: Sequence[Any]) -> Vectors:
    ids = np.array([row.id for row in rows], np.int64)
    return ids, np.stack([segments.unpack(row) for row in rows])


def _mine(name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return SegmentRow.space == name, SegmentRow.vector.is_not(None)
