"""A store of its own, on SQLite and on PostgreSQL, and other processes that work on it."""

import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import sqlalchemy as sa

from agentkit_storage import Store, testing

from .postgres_server import running

# Forked from a server that has loaded everything: a fresh interpreter takes a second each.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["pytest", "alembic.command", "agentkit_storage.testing"])
DATABASES = ("sqlite", "postgresql")
_COUNT = itertools.count()


@dataclass
class Worker:
    """Another process, and what it said was done."""

    process: BaseProcess
    said: Connection

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    def finish(self) -> tuple[int | None, list[str]]:
        """Wait for its end; return its exit code and its lines."""
        lines = []
        while True:
            try:
                lines.append(self.said.recv())
            except EOFError:
                break
        self.process.join()
        return self.process.exitcode, lines


StartWorker = Callable[..., Worker]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let every test of a store run on both databases, but for those about one of them."""
    if "location" in metafunc.fixturenames:
        marked = [name for name in DATABASES if metafunc.definition.get_closest_marker(name)]
        metafunc.parametrize("location", marked or DATABASES, indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.Engine]:
    """A server for all tests of this process, or a reason to skip."""
    with running() as url:
        if isinstance(url, str):
            pytest.skip(url)
        server = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        yield server
        server.dispose()


@pytest.fixture(scope="session")
def empty_store(postgres: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with an empty store, to copy: quicker than to migrate each."""
    with postgres.connect() as conn:
        conn.execute(sa.text("CREATE DATABASE empty_store"))
    Store.open(_url(postgres, "empty_store", tmp_path_factory.mktemp("empty"))).close()
    return "empty_store"


def _url(server: sa.Engine, database: str, folder: Path) -> str:
    url = server.url.set(drivername="postgresql", database=database)
    return url.update_query_dict({"blobs": str(folder)}).render_as_string()


@pytest.fixture
def location(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """What `Store.open` takes: a store that is empty; its blobs are in `folder` in any case."""
    if request.param == "sqlite":
        yield str(folder)
        return
    server: sa.Engine = request.getfixturevalue("postgres")
    empty: str = request.getfixturevalue("empty_store")
    database = f"store_{next(_COUNT)}"
    with server.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {database} TEMPLATE {empty}"))
    try:
        yield _url(server, database, folder)
    finally:
        with server.connect() as conn:
            conn.execute(sa.text(f"DROP DATABASE {database} WITH (FORCE)"))


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as store:
        yield store


@pytest.fixture
def start_worker(location: str) -> StartWorker:
    """Start `testing.run` on the store: start_worker(fault, "ingest", video_id, chunks)."""

    def start(fault: str, call: str, *arguments: object) -> Worker:
        said, tell = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(
            target=testing.run, args=(location, fault, tell, call, *arguments), daemon=True
        )
        process.start()
        tell.close()
        return Worker(process, said)

    return start
