"""Named points at which a test kills the process or fills the disk. Without the variable: nothing.

AGENTKIT_STORE_FAULT=point:n kills with SIGKILL when `point` is passed for the n-th time;
point:n:full raises ENOSPC there instead.
"""

import errno
import os
import signal
from collections import Counter

_PLAN = os.environ.get("AGENTKIT_STORE_FAULT", "")
_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Fail here, if the environment says so."""
    if not _PLAN:
        return
    wanted, count, *how = _PLAN.split(":")
    _passed[name] += 1
    if name != wanted or _passed[name] != int(count):
        return
    if how == ["full"]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGKILL)
