"""A store in a folder of its own, and other processes that work on it."""

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from agentkit_storage import Store, testing

# Forked from a server that has loaded everything: a fresh interpreter takes a second each.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["pytest", "alembic.command", "agentkit_storage.testing"])


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


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder) as store:
        yield store


@pytest.fixture
def start_worker(folder: Path) -> StartWorker:
    """Start `testing.run` on the store: start_worker(fault, "ingest", video_id, chunks)."""

    def start(fault: str, call: str, *arguments: object) -> Worker:
        said, tell = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(
            target=testing.run, args=(folder, fault, tell, call, *arguments), daemon=True
        )
        process.start()
        tell.close()
        return Worker(process, said)

    return start
