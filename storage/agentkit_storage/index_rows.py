"""An index in memory and how far into SQL it reaches: made from a space's rows, and kept in step.

Knows SQL and vectors; knows no file and no thread.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from agentkit_storage import segments, vector_rows
from agentkit_storage.schema import RemovalRow
from agentkit_storage.vector_kinds import IndexSettings, Kind
from agentkit_storage.vectors import VectorIndex

Connect = Callable[[], AbstractContextManager[sa.Connection]]
Choice = Callable[[int], Kind]  # which kind so many vectors get


@dataclass(slots=True)
class Held:
    """An index, the last row and the last removal that are in it, and what its snapshot has."""

    index: VectorIndex
    last_row: int = 0
    last_removal: int = 0
    saved: tuple[int, int] | None = None

    @property
    def reach(self) -> tuple[int, int]:
        return self.last_row, self.last_removal


def make(connect: Connect, name: str, choose: Choice, settings: IndexSettings) -> Held | None:
    """Return an index of all vectors of a space; None where nobody claimed that space yet.

    No transaction is open while it is trained, if `connect` opens a new one each time.
    """
    with connect() as conn:
        if (space := segments.space(conn, name)) is None:
            return None
        count, _ = vector_rows.totals(conn, name)
        kind = choose(count)
        wanted = settings.sample_size(kind, count)
        sample = vector_rows.sample(conn, name, wanted, settings.seed)
    held = Held(VectorIndex(space.size, kind, count, sample))
    with connect() as conn:
        # Removals so far concern rows that SQL no longer has.
        newest = sa.select(sa.func.max(RemovalRow.id)).where(RemovalRow.space == name)
        held.last_removal = conn.scalar(newest) or 0
        follow(conn, name, held)
    if sample is not None:
        # In order of id the first ones would be of few videos.
        some = sample[:: -(-len(sample) // settings.recall_queries)]
        held.index.tune(some, settings.recall, settings.probes)
    return held


def follow(conn: sa.Connection, name: str, held: Held, most: int | None = None) -> bool:
    """Add the rows and take away the removals since the last time; one moment of SQL.

    Return False where it would hold more than `most` vectors; it is then behind SQL.
    """
    for ids, vectors in vector_rows.after(conn, name, held.last_row):
        held.index.add(ids, vectors)
        held.last_row = int(ids[-1])
        if most is not None and len(held.index) > most:
            return False
    query = sa.select(RemovalRow).where(RemovalRow.space == name)
    query = query.where(RemovalRow.id > held.last_removal).order_by(RemovalRow.id)
    for row in conn.execute(query):
        held.index.remove(np.frombuffer(row.segment_ids, "<i8"))
        held.last_removal = row.id
    return True


def require_same(conn: sa.Connection, name: str, held: Held) -> None:
    """Raise ValueError unless the ids are SQL's: a database put back from a copy has fewer rows."""
    ids = held.index.ids
    if vector_rows.totals(conn, name) != (len(ids), int(ids.sum())):
        raise ValueError("snapshot of other rows")
