"""The connection to SQL: transactions, migrations, and the database's errors in our words."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.exc import DBAPIError

from agentkit_storage import faults
from agentkit_storage.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)
from agentkit_storage.files import file_error
from agentkit_storage.schema import REVISION

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 60.0
_VERSION = "alembic_version"


class Database:
    """One SQLite file. Readers see one moment and are never blocked; writers queue."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            pool_size=8,
            max_overflow=56,
        )
        sa.event.listen(self._engine, "connect", _prepare)
        sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(writes=True)

    @property
    def path(self) -> Path:
        return self._path

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one moment of the database."""
        with _our_errors(self._path), self._engine.begin() as conn:
            yield conn

    @contextmanager
    def write(self, point: str) -> Iterator[sa.Connection]:
        """Give a connection whose writes all happen at the end, or none. One writer at a time."""
        with _our_errors(self._path), self._writer.begin() as conn:
            yield conn
            faults.point(f"{point}.rows")
        faults.point(f"{point}.commit")

    def migrate(self, lock: Path, revision: str = "head") -> None:
        """Bring the tables to this version's; made by another process at once, or not at all.

        Raises:
            StoreVersionError: a newer version has been here.
        """
        # The lock also covers the first connection ever: two at once cannot both switch to WAL.
        with FileLock(lock):
            if self._revision() != REVISION:
                with self.write("migrate") as conn:
                    _upgrade(conn, revision)

    def _revision(self) -> str | None:
        with self.read() as conn:
            if not sa.inspect(conn).has_table(_VERSION):
                return None
            return conn.execute(sa.text(f"SELECT version_num FROM {_VERSION}")).scalar()  # noqa: S608 — a constant


def _upgrade(conn: sa.Connection, revision: str) -> None:
    # Only a store that is new or old pays for loading alembic.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "agentkit_storage:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise StoreVersionError(
            "the store was made by a newer version; update agentkit, or name another store"
        ) from error


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(conn: sa.Connection) -> None:
    # A deferred writer that must upgrade its lock fails at once instead of waiting.
    writes = conn.get_execution_options().get("writes", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _our_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _translated(str(error.orig), path) from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise file_error(error, path) from error


def _translated(message: str, path: Path) -> StoreError:
    if "is full" in message:
        return StoreFullError(f"{path.parent}: the disk is full; make room and run it again")
    if "locked" in message:
        return StoreBusyError(f"{path}: another process is writing; wait for it and try again")
    if "malformed" in message or "not a database" in message:
        return StoreDamagedError(
            f"{path}: the database is damaged ({message}); restore it from a copy, or move the "
            "store away and ingest again"
        )
    return StoreError(f"{path}: {message}; check the store folder's room and permissions")
