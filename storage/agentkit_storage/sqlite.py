"""A store's database as one SQLite file."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.exc import DBAPIError

from agentkit_storage import locks
from agentkit_storage.database import BUSY_TIMEOUT_S, Database, OnWait
from agentkit_storage.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from agentkit_storage.files import file_error, nbytes_of_files

_DAMAGE = ("malformed", "not a database", "decode")
_WORDS_CHECK = "INSERT INTO words (words, rank) VALUES ('integrity-check', 1)"


class SQLite(Database):
    """A file, with the locks between processes in a folder beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            pool_size=8,
            max_overflow=56,
        )
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        super().__init__(engine)

    def exclusive(
        self, name: str, wait: bool, on_wait: OnWait | None = None
    ) -> AbstractContextManager[bool]:
        return locks.exclusive(self._locks / f"{name}.lock", wait, on_wait)

    def nbytes(self) -> int:
        return nbytes_of_files(self.path.parent, f"{self.path.name}*")

    def problems(self) -> Iterator[str]:
        with self.read() as conn:
            checked = conn.execute(sa.text("PRAGMA integrity_check"))
            yield from (" ".join(row[0].split()) for row in checked if row[0] != "ok")
            for row in conn.execute(sa.text("PRAGMA foreign_key_check")):
                yield f"a row of {row[0]} belongs to nothing"
        try:
            with self.write("verify") as conn:  # the only way to ask FTS5
                conn.execute(sa.text(_WORDS_CHECK))
        except StoreDamagedError:
            yield "the words do not match the texts; `agentkit store rebuild` makes them anew"

    @property
    def _locks(self) -> Path:
        return self.path.parent / "locks"

    def _options(self, writes: bool, waits: bool) -> dict[str, object]:
        return {"writes": writes, "waits": waits}

    def _take_turn(self, conn: sa.Connection, wait: bool) -> None:
        """Nothing to do: BEGIN IMMEDIATE has the turn."""

    def _first_use(self) -> AbstractContextManager[object]:
        # Two first connections ever cannot both switch to WAL.
        return FileLock(self._locks / "migrate.lock")

    def _translated(self, error: DBAPIError) -> StoreError:
        message, path = " ".join(str(error.orig).split()), self.path
        if "is full" in message:
            return StoreFullError(f"{path.parent}: the disk is full; make room and run it again")
        if "locked" in message:
            return StoreBusyError(f"{path}: another process is writing; wait for it and try again")
        if any(sign in message for sign in _DAMAGE):
            return StoreDamagedError(
                f"{path}: the database is damaged ({message}); restore it from a copy, or move"
                " the store away and ingest again"
            )
        return StoreError(f"{path}: {message}; check the store folder's room and permissions")

    def _of_system(self, error: OSError) -> StoreError:
        return file_error(error, self.path)


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(conn: sa.Connection) -> None:
    options = conn.get_execution_options()
    if not options.get("writes", False):
        conn.exec_driver_sql("BEGIN")
        return
    # A deferred writer that must upgrade its lock fails at once instead of waiting.
    if options.get("waits", True):
        conn.exec_driver_sql("BEGIN IMMEDIATE")
        return
    conn.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        conn.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        conn.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
