"""What `test_kill_report.py` runs in a process of its own: one report, killed along its way.

Run by `runpy.run_path`, which puts the process's task into this module as TASK.
"""

import os
import runpy
import signal
from pathlib import Path
from typing import Any

from agentkit import Session
from agentkit.engine import Engine
from agentkit.hookspecs import hookimpl
from agentkit.plugin_manager import Domain, Plugin
from agentkit.types import Citation, Finding, Row, Section, SessionView, StoredVideo, Table

PIECES = 4


class Pieces:
    """A domain whose report is made of pieces; each made one leaves a line in a file."""

    def __init__(self, log: Path, kill_at: int | None) -> None:
        self._log, self._kill_at = log, kill_at

    @hookimpl
    def report_sections(self, video: StoredVideo, session: SessionView) -> list[Section]:
        found = [
            session.analysis(video, f"cooking/piece/{at}", "1", lambda at=at: self._made(at))
            for at in range(PIECES)
        ]
        cites = [Citation(video.video_id, at * 5.0, at * 5.0 + 4, f"piece {at}") for at in found]
        rows = tuple(Row((cite.why,), (cite,)) for cite in cites)
        claim = Finding("all pieces", "supported", tuple(cites))
        return [Section("Pieces", findings=(claim,), tables=(Table("", ("piece",), rows),))]

    def _made(self, at: int) -> int:
        if at == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with self._log.open("a") as log:
            log.write(f"{at}\n")
        return at


def main(task: dict[str, Any]) -> None:
    parts = runpy.run_path(str(Path(__file__).parent.parent / "conftest.py"))
    Engine.embedder = parts["WordEmbedder"]()  # type: ignore[method-assign]  # no weights
    os.environ["AGENTKIT_HOME"] = task["home"]
    plugin = Plugin("cooking", Pieces(Path(task["log"]), task["kill_at"]), "cooking 1.0")
    with Session.open(parts["tiny_settings"](task["store"], task["model"])) as session:
        session._domain = Domain("cooking", [plugin])
        session.report(task["video"]).save(Path(task["out"]))


main(globals()["TASK"])
