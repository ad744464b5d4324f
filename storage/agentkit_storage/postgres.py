"""A store's database on a PostgreSQL server with pgvector.

Writers queue for one advisory lock, so that ids rise in the order of the commits, as on SQLite;
readers take none.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError

from agentkit_storage.database import BUSY_TIMEOUT_S, Database, OnWait
from agentkit_storage.errors import (
    RecordError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)

_POLL_S = 0.5
_WRITING = "writing"
_UNSEARCHED = """
SELECT count(*) FROM segment LEFT JOIN segment_search ON segment_search.segment_id = segment.id
WHERE segment_search.segment_id IS NULL OR segment_search.space <> segment.space
    OR (segment_search.embedding IS NULL) <> (segment.vector IS NULL)
    OR (segment_search.words IS NULL) <> (segment.text IS NULL)
"""
# A holder whose machine is gone is noticed after about a minute; the system's default is hours.
_KEEPALIVES = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 4}
_SERVER_KEEPALIVES = " ".join(f"-c tcp_{name}={value}" for name, value in _KEEPALIVES.items())


class PostgreSQL(Database):
    """One database of a server; locks between processes are the server's."""

    def __init__(self, url: sa.URL) -> None:
        self.name = url.set(drivername="postgresql").render_as_string(hide_password=True)
        options = " ".join(url.normalized_query.get("options", ()))  # such as a search_path
        try:
            engine = sa.create_engine(
                url,
                connect_args={**_KEEPALIVES, "options": f"{options} {_SERVER_KEEPALIVES}"},
                pool_size=4,
                max_overflow=28,
                pool_pre_ping=True,  # a server may have been started anew since
            )
        except ImportError as error:
            raise StoreError(
                f"{self.name}: the driver of PostgreSQL is missing;"
                ' pip install "videoxl2-agentkit[postgres]"'
            ) from error
        super().__init__(engine)

    @contextmanager
    def exclusive(self, name: str, wait: bool, on_wait: OnWait | None = None) -> Iterator[bool]:
        key = _key(f"lock {name}")
        with self._our_errors():
            conn = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with self._our_errors():
                held = _held(conn, key, wait, on_wait)
            yield held
        finally:
            _let_go(conn)

    def run_alone(self, statement: str) -> None:
        """Run a statement that must not be in a transaction."""
        with self._our_errors(), self._engine.connect() as conn:
            conn.execution_options(isolation_level="AUTOCOMMIT")
            conn.exec_driver_sql(statement)

    def nbytes(self) -> int:
        with self.read() as conn:
            return int(conn.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)

    def problems(self) -> Iterator[str]:
        """Its files are the server's to check, with `pg_checksums` and `pg_amcheck`."""
        with self.read() as conn:
            lost = conn.scalar(sa.text(_UNSEARCHED))
        if lost:
            yield f"{lost} texts or vectors that no search finds; `agentkit store rebuild` mends it"

    def _options(self, writes: bool, waits: bool) -> dict[str, object]:
        # A writer's snapshot would be older than its turn: it reads what is committed by then.
        level = "READ COMMITTED" if writes else "REPEATABLE READ"
        return {"isolation_level": level, "postgresql_readonly": not writes}

    def _take_turn(self, conn: sa.Connection, wait: bool) -> None:
        key = _key(_WRITING)
        if wait:
            conn.execute(sa.text(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S:.0f}s'"))
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
        elif not conn.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(key))):
            raise _busy(self.name)

    def _first_use(self) -> AbstractContextManager[object]:
        return nullcontext()  # whoever writes first makes the tables; the others find them

    def _translated(self, error: DBAPIError) -> StoreError:
        message = " ".join(str(error.orig).split())
        code = getattr(error.orig, "sqlstate", None) or ""
        if code in ("53100", "53200"):
            return StoreFullError(f"{self.name}: the server has no room; make some and try again")
        if code == "55P03":
            return _busy(self.name)
        if isinstance(error, DataError) or code.startswith("54"):
            return RecordError(f"{self.name}: no value that a database takes ({message})")
        if code.startswith("XX"):
            return StoreDamagedError(
                f"{self.name}: the database is damaged ({message}); restore it from a copy"
            )
        if (code == "0A000" and "vector" in message) or code == "58P01":
            return StoreError(f"{self.name}: the server has no pgvector; install it there")
        if not code or code.startswith(("08", "57P")):
            remedy = "create it first" if "does not exist" in message else "is it running?"
            return StoreError(f"{self.name}: cannot be reached ({message}); {remedy}")
        return StoreError(f"{self.name}: {message}; check the URL and the user's rights")


def _held(conn: sa.Connection, key: int, wait: bool, on_wait: OnWait | None) -> bool:
    """Take a lock that belongs to the connection; say whether it was taken."""
    waited_s = 0.0
    while not conn.scalar(sa.select(sa.func.pg_try_advisory_lock(key))):
        if not wait:
            return False
        time.sleep(_POLL_S)
        waited_s += _POLL_S
        if on_wait is not None:
            on_wait(waited_s)
    return True


def _let_go(conn: sa.Connection) -> None:
    try:
        conn.execute(sa.select(sa.func.pg_advisory_unlock_all()))
    except DBAPIError:
        conn.invalidate()  # the connection is gone, and the lock with it
    conn.close()


def _busy(name: str) -> StoreBusyError:
    return StoreBusyError(f"{name}: another process is writing; wait for it and try again")


def _key(name: str) -> int:
    """Return the number that a lock has on the server."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
