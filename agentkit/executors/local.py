"""The default executor: processes beside this one, each with a thread here that waits for it."""

import json
import logging
import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from agentkit.executors import Outcome, Task, WorkerLostError
from agentkit.executors.worker import BOOT

logger = logging.getLogger(__name__)


class LocalExecutor:
    """A fixed number of processes. One that dies is made anew for its next task.

    A thread for each, so that the task which a process died of is known: a pool that shares its
    queue can only say that all of its tasks are lost.
    """

    name = "local"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="agentkit-worker")
        self._mine = threading.local()
        self._all: list[_Process] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def submit(self, task: Task) -> Future[Outcome]:
        """Queue a task for the next process that is free."""
        return self._threads.submit(self._run, task)

    def close(self) -> None:
        """End all processes at once."""
        with self._lock:
            self._is_closed = True
            processes = list(self._all)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.end()
        self._threads.shutdown(wait=True)

    def _run(self, task: Task) -> Outcome:
        process: _Process | None = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = self._started()
        try:
            return process.run(task)
        except (EOFError, ConnectionError) as error:
            self._mine.process = None
            process.end()
            raise WorkerLostError(process.ending) from error

    def _started(self) -> "_Process":
        with self._lock:  # so that close ends every process there is
            if self._is_closed:
                raise WorkerLostError("the executor is closed")
            process = _Process()
            self._all = [*(one for one in self._all if one.is_running), process]
        return process


class _Process:
    """One worker process and this end of its pipe."""

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        with theirs:
            command = [sys.executable, "-c", BOOT, json.dumps(sys.path), str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 — our own code and interpreter
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the process that asks
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def ending(self) -> str:
        """How the process ended, for people."""
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def run(self, task: Task) -> Outcome:
        """Return what comes of a task; EOFError or ConnectionError where the process died."""
        self._pipe.send(task)
        outcome = self._pipe.recv()
        assert isinstance(outcome, Outcome)
        return outcome

    def end(self) -> None:
        """Kill the process if it runs, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
