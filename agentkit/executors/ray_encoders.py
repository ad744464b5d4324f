"""Many videos at once: encoders on the machines of a Ray cluster, each with a model of its own.

An encoder is an actor with a session; it takes one video after the other, and its chunks are
looked at by Ray's tasks. One that dies is made anew, and its video goes on after its last chunk.
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentkit.config import Settings
from agentkit.errors import ChunkLostError, UsageError
from agentkit.executors.ray_tasks import first_line, imported, is_many_machines, start
from agentkit.executors.tasks import carried, portable, quiet
from agentkit.rules import NOTES
from agentkit.types import IngestEvent, SamplingPlan, StoredVideo

if TYPE_CHECKING:
    from agentkit.session import Session

logger = logging.getLogger(__name__)

DEATHS = 3  # of encoders over one video
STORE_FAULT = "AGENTKIT_STORE_FAULT"  # the store's fault points, for tests


@dataclass(frozen=True, slots=True)
class How:
    """What `Session.ingest` is given beside a path."""

    plan: SamplingPlan | None = None
    tags: tuple[str, ...] = ()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Ingested:
    """How the ingest of one file ended: with what is stored, or with an error."""

    path: str
    video: StoredVideo | None = None
    error: Exception | None = None


Step = tuple[str, IngestEvent | Ingested]  # the file as it was named, and what is told of it
Told = SimpleQueue[Step | BaseException]


class Encoder:
    """The actor: a session in a process of Ray's, opened with its first video."""

    def __init__(self, settings: Settings, environment: dict[str, str]) -> None:
        quiet()
        os.environ.update(environment)
        self._settings = settings
        self._session: Session | None = None

    def ingest(self, path: str, how: How) -> Iterator[IngestEvent | Ingested]:
        """Yield the events of an ingest as they come, and how it ended."""
        told: SimpleQueue[IngestEvent | Ingested] = SimpleQueue()
        threading.Thread(target=self._ingest, args=(path, how, told), daemon=True).start()
        while True:
            step = told.get()
            yield step
            if isinstance(step, Ingested):
                return

    def close(self) -> None:
        """Let go of the store; its indexes are written."""
        if self._session is not None:
            self._session.close()

    def _ingest(self, path: str, how: How, told: SimpleQueue[IngestEvent | Ingested]) -> None:
        try:
            session = self._opened()
            video = session.ingest(path, how.plan, told.put, tags=how.tags, anew=how.anew)
            told.put(Ingested(path, video))
        except Exception as error:  # the end of a thread and of a process  # noqa: BLE001
            told.put(Ingested(path, error=portable(error)))

    def _opened(self) -> "Session":
        if self._session is None:
            from agentkit.session import Session

            self._session = Session.open(self._settings)
        return self._session


class Encoders:
    """The encoders of one `agentkit ingest`; to be used with `with`."""

    def __init__(self, settings: Settings) -> None:
        """Connect to a cluster, or start one here.

        Raises:
            UsageError: Ray is not installed, or the store is not one for several machines.
        """
        self._is_ours = start(settings.ingest.workers)
        self._ray = imported()
        self._settings = _absolute(settings)
        self._actors: list[Any] = []
        self._is_over = False
        if is_many_machines() and "://" not in str(settings.store):
            self.end()
            raise UsageError(
                f"{settings.store}: a store in a folder is for one machine, and the Ray cluster has"
                " several; name a PostgreSQL database (docs/scale-out.md)"
            )

    def __enter__(self) -> "Encoders":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._close_sessions()
        self.end()

    def ingest(self, paths: Sequence[str], how: How) -> Iterator[Step]:
        """Yield what happens to the files, of several at once; each ends with an `Ingested`."""
        todo: SimpleQueue[str] = SimpleQueue()
        for path in paths:
            todo.put(path)
        told: Told = SimpleQueue()
        for _ in range(min(self._settings.ingest.encoders, len(paths))):
            threading.Thread(target=self._serve, args=(todo, how, told), daemon=True).start()
        left = len(paths)
        while left:
            step = told.get()
            if isinstance(step, BaseException):
                raise step
            left -= isinstance(step[1], Ingested)
            yield step

    def end(self) -> None:
        """End the encoders, whatever they do, and leave the cluster; one of our own is ended."""
        self._is_over = True
        for actor in self._actors:
            self._ray.kill(actor)
        if self._is_ours:
            self._ray.shutdown()

    def _close_sessions(self) -> None:
        for closing in [actor.close.remote() for actor in self._actors]:
            try:
                self._ray.get(closing)
            except self._ray.exceptions.RayActorError:
                continue  # it died: what it had done is stored

    def _serve(self, todo: SimpleQueue[str], how: How, told: Told) -> None:
        """Let one encoder after another take files until none is left."""
        try:
            actor = self._new_actor()
            while True:
                actor = self._ingest(actor, todo.get_nowait(), how, told)
        except Empty:
            return
        except BaseException as error:  # the end of a thread  # noqa: BLE001
            told.put(error)

    def _ingest(self, actor: Any, path: str, how: How, told: Told) -> Any:
        """Ingest one file, by another encoder where one dies; return the one that lives."""
        reason = ""
        for _ in range(DEATHS):
            try:
                ingest = actor.ingest.options(num_returns="streaming")
                for step in ingest.remote(str(Path(path).absolute()), how):
                    told.put((path, self._ray.get(step)))
                return actor
            except self._ray.exceptions.RayActorError as error:
                if self._is_over:  # we ended it ourselves
                    raise
                reason = first_line(error)
                logger.warning("%s: its encoder died (%s); another goes on", path, reason)
                how = replace(how, anew=False)  # what it has made since is new
                actor = self._new_actor()
        lost = ChunkLostError(
            f"{path}: its encoder died {DEATHS} times ({reason}); is there memory enough? Every"
            " finished chunk is kept",
            path,
        )
        told.put((path, Ingested(path, error=lost)))
        return actor

    def _new_actor(self) -> Any:
        """Return a new encoder. It takes no CPU from the tasks; its model takes a GPU."""
        gpus = 1 if self._wants_gpu() else 0
        kind = self._ray.remote(Encoder).options(num_cpus=0, num_gpus=gpus, max_restarts=0)
        actor = kind.remote(self._settings, carried((STORE_FAULT,)))
        self._actors.append(actor)
        return actor

    def _wants_gpu(self) -> bool:
        asked = self._settings.encoder != NOTES and self._settings.device != "cpu"
        return asked and self._ray.cluster_resources().get("GPU", 0) >= 1


def _absolute(settings: Settings) -> Settings:
    """Return settings whose paths mean the same in another folder."""
    changed: dict[str, object] = {
        name: value.absolute()
        for name in ("store", "videoxl2_path")
        if isinstance(value := getattr(settings, name), Path)
    }
    if os.sep in settings.language_model:
        changed["language_model"] = str(Path(settings.language_model).expanduser().absolute())
    if settings.allowed_roots is not None:
        changed["allowed_roots"] = tuple(root.absolute() for root in settings.allowed_roots)
    return settings.model_copy(update=changed)
