"""The database behind a store: transactions, migrations, and its errors in our words.

What SQLite and PostgreSQL do in their own ways is in `sqlite.py` and `postgres.py`.
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from agentkit_storage import faults
from agentkit_storage.errors import (
    RecordError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)
from agentkit_storage.files import is_full
from agentkit_storage.schema import REVISION

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 60.0
_VERSION = "alembic_version"
_REVISION = "SELECT version_num FROM alembic_version"

OnWait = Callable[[float], None]


class Database(ABC):
    """One database. Readers see one moment and are never blocked; writers queue."""

    name: str  # as errors say it; no password

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**self._options(writes=False, waits=True))
        self._writer = engine.execution_options(**self._options(writes=True, waits=True))
        self._hasty = engine.execution_options(**self._options(writes=True, waits=False))

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one moment of the database."""
        with self._our_errors(), self._reader.begin() as conn:
            yield conn

    @contextmanager
    def write(self, point: str, wait: bool = True) -> Iterator[sa.Connection]:
        """Give a connection whose writes all happen at the end, or none. One writer at a time.

        Raises:
            StoreBusyError: another is writing: still after a minute, or at all without `wait`.
        """
        writer = self._writer if wait else self._hasty
        with self._our_errors(), writer.begin() as conn:
            self._take_turn(conn, wait)
            yield conn
            faults.point(f"{point}.rows")
        faults.point(f"{point}.commit")

    def migrate(self, revision: str = "head") -> str | None:
        """Bring the tables to this version's; made by another process at once, or not at all.

        Return the revision that was found; None in a new database.

        Raises:
            StoreVersionError: a newer version has been here.
        """
        with self._our_errors(), self._first_use():
            found = self.revision()
            if found != REVISION:
                with self.write("migrate") as conn:
                    _upgrade(conn, revision)
            return found

    def revision(self) -> str | None:
        """Return which migration was the last; None in a new database."""
        with self.read() as conn:
            if not sa.inspect(conn).has_table(_VERSION):
                return None
            found: str | None = conn.scalar(sa.text(_REVISION))
            return found

    @abstractmethod
    def exclusive(
        self, name: str, wait: bool, on_wait: OnWait | None = None
    ) -> AbstractContextManager[bool]:
        """Give True with the lock `name` held; False where another has it and `wait` is False.

        Freed by the system when its holder dies. `on_wait` is called now and again with the
        seconds waited so far.
        """

    @abstractmethod
    def nbytes(self) -> int:
        """Return what it takes on disk."""

    @abstractmethod
    def problems(self) -> Iterator[str]:
        """Yield what is wrong with its files, in words."""

    @abstractmethod
    def _options(self, writes: bool, waits: bool) -> dict[str, object]:
        """Return the execution options of a reader's and of a writer's transaction."""

    @abstractmethod
    def _take_turn(self, conn: sa.Connection, wait: bool) -> None:
        """Let no other write until the transaction ends."""

    @abstractmethod
    def _first_use(self) -> AbstractContextManager[object]:
        """Hold off other processes while the database is looked at for the first time."""

    @abstractmethod
    def _translated(self, error: DBAPIError) -> StoreError:
        """Return our error for one of the driver's."""

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._translated(error) from error
        except sa.exc.TimeoutError as error:
            raise StoreBusyError(
                f"{self.name}: all connections of this process are in use; do less at once"
            ) from error
        except UnicodeEncodeError as error:
            raise RecordError(
                f"{error.object[:80]!r} is no text; it has bytes that are not UTF-8"
            ) from error
        except OverflowError as error:
            raise RecordError(f"a number is too large for a database ({error})") from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise StoreDamagedError(
                f"{self.name}: the database has text that cannot be read; `agentkit store verify` "
                "says where, and ingesting that video again mends it"
            ) from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise self._of_system(error) from error

    def _of_system(self, error: OSError) -> StoreError:
        if is_full(error):
            return StoreFullError(f"{self.name}: the disk is full; make room and run it again")
        return StoreError(f"{self.name}: {error.strerror or error}")


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
