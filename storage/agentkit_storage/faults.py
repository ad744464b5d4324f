"""Named points at which a test kills the process or fills the disk. Without the variable: nothing.

AGENTKIT_STORE_FAULT=point:n kills with SIGKILL when `point` is passed for the n-th time;
point:n:full raises ENOSPC there instead.
"""

import errno
import os
import signal
from collections import Counter

VARIABLE = "AGENTKIT_STORE_FAULT"
_passed: Counter[tuple[str, str]] = Counter()


def point(name: str) -> None:
    """Fail here, if the environment says so."""
    plan = os.environ.get(VARIABLE)
    if not plan:
        return
    wanted, count, *how = plan.split(":")
    _passed[plan, name] += 1
    if name != wanted or _passed[plan, name] != int(count):
        return
    if how == ["full"]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGKILL)
