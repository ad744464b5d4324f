"""Ray: the same tasks on the machines of a cluster, or on a Ray of our own on this one.

Ray only runs them. It retries nothing: the job table does, and knows how often.
"""

import logging
import os
from concurrent.futures import Future
from typing import Any

from agentkit.errors import AgentkitError, UsageError
from agentkit.executors import Outcome, Task, WorkerLostError
from agentkit.executors.tasks import quiet

# Read by Ray when it is imported and started: no usage reports to its makers, and no notes of
# dead workers between our lines on stdout; we say it ourselves.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
OBJECTS_BYTES = 2**30  # of shared memory, on this machine: the pictures that are on their way


def imported() -> Any:
    """Return Ray, imported.

    Raises:
        UsageError: it is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "the executor 'ray' needs Ray, which is not installed;"
            ' pip install "videoxl2-agentkit[ray]"'
        ) from error
    return ray


def start(workers: int | None) -> bool:
    """Connect to the cluster of RAY_ADDRESS or of `ray start`, else start Ray here; say if we did.

    `workers` is how many tasks a Ray of our own runs at once.
    """
    ray = imported()
    if ray.is_initialized():
        return False
    logging.getLogger("ray").setLevel(logging.ERROR)
    common = {"log_to_driver": False, "configure_logging": False}
    own = {
        "num_cpus": workers,
        "include_dashboard": False,
        "object_store_memory": OBJECTS_BYTES,
    }
    try:
        ray.init(**common, **own)
    except ValueError:  # a cluster that is there takes no such settings
        ray.init(**common)
    except ConnectionError as error:
        address = os.environ.get("RAY_ADDRESS")
        raise AgentkitError(
            f"no Ray cluster answers at RAY_ADDRESS={address}; start it, or unset RAY_ADDRESS to"
            " use this machine alone"
        ) from error
    return True


def is_many_machines() -> bool:
    """Say whether the cluster that we are connected to has more than one machine."""
    return sum(bool(node["Alive"]) for node in imported().nodes()) > 1


class RayExecutor:
    """Runs tasks as Ray tasks of one CPU each; `workers` bounds how many are asked for ahead."""

    name = "ray"

    def __init__(self, workers: int | None) -> None:
        self._is_ours = start(workers)
        self._ray = imported()
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._run = self._ray.remote(run).options(num_cpus=1, max_retries=0)

    def submit(self, task: Task) -> Future[Outcome]:
        """Give a task to the cluster."""
        reference = self._run.remote(task)
        outcome: Future[Outcome] = Future()

        def settle(done: Future[Outcome]) -> None:
            if outcome.set_running_or_notify_cancel():
                _copy(done, outcome)

        def give_up(cancelled: Future[Outcome]) -> None:
            if cancelled.cancelled():
                self._ray.cancel(reference)

        outcome.add_done_callback(give_up)
        reference.future().add_done_callback(settle)
        return outcome

    def close(self) -> None:
        """Leave the cluster; one of our own is ended."""
        if self._is_ours:
            self._ray.shutdown()


def run(task: Task) -> Outcome:
    """Do a task, in a worker of Ray's."""
    quiet()
    return task.run()


def _copy(done: Future[Outcome], outcome: Future[Outcome]) -> None:
    """Settle our future as Ray's was, with errors of ours."""
    error = done.exception()
    if error is None:
        outcome.set_result(done.result())
    elif isinstance(error, imported().exceptions.RayTaskError):
        outcome.set_exception(
            AgentkitError(
                f"a worker of Ray cannot do what it is asked: {first_line(error)}; install the same"
                " version of agentkit on all machines"
            )
        )
    else:
        outcome.set_exception(WorkerLostError(first_line(error)))


def first_line(error: BaseException) -> str:
    """Return an error of Ray's in one line; it says much, and the first line says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[0].split('. ')[0][:200]}" if lines else name
