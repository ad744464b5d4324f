"""Who holds a video's lock, said for people: the lock itself is the system's or the server's.

What cannot be said at once, because another process is writing, is said at the next beat.
"""

import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from agentkit_storage.database import Database
from agentkit_storage.errors import StoreError
from agentkit_storage.schema import OwnerRow
from agentkit_storage.types import Owner

logger = logging.getLogger(__name__)

BEAT_S = 10.0


def select(conn: sa.Connection, name: str) -> Owner | None:
    row = conn.execute(sa.select(OwnerRow).where(OwnerRow.name == name)).one_or_none()
    return None if row is None else Owner(row.host, row.pid, row.since, row.beat_at)


@contextmanager
def said(db: Database, name: str) -> Iterator[None]:
    """Say that this process holds the lock `name`, again every ten seconds, until the end."""
    since, ended = time.time(), threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            _say(db, name, since)

    _say(db, name, since)
    heart = threading.Thread(target=beat, name=f"owner of {name[:12]}", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
        _say(db, name, None)


def _say(db: Database, name: str, since: float | None) -> None:
    """Put this process in place of who was there before; without `since`, nobody."""
    me = {"host": platform.node(), "pid": os.getpid(), "since": since, "beat_at": time.time()}
    try:
        with db.write("owner", wait=False) as conn:
            conn.execute(sa.delete(OwnerRow).where(OwnerRow.name == name))
            if since is not None:
                conn.execute(sa.insert(OwnerRow).values(name=name, **me))
    except StoreError as error:
        logger.debug("the owner of %s was not said: %s", name[:12], error)
