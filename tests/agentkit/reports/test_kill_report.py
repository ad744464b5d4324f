"""Reports killed along their way, and two at once: pieces that are there are not made again."""

import json
import multiprocessing
import runpy
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PROCESSES = multiprocessing.get_context("forkserver")
_LOADED = ["pytest", "torch", "transformers", "alembic.command", "agentkit.session"]
SCRIPT = str(Path(__file__).parent / "killed_report.py")

Start = Callable[..., Any]


@pytest.fixture
def start(
    tmp_path: Path, tiny_model: Path, long_clip: Path, asked_stores: dict[str, Path]
) -> Start:
    """Give what reports on the long clip in another process, in a store of the test's own."""
    _PROCESSES.set_forkserver_preload(_LOADED)
    shutil.copytree(asked_stores["notes"], tmp_path / "store")
    given = {"home": str(tmp_path / "home"), "model": tiny_model, "store": tmp_path / "store"}

    def of(name: str, kill_at: int | None = None) -> Any:
        own = {"log": tmp_path / f"{name}.log", "out": tmp_path / f"{name}.json"}
        task = {**given, **own, "video": str(long_clip), "kill_at": kill_at}
        process = _PROCESSES.Process(target=runpy.run_path, args=(SCRIPT, {"TASK": task}))
        process.start()
        return process

    return of


def told(path: Path) -> dict[str, Any]:
    """Return a report but for when it was made."""
    report = json.loads(path.read_text())
    del report["made_at"]
    return report


@pytest.mark.long
def test_a_killed_report_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    """Killed as by a power cut; the same report again makes what is missing, and says the same."""
    killed = start("killed", kill_at=2)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not list(tmp_path.glob("*killed*.json*"))
    again = start("again")
    again.join()
    third = start("third")
    third.join()
    assert (again.exitcode, third.exitcode) == (0, 0)
    assert (tmp_path / "killed.log").read_text().split() == ["0", "1"]
    assert (tmp_path / "again.log").read_text().split() == ["2", "3"]
    assert not (tmp_path / "third.log").exists()
    assert told(tmp_path / "again.json") == told(tmp_path / "third.json")


@pytest.mark.long
def test_two_reports_at_once_say_the_same(start: Start, tmp_path: Path) -> None:
    both = [start("one"), start("two")]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert told(tmp_path / "one.json") == told(tmp_path / "two.json")
    assert [row["cells"] for row in _rows(tmp_path / "one.json")] == [
        [f"piece {at}"] for at in range(4)
    ]


def _rows(path: Path) -> list[dict[str, Any]]:
    sections = told(path)["sections"]
    return next(part for part in sections if part["title"] == "Pieces")["tables"][0]["rows"]
