"""Looks at a video's chunks ahead of the encoder, by an executor's workers.

Here is all that decides: how far ahead, in what pieces, what a dead worker costs, and when one
process must look at a video alone. Every piece is noted in the store's job table before it is
given away, and a chunk leaves the table in the transaction that stores it.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from agentkit.errors import ChunkLostError
from agentkit.executors import Executor, Outcome, Task, WorkerLostError
from agentkit.executors.tasks import Listen, Recipe, Stretch, Work
from agentkit.observing import LookHere, ObservedChunk, Observer, OnWarning, Sight
from agentkit.stages import StageClock
from agentkit.types import Note
from agentkit.video import plan_times
from agentkit_storage import Store

logger = logging.getLogger(__name__)

ATTEMPTS = 3  # at a chunk, in one ingest
# A stretch is shown the group before it once more and decodes from a keyframe: long ones waste
# less, short ones keep all workers busy to the end.
LONGEST_STRETCH = 4
STRETCHES_PER_WORKER = 2  # asked for ahead: one in work, one to go on with


@dataclass(frozen=True, slots=True)
class Ahead:
    """Looks through workers; `observer` is what they have too, for what needs one process."""

    executor: Executor
    observer: Observer
    recipe: Recipe
    store: Store

    def look(
        self, sight: Sight, first: int, listens: bool, clock: StageClock, on_warning: OnWarning
    ) -> "LookAhead":
        """Begin to look; the sound, and the first chunks with it, are given away at once."""
        return LookAhead(self, LookHere(self.observer, sight, first, clock, on_warning), listens)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A stretch that was given away."""

    first: int
    stop: int
    answer: Future[Outcome]


class LookAhead:
    """A look at one video by workers, in order, a bounded number of stretches ahead."""

    def __init__(self, ahead: Ahead, here: LookHere, listens: bool) -> None:
        self._executor, self._store = ahead.executor, ahead.store
        self._recipe = ahead.recipe
        self._here = here
        self._sight, self._clock = here.sight, here.clock
        self._instruments = ahead.observer.instruments
        self._describes = ahead.observer.describes
        self._sound: tuple[Note, ...] = ()
        self._tries: Counter[int] = Counter()
        self._remarks: set[str] = set()
        self._next = here.first
        self._asked: deque[_Asked] = deque()
        # What was with a worker when an ingest broke off may be why: each such chunk goes alone.
        self._suspects = {job.chunk for job in self._store.jobs(self._sight.info.video_id)}
        self._heard = self._submit(Listen()) if listens and self._sight.info.has_sound else None
        if not self._describes:  # else a plugin is shown what is heard: first the sound
            self._fill()

    @property
    def names(self) -> tuple[str, ...]:
        return self._here.names

    @property
    def missing(self) -> tuple[str, ...]:
        return self._here.missing

    def listen(self, progress: Callable[[float], None]) -> list[Note]:
        """Return what a worker heard.

        Raises:
            ChunkLostError: the worker died each time.
        """
        for attempt in range(ATTEMPTS):
            if self._heard is None:
                return []
            try:
                outcome = self._taken(self._heard)
            except WorkerLostError as error:
                logger.warning("%s: sound: worker died (%s)", self._sight.info.path, error)
                self._heard = self._submit(Listen()) if attempt + 1 < ATTEMPTS else None
                continue
            self._instruments.leave_out(outcome.failed)
            return list(outcome.heard)
        raise ChunkLostError(
            f"{self._sight.info.path}: the worker that hears its sound died {ATTEMPTS} times;"
            " is there memory enough? --executor local --workers 1 does without workers",
            self._sight.info.path,
        )

    def chunks(self, sound: Sequence[Note]) -> Iterator[ObservedChunk]:
        """Yield the chunks in order, as one process would have seen them.

        Damage and failures concern more than one chunk: how much of the video is broken, from
        where on an instrument is left out. One process that sees it all goes on from there.

        Raises:
            ChunkLostError: the worker died at each attempt.
        """
        self._sound = tuple(sound) if self._describes else ()
        self._fill()
        while self._asked:
            asked = self._asked.popleft()
            try:
                outcome = self._taken(asked.answer)
            except WorkerLostError as error:
                self._again(asked, str(error))
                continue
            if outcome.odd:
                logger.info("%s: one process goes on: %s", self._sight.info.path, outcome.odd)
                self.close()
                yield from self._here.chunks(sound, asked.first - self._here.first)
                return
            self._fill()
            yield from outcome.chunks

    def close(self) -> None:
        """Take back what no worker has begun."""
        for asked in self._asked:
            asked.answer.cancel()
        self._asked.clear()
        if self._heard is not None:
            self._heard.cancel()

    def _fill(self) -> None:
        """Give away stretches up to the bound."""
        bound = STRETCHES_PER_WORKER * self._executor.workers
        while self._next < self._sight.chunks and len(self._asked) < bound:
            stop = self._next + self._length()
            self._asked.append(self._ask(self._next, stop))
            self._next = stop

    def _length(self) -> int:
        """Return how many chunks the next stretch has."""
        if self._next in self._suspects:
            return 1
        left = self._sight.chunks - self._next
        length = max(1, min(LONGEST_STRETCH, left // (2 * self._executor.workers)))
        near = [chunk - self._next for chunk in self._suspects if chunk > self._next]
        return min([length, *near])

    def _ask(self, first: int, stop: int) -> _Asked:
        for chunk in range(first, stop):
            self._store.start_job(self._sight.info.video_id, chunk, self._executor.name)
            self._tries[chunk] += 1
        work = Stretch(first, stop, self._tries[first], self._sound)
        return _Asked(first, stop, self._submit(work))

    def _submit(self, work: Work) -> Future[Outcome]:
        return self._executor.submit(Task(self._recipe, self._sight, work))

    def _again(self, asked: _Asked, reason: str) -> None:
        """Ask again for what a dead worker had, chunk by chunk, so that a bad one stands alone."""
        path, chunks = self._sight.info.path, range(asked.first, asked.stop)
        for chunk in chunks:
            self._store.fail_job(self._sight.info.video_id, chunk, f"worker died: {reason}")
        logger.warning("%s: at %s: worker died (%s)", path, self._time_of(asked.first), reason)
        for chunk in chunks:
            if self._tries[chunk] >= ATTEMPTS:
                raise ChunkLostError(
                    f"{path}: the worker that looks at {self._time_of(chunk)} died"
                    f" {ATTEMPTS} times ({reason}); is there memory enough? --executor local"
                    " --workers 1 does without workers",
                    path,
                )
        again = [self._ask(chunk, chunk + 1) for chunk in chunks]
        self._asked.extendleft(reversed(again))

    def _time_of(self, chunk: int) -> str:
        plan = self._sight.plan
        frame = chunk * self._sight.chunk_groups * plan.frames_per_group
        minutes, seconds = divmod(int(plan_times(self._sight.info, plan)[frame]), 60)
        return f"{minutes:02}:{seconds:02}"

    def _taken(self, answer: Future[Outcome]) -> Outcome:
        """Wait for an outcome; what failed in the worker by our own doing is raised here."""
        with self._clock.stage("wait"):
            outcome = answer.result()
        for remark in set(outcome.remarks) - self._remarks:
            logger.warning("%s; left out", remark)
        self._remarks.update(outcome.remarks)
        for stage, seconds in outcome.seconds.items():
            self._clock.seconds[stage] += seconds
        if outcome.error is not None:
            raise outcome.error
        return outcome
