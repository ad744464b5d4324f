"""An ingest killed at points all along its way: what was answered before is answered as before."""

import multiprocessing
import runpy
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit import Session
from agentkit.testing import make_video
from agentkit.types import Answer
from agentkit_storage import faults

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


def _spread(faults_passed: list[str], count: int) -> list[str]:
    """Return `count` of the points, evenly, the first and the last among them."""
    assert len(faults_passed) >= count
    last = len(faults_passed) - 1
    return [faults_passed[at * last // (count - 1)] for at in range(count)]


def _answer(session: Session, clip: Path) -> Answer:
    """Return an answer without what a clock says."""
    answer = session.ask(QUESTION, str(clip))
    return replace(answer, coverage=replace(answer.coverage, seconds={}))
