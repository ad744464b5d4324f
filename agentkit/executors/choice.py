"""Which executor the settings mean, made when the first video is looked at."""

import os
from functools import cached_property

from agentkit.config import IngestSettings, Settings
from agentkit.executors import Executor
from agentkit.executors.ahead import Ahead
from agentkit.executors.tasks import Recipe
from agentkit.observing import Here, Look, Observer, OnWarning, Sight
from agentkit.stages import StageClock
from agentkit_storage import Store

MOST_BY_DEFAULT = 4


class Workers:
    """Who looks under these settings: this process, or workers ahead of it."""

    def __init__(
        self, settings: Settings, observer: Observer, picture_px: int, store: Store
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._picture_px = picture_px
        self._store = store

    def look(
        self, sight: Sight, first: int, listens: bool, clock: StageClock, on_warning: OnWarning
    ) -> Look:
        """Begin to look; the first time, the executor is made."""
        executor = self._executor
        if executor is None:
            return Here(self._observer).look(sight, first, listens, clock, on_warning)
        ahead = Ahead(executor, self._observer, self._recipe(executor), self._store)
        return ahead.look(sight, first, listens, clock, on_warning)

    def close(self) -> None:
        """End the workers, if there are any."""
        executor = vars(self).pop("_executor", None)
        if executor is not None:
            executor.close()

    @cached_property
    def _executor(self) -> Executor | None:
        return executor_of(self._settings.ingest)

    def _recipe(self, executor: Executor) -> Recipe:
        """Return what a worker needs; this machine's threads are shared out among its workers."""
        all_threads = self._settings.threads or cores()
        threads = 1 if executor.name == "ray" else max(1, all_threads // executor.workers)
        return Recipe.of(self._settings, self._observer, self._picture_px, threads)


def executor_of(settings: IngestSettings) -> Executor | None:
    """Return the executor that the settings name; None: this process does it itself."""
    if settings.executor == "ray":
        from agentkit.executors.ray_tasks import RayExecutor

        return RayExecutor(settings.workers)
    workers = settings.workers or default_workers(cores())
    if workers == 1:
        return None
    from agentkit.executors.local import LocalExecutor

    return LocalExecutor(workers)


def default_workers(cores: int) -> int:
    """Return how many processes look by default.

    A quarter of the cores: the instruments' networks use several each, and the language model
    prefills meanwhile. Beyond 4 it is the prefill that everything waits for.
    """
    return max(1, min(MOST_BY_DEFAULT, cores // 4))


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
