"""An ingest killed along its way, or out of room: what was answered before is answered again."""

import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit import Session
from agentkit.testing import make_video
from agentkit.types import Answer
from agentkit_storage import faults
from agentkit_storage.errors import StoreFullError

QUESTION = "Is there a cut, or much motion?"
KILLS = {"notes": 14, "videoxl2": 8}
OpenSession = Callable[..., Session]
Run = Callable[[Path, str], int | None]

_PROCESSES = multiprocessing.get_context("forkserver")
_LOADED = ["pytest", "torch", "transformers", "alembic.command", "agentkit.session"]


@pytest.fixture(scope="module")
def new_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """35 s: three chunks at one frame a second."""
    return make_video(tmp_path_factory.mktemp("new") / "new.mp4", seconds=35, fps=5)


@pytest.fixture
def run(
    tmp_path: Path, tiny_model: Path, tiny_videoxl2: Path, new_clip: Path
) -> Callable[[str], Run]:
    """Give what ingests `new_clip` in another process, with an encoder and a fault."""
    _PROCESSES.set_forkserver_preload(_LOADED)
    script = str(Path(__file__).parent / "killed_ingest.py")

    def of(encoder: str) -> Run:
        settings = {"encoder": encoder, "videoxl2_path": tiny_videoxl2}
        task = {"home": str(tmp_path / "home"), "model": tiny_model, "clip": new_clip}

        def start(store: Path, fault: str) -> int | None:
            given: dict[str, Any] = {"store": store, "fault": fault, "settings": settings, **task}
            process = _PROCESSES.Process(target=runpy.run_path, args=(script, {"TASK": given}))
            process.start()
            process.join()
            return process.exitcode

        return start

    return of


@pytest.mark.long
@pytest.mark.parametrize("encoder", KILLS)
def test_a_killed_ingest_changes_no_answer_and_goes_on(
    encoder: str,
    run: Callable[[str], Run],
    asked_stores: dict[str, Path],
    open_session: OpenSession,
    long_clip: Path,
    new_clip: Path,
    tmp_path: Path,
) -> None:
    """Beside a video that was ingested before; the killed one ends as an unbroken one does."""
    work = run(encoder)
    shutil.copytree(asked_stores[encoder], tmp_path / "unbroken")
    passed = tmp_path / "passed"
    assert work(tmp_path / "unbroken", f"{faults.RECORD}{passed}") == 0
    with open_session(tmp_path / "unbroken", encoder=encoder) as session:
        before, after = (_answer(session, clip) for clip in (long_clip, new_clip))
        digest = session._store.digest(session.video(str(new_clip)).video_id)
    for at, fault in enumerate(_spread(passed.read_text().split(), KILLS[encoder])):
        store = tmp_path / f"{at}"
        shutil.copytree(asked_stores[encoder], store)
        assert work(store, fault) == -signal.SIGKILL, fault
        with open_session(store, encoder=encoder) as session:
            assert session._store.verify() == [], fault
            assert _answer(session, long_clip) == before, fault
            video = session.ingest(new_clip)
            assert session._store.digest(video.video_id) == digest, fault
            assert _answer(session, new_clip) == after, fault
            assert session._store.verify() == [], fault
        shutil.rmtree(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, or a reason to skip."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("free_bytes", [0, 1 << 18])
def test_an_ingest_without_room_says_so_and_goes_on(
    open_session: OpenSession, small_disk: Path, new_clip: Path, tmp_path: Path, free_bytes: int
) -> None:
    with open_session(tmp_path / "whole") as session:
        video_id = session.ingest(new_clip).video_id
        digest, answer = session._store.digest(video_id), _answer(session, new_clip)
    ballast = small_disk / "ballast"
    with open_session(small_disk / "store") as session:
        os.truncate(ballast, _fill(ballast) - free_bytes)
        with pytest.raises(StoreFullError, match="make room") as caught:
            session.ingest(new_clip)
        assert "\n" not in str(caught.value)
        assert all(video.state == "ingesting" for video in session.videos())
        ballast.unlink()
        assert session.ingest(new_clip).state == "ready"
        assert session._store.digest(video_id) == digest
        assert _answer(session, new_clip) == answer
        assert session._store.verify() == []


def _fill(path: Path) -> int:
    """Write until the disk is full; return the bytes written."""
    with path.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(4096)):
                pass
        return file.tell()


def _spread(faults_passed: list[str], count: int) -> list[str]:
    """Return `count` of the points, evenly, the first and the last among them."""
    assert len(faults_passed) >= count
    last = len(faults_passed) - 1
    return [faults_passed[at * last // (count - 1)] for at in range(count)]


def _answer(session: Session, clip: Path) -> Answer:
    """Return an answer without what a clock says."""
    answer = session.ask(QUESTION, str(clip))
    return replace(answer, coverage=replace(answer.coverage, seconds={}))
