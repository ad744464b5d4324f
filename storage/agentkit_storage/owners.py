"""Who holds a video's lock, said for people. Works inside a given transaction."""

import os
import platform
import time

import sqlalchemy as sa

from agentkit_storage.schema import OwnerRow
from agentkit_storage.types import Owner


def select(conn: sa.Connection, name: str) -> Owner | None:
    row = conn.execute(sa.select(OwnerRow).where(OwnerRow.name == name)).one_or_none()
    return None if row is None else Owner(row.host, row.pid, row.since, row.beat_at)


def take(conn: sa.Connection, name: str) -> None:
    """Say that this process holds the lock, in place of whoever held it before."""
    now = time.time()
    conn.execute(sa.delete(OwnerRow).where(OwnerRow.name == name))
    me = {"host": platform.node(), "pid": os.getpid()}
    conn.execute(sa.insert(OwnerRow).values(name=name, **me, since=now, beat_at=now))


def beat(name: str) -> "sa.Update":
    """Return the statement that says: still at work."""
    mine = (OwnerRow.name == name) & (OwnerRow.pid == os.getpid())
    return sa.update(OwnerRow).where(mine).values(beat_at=time.time())


def leave(conn: sa.Connection, name: str) -> None:
    mine = (OwnerRow.name == name) & (OwnerRow.pid == os.getpid())
    conn.execute(sa.delete(OwnerRow).where(mine))
