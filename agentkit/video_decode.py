"""From wanted frames to pictures, decoding no more than they need. Knows no plan and no group.

The fast path jumps to the keyframe before each wanted frame, decodes to it and leaves out, on the
way, the frames that no other frame refers to. Its pictures are those of decoding from the start.
"""

import logging
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from agentkit.errors import VideoDamagedError
from agentkit.video_clock import NO_PTS, Timeline, packets_of
from agentkit.video_open import (
    VideoLimits,
    check_size,
    open_container,
    picture_stream,
    shown,
    too_large,
)

logger = logging.getLogger(__name__)

Found = Iterator[tuple[int, VideoFrame]]  # rank and frame

# Jumping costs about as much as decoding this many packets on the way.
CHEAPER_TO_GO_ON = 4
# A share says little of a few packets: judged while decoding from this many on, and at the end.
FEW_PACKETS = 50

_REFUSED = re.compile(r"size (\d+)x(\d+) exceeds specified max pixel count")


class _SeekError(Exception):
    """The file cannot be sought in as its packets promise; decode it from the start."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Packets `first` (a keyframe) to `last`, decoded in one go for the frames `ranks`."""

    first: int
    last: int
    ranks: tuple[int, ...]


@dataclass(slots=True)
class Damage:
    """What could not be decoded while reading a video."""

    packets: int = 0  # decoded
    broken: int = 0  # of them
    stand_ins: int = 0  # wanted frames replaced by the picture before them
    lost: int = 0  # wanted frames at the end that never came

    def check(self, path: Path, limits: VideoLimits, at_end: bool = False) -> None:
        """Raise VideoDamagedError if too large a share is broken."""
        if not at_end and self.packets < FEW_PACKETS:
            return
        if self.broken > limits.max_damaged_share * self.packets:
            raise VideoDamagedError(
                f"{shown(path)}: {self.broken} of {self.packets} packets are damaged, the limit is"
                f" {limits.max_damaged_share:.0%}; copy the file again",
                path=path,
            )

    def warnings(self, last_s: float) -> list[str]:
        """Return what a user should know, one line each; `last_s` is the last time that came."""
        lines = []
        if self.broken or self.stand_ins:
            lines.append(
                f"{self.broken} of {self.packets} packets are damaged;"
                f" {self.stand_ins} sampled frames show the picture before them"
            )
        if self.lost:
            lines.append(f"partial: {self.lost} sampled frames after {last_s:.3f} s are missing")
        return lines


@dataclass(frozen=True, slots=True)
class PictureSource:
    """A file to take pictures from, with its timeline."""

    path: Path
    timeline: Timeline
    limits: VideoLimits
    damage: Damage

    def pictures(
        self, ranks: NDArray[np.int64], size_px: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (rank, uint8 [H, W, 3] RGB, upright) for ascending ranks.

        A frame that cannot be decoded is stood in for by the picture before it, as players do; at
        the start of the file by the one after it. `size_px` (width, height) is what every picture
        is brought to where the stream changes its size. Frames missing at the end are left out.

        Raises:
            VideoDamagedError: the share of damaged packets is above the limit.
            VideoLimitError: a frame is larger than the limit.
        """
        todo, last = deque(ranks.tolist()), None
        for rank, frame in self._found(ranks):
            check_size(frame.width, frame.height, self.path, self.limits)
            image = upright(frame, size_px)
            while todo[0] != rank:
                self.damage.stand_ins += 1
                yield todo.popleft(), image if last is None else last
            last = image
            yield todo.popleft(), image
        self.damage.lost += len(todo)
        self.damage.check(self.path, self.limits, at_end=True)

    def first_frame(self) -> VideoFrame:
        """Return the first frame that can be decoded.

        Raises:
            VideoLimitError: the decoder refuses its size.
            VideoDamagedError: none of the first frames can.
        """
        for _, frame in self._found(np.arange(min(len(self.timeline.times_s), FEW_PACKETS))):
            check_size(frame.width, frame.height, self.path, self.limits)
            return frame
        refused = self._refused_size()
        if refused is not None:
            raise too_large(*refused, self.path, self.limits)
        raise VideoDamagedError(
            f"{shown(self.path)}: no frame can be decoded; copy the file again", path=self.path
        )

    def _refused_size(self) -> tuple[int, int] | None:
        """Return the size a decoder refused, from its own words: there is no other sign of it."""
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture(local=False) as lines:
                next(self.from_start(np.arange(1)), None)
        except VideoDamagedError:
            pass
        finally:
            av.logging.set_level(level)
        found = _REFUSED.search(" ".join(line for _, _, line in lines))
        return (int(found[1]), int(found[2])) if found else None

    def _found(self, ranks: NDArray[np.int64]) -> Found:
        if not len(ranks):
            return
        done = -1
        try:
            for rank, frame in self.by_keyframes(ranks):
                yield rank, frame
                done = rank
        except _SeekError as error:
            logger.info("%s: decoding from the start: %s", shown(self.path), error)
            yield from self.from_start(ranks[ranks > done])

    def by_keyframes(self, ranks: NDArray[np.int64]) -> Found:
        """Yield the frames of `ranks`, jumping from keyframe to keyframe."""
        if not self.timeline.exact:
            raise _SeekError("no presentation times")
        with open_container(self.path, self.limits) as container:
            stream = picture_stream(container, self.path, self.limits)
            for run in runs(self.timeline, ranks):
                yield from self._run(container, stream, run)

    def _run(self, container: InputContainer, stream: VideoStream, run: _Run) -> Found:
        pts, packets = self.timeline.pts, self.timeline.packets
        wanted = {int(pts[packets[rank]]): rank for rank in run.ranks}
        needed = {int(packets[rank]) for rank in run.ranks}
        broken, came = self.damage.broken, False
        for frame in self._run_frames(container, stream, run, needed):
            rank = wanted.get(frame.pts if frame.pts is not None else NO_PTS)
            if rank is None:
                continue
            # Not every keyframe is one: a stream may need time to recover after it.
            if not came and rank != run.ranks[0] and broken == self.damage.broken:
                break
            came = True
            yield rank, frame
        if not came and broken == self.damage.broken:
            raise _SeekError(f"no picture after the keyframe at packet {run.first}")

    def _run_frames(
        self, container: InputContainer, stream: VideoStream, run: _Run, needed: set[int]
    ) -> Iterator[VideoFrame]:
        for number, packet in self._from_key(container, stream, run):
            stream.codec_context.skip_frame = "DEFAULT" if number in needed else "NONREF"
            yield from self._decode(stream, packet)
        stream.codec_context.skip_frame = "DEFAULT"
        yield from self._decode(stream, None)

    def _from_key(
        self, container: InputContainer, stream: VideoStream, run: _Run
    ) -> Iterator[tuple[int, "Packet[Any]"]]:
        """Yield the packets of a run with their numbers, checked against the timeline."""
        pts = self.timeline.pts
        packets = self._packets_from(container, stream, run.first)
        for number, packet in zip(range(run.first, run.last + 1), packets, strict=False):
            if packet.pts != pts[number]:
                raise _SeekError(f"packet {number} is not where it was")
            yield number, packet

    def _packets_from(
        self, container: InputContainer, stream: VideoStream, number: int
    ) -> Iterator["Packet[Any]"]:
        """Return the packets from `number`, a keyframe, on."""
        pts, dts = int(self.timeline.pts[number]), int(self.timeline.dts[number])
        # Transport streams are sought by dts: their pts leads past the keyframe.
        for target in (pts, dts) if NO_PTS < dts < pts else (pts,):
            try:
                container.seek(target, stream=stream)
            except av.FFmpegError as error:
                raise _SeekError(str(error)) from error
            packets = packets_of(container, stream)
            for packet in packets:
                if packet.pts == pts:
                    return chain((packet,), packets)
                if packet.is_keyframe and packet.pts is not None and packet.pts > pts:
                    break
        raise _SeekError(f"landed after the keyframe at pts {pts}")

    def from_start(self, ranks: NDArray[np.int64]) -> Found:
        """Yield the frames of `ranks` by decoding every frame from the first: slow and plain."""
        wanted = set(ranks.tolist())
        if not wanted:
            return
        last = max(wanted)
        by_pts = self._ranks_by_pts(wanted) if self.timeline.exact else None
        with open_container(self.path, self.limits) as container:
            stream = picture_stream(container, self.path, self.limits)
            for place, frame in enumerate(self._all_frames(container, stream)):
                rank = place if by_pts is None else by_pts.get(frame.pts or 0, -1)
                if rank in wanted:
                    yield rank, frame
                if rank == last:
                    return

    def _ranks_by_pts(self, ranks: set[int]) -> dict[int, int]:
        pts, packets = self.timeline.pts, self.timeline.packets
        return {int(pts[packets[rank]]): rank for rank in ranks}

    def _all_frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        for packet in packets_of(container, stream):
            yield from self._decode(stream, packet)
        yield from self._decode(stream, None)

    def _decode(self, stream: VideoStream, packet: "Packet[Any] | None") -> list[VideoFrame]:
        """Decode one packet, or what is left for None; a damaged one is counted and passed over."""
        self.damage.packets += packet is not None
        try:
            frames = stream.codec_context.decode(packet)
        except av.EOFError:  # an FFmpegError too, so it must be caught first
            return []
        except av.FFmpegError as error:
            logger.debug("%s: a packet could not be decoded: %s", shown(self.path), error)
            self.damage.broken += 1
            self.damage.check(self.path, self.limits)
            return []
        self.damage.broken += sum(frame.is_corrupt for frame in frames)
        return frames


def runs(timeline: Timeline, ranks: NDArray[np.int64]) -> list[_Run]:
    """Return what to decode for ascending ranks: from keyframes on, near ones joined."""
    keys, packets = timeline.keys, timeline.packets[ranks]
    place = np.maximum(np.searchsorted(keys, packets, "right") - 1, 0)
    # Pictures shown before their keyframe lean on the group before it (open GOP).
    place -= (timeline.pts[packets] < timeline.pts[keys[place]]) & (place > 0)
    found: list[_Run] = []
    for rank, first, packet in zip(
        ranks.tolist(), keys[place].tolist(), packets.tolist(), strict=True
    ):
        last = found[-1] if found else None
        if last is not None and first <= last.last + CHEAPER_TO_GO_ON:
            found[-1] = _Run(last.first, max(last.last, packet), (*last.ranks, rank))
        else:
            found.append(_Run(first, packet, (rank,)))
    return found


def upright(frame: VideoFrame, size_px: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return a frame as people see it, uint8 [H, W, 3] RGB; scaled only if its size is another."""
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as numpy turns
    width, height = size_px or (0, 0)
    coded = (height, width) if turns % 2 else (width, height)
    if size_px is None or coded == (frame.width, frame.height):
        image = frame.to_ndarray(format="rgb24")
    else:
        image = frame.to_ndarray(format="rgb24", width=coded[0], height=coded[1])
    return np.ascontiguousarray(np.rot90(image, turns), np.uint8)
