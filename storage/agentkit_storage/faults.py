"""Named points at which a test kills the process or fills the disk. Without the variable: nothing.

AGENTKIT_STORE_FAULT=point:n kills with SIGKILL when `point` is passed for the n-th time;
point:n:full raises ENOSPC there instead; record:FILE adds a line `point:n` to FILE at every one,
which is the list of all that can be killed.
"""

import errno
import os
import signal
from collections import Counter
from pathlib import Path

VARIABLE = "AGENTKIT_STORE_FAULT"
RECORD = "record:"
_passed: Counter[tuple[str, str]] = Counter()


def point(name: str) -> None:
    """Fail here, if the environment says so."""
    plan = os.environ.get(VARIABLE)
    if not plan:
        return
    _passed[plan, name] += 1
    if plan.startswith(RECORD):
        _note(Path(plan.removeprefix(RECORD)), f"{name}:{_passed[plan, name]}")
        return
    wanted, count, *how = plan.split(":")
    if name != wanted or _passed[plan, name] != int(count):
        return
    if how == ["full"]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGKILL)


def _note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")
