"""A worker process: takes tasks from its end of a pipe until the other end is closed."""

import os
import select
import sys
import threading
from multiprocessing.connection import Connection

from agentkit.executors.tasks import Task, quiet

# A fresh interpreter, not a fork or a re-run of the main script: that has threads and FAISS loaded,
# and a script that calls us need not guard its main part.
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from agentkit.executors.worker import serve; serve(int(sys.argv[2]))"
)


def serve(descriptor: int) -> None:
    """Run tasks and send their outcomes, one at a time."""
    quiet()
    threading.Thread(target=_end_with_asker, args=(descriptor,), daemon=True).start()
    with Connection(descriptor) as pipe:
        while True:
            try:
                task = pipe.recv()
                assert isinstance(task, Task)
                pipe.send(task.run())
            except (EOFError, ConnectionError):  # nobody asks any more
                sys.exit(0)


def _end_with_asker(descriptor: int) -> None:
    """End this process in the middle of its task where whoever asked was killed.

    A sound track takes minutes; nobody would ever read what is heard.
    """
    other_end = select.poll()
    other_end.register(descriptor, 0)  # it tells of nothing but the end
    other_end.poll()
    os._exit(0)
