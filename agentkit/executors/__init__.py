"""Who looks at a video's chunks: this process, others beside it, or Ray's on many machines.

An executor only runs tasks. What to run, how far ahead, and what to do when a worker dies is
decided in one place, `ahead.py`, from the store's job table.
"""

from concurrent.futures import Future
from typing import Protocol

from agentkit.errors import AgentkitError
from agentkit.executors.tasks import Outcome, Task

__all__ = ["Executor", "Outcome", "Task", "WorkerLostError"]


class WorkerLostError(AgentkitError):
    """The process that ran a task died, and with it what it had done of the task."""


class Executor(Protocol):
    """Runs tasks in other processes, each in a process that does nothing else meanwhile."""

    name: str
    workers: int

    def submit(self, task: Task) -> Future[Outcome]:
        """Return what will come of a task; WorkerLostError where its process died."""

    def close(self) -> None:
        """End the processes, whatever they are doing."""
