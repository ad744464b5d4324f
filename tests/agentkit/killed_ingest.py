"""What `test_kill_ingest.py` runs in a process of its own: one ingest, with a fault planned.

Run by `runpy.run_path`, which puts the process's task into this module as TASK.
"""

import os
import runpy
from pathlib import Path
from typing import Any

from agentkit import Session
from agentkit.engine import Engine
from agentkit_storage import faults


def main(task: dict[str, Any]) -> None:
    parts = runpy.run_path(str(Path(__file__).parent / "conftest.py"))
    Engine.embedder = parts["WordEmbedder"]()  # type: ignore[method-assign]  # no weights
    os.environ |= {"AGENTKIT_HOME": task["home"], faults.VARIABLE: task["fault"]}
    settings = parts["tiny_settings"](task["store"], task["model"], **task["settings"])
    with Session.open(settings) as session:
        session.ingest(task["clip"])


main(globals()["TASK"])
