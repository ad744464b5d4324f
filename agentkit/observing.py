"""Looking at a video: the part of an ingest that needs no language model and no store.

What a chunk gives is a pure function of the settings, the video, the plan and the chunk's number:
instruments remember the group before and nothing older. So chunks may be looked at in any order
and in any process; `Here` looks at them one after the other, in this one.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments import Instruments
from agentkit.plugin_manager import Domain
from agentkit.stages import StageClock
from agentkit.types import Chunk, FrameBatch, Note, SamplingPlan, VideoInfo
from agentkit.video import sample

logger = logging.getLogger(__name__)

OnWarning = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to look at: a video under a plan, in chunks."""

    info: VideoInfo
    plan: SamplingPlan
    chunk_groups: int
    chunks: int  # expected; a damaged end may bring fewer

    def heard_in(self, chunk: Chunk, sound: Sequence[Note]) -> list[Note]:
        """Return a chunk's part of the sound; the last one has what outlasts the picture too."""
        end_s = math.inf if chunk.index == self.chunks - 1 else chunk.end_s
        return [note for note in sound if chunk.start_s <= note.start_s < end_s]


@dataclass(frozen=True, slots=True)
class ObservedChunk:
    """A chunk's groups, each with what was seen in it, and what the domain's plugin added."""

    chunk: Chunk
    batches: tuple[FrameBatch, ...]
    seen: tuple[tuple[Note, ...], ...]  # of each group
    added: tuple[Note, ...]


class Look(Protocol):
    """One look at one video: the sound, then the chunks. `names` and `missing` grow with it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The instruments that work."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Those left out, each with its reason."""

    def listen(self, progress: Callable[[float], None]) -> list[Note]:
        """Return what is heard; `progress` may be called with the seconds heard so far."""

    def chunks(self, sound: Sequence[Note]) -> Iterator[ObservedChunk]:
        """Yield the chunks in order, the first one asked for first."""

    def close(self) -> None:
        """Let go of what was looked at ahead."""


class Looker(Protocol):
    """Somebody who looks at videos for an ingest, whose instruments have been started."""

    def look(
        self, sight: Sight, first: int, listens: bool, clock: StageClock, on_warning: OnWarning
    ) -> Look:
        """Begin to look, at chunk `first` and on; `listens`: the sound is wanted too."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Instruments and a domain, and what they make of frames. For one video at a time."""

    instruments: Instruments
    domain: Domain

    @property
    def describes(self) -> bool:
        """Whether a plugin describes chunks: it is shown what is heard in them."""
        return self.domain.answers("describe_chunk")

    def observe(
        self,
        sight: Sight,
        sound: Sequence[Note],
        first: int,
        stop: int | None = None,
        *,
        decode_from: int | None = None,
        clock: StageClock | None = None,
        on_warning: OnWarning = logger.warning,
    ) -> Iterator[ObservedChunk]:
        """Yield the chunks from `first` to before `stop`; the instruments have been started.

        They are shown the group before, so that they remember what they would. `decode_from` is
        an earlier chunk to count damage from.
        """
        size, clock = sight.chunk_groups, clock or StageClock()
        decode_from = first if decode_from is None else decode_from
        batches = sample(
            sight.info,
            sight.plan,
            start_group=max(decode_from * size - 1, 0),
            stop_group=None if stop is None else stop * size,
            on_warning=on_warning,
        )
        groups: list[tuple[FrameBatch, tuple[Note, ...]]] = []
        for batch in clock.each("decode", batches):
            if batch.index < first * size - 1:
                continue
            with clock.stage("instruments"):
                notes = tuple(self.instruments.observe(batch, batch.index % size == 0))
            if batch.index >= first * size:
                groups.append((batch, notes))
            if len(groups) == size:
                yield self._described(sight, groups, sound)
                groups = []
        if groups:
            yield self._described(sight, groups, sound)

    def _described(
        self,
        sight: Sight,
        groups: Sequence[tuple[FrameBatch, tuple[Note, ...]]],
        sound: Sequence[Note],
    ) -> ObservedChunk:
        batches, seen = zip(*groups, strict=True)
        chunk = Chunk(
            video_id=sight.info.video_id,
            index=batches[0].index // sight.chunk_groups,
            start_s=float(batches[0].times_s[0]),
            end_s=batches[-1].end_s,
            first_group=batches[0].index,
            num_groups=len(groups),
        )
        notes = [note for each in seen for note in each]
        heard = sight.heard_in(chunk, sound)
        added = self.domain.describe_chunk(chunk, batches, [*notes, *heard])
        return ObservedChunk(chunk, batches, seen, tuple(added))


@dataclass(frozen=True, slots=True)
class Here:
    """Looks in this process, chunk after chunk, holding one at a time."""

    observer: Observer

    def look(
        self, sight: Sight, first: int, listens: bool, clock: StageClock, on_warning: OnWarning
    ) -> "LookHere":
        """Begin a look in this process."""
        return LookHere(self.observer, sight, first, clock, on_warning)


@dataclass(frozen=True, slots=True)
class LookHere:
    """A look at one video in this process."""

    observer: Observer
    sight: Sight
    first: int
    clock: StageClock
    on_warning: OnWarning

    @property
    def names(self) -> tuple[str, ...]:
        return self.observer.instruments.names

    @property
    def missing(self) -> tuple[str, ...]:
        return self.observer.instruments.missing

    def listen(self, progress: Callable[[float], None]) -> list[Note]:
        return self.observer.instruments.listen(self.sight.info, progress)

    def chunks(self, sound: Sequence[Note], skip: int = 0) -> Iterator[ObservedChunk]:
        """Yield the chunks in order; the first `skip` are decoded only, to count their damage."""
        return self.observer.observe(
            self.sight,
            sound,
            self.first + skip,
            decode_from=self.first,
            clock=self.clock,
            on_warning=self.on_warning,
        )

    def close(self) -> None:
        """Nothing was looked at ahead."""


def travelling(chunk: ObservedChunk, picture_px: int) -> ObservedChunk:
    """Return a chunk as it goes from process to process: with no more of its pictures than needed.

    `picture_px` is the side of the squares that the encoder brings pictures to; 0: it needs none.
    """
    batches = tuple(_travelling(batch, picture_px) for batch in chunk.batches)
    return ObservedChunk(chunk.chunk, batches, chunk.seen, chunk.added)


def _travelling(batch: FrameBatch, picture_px: int) -> FrameBatch:
    count = len(batch.images)
    images = np.zeros((count, 0, 0, 3), np.uint8)
    if picture_px:
        images = _resized(batch.images, picture_px)
    return FrameBatch(batch.index, images, batch.times_s, batch.end_s)


def _resized(images: NDArray[np.uint8], picture_px: int) -> NDArray[np.uint8]:
    """Resize as the encoder would: what has its size already, it leaves as it is."""
    import torch

    from videoxl2_model.pixels import resize

    frames = resize(torch.from_numpy(images), picture_px)  # [T, 3, S, S]
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())
