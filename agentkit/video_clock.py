"""When every frame of a file is shown, from its packets alone. Decodes nothing.

Time is pts x time base, less the first shown frame's: it starts at 0 whatever the container says.
Where a file has no usable pts, frames are numbered in the order they leave the decoder and their
times are estimated; such a timeline says so and cannot be sought in.
"""

import logging
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from agentkit.errors import VideoDamagedError, VideoLimitError
from agentkit.video_open import VideoLimits, shown

logger = logging.getLogger(__name__)

# Codecs reorder at most 16 frames; a frame farther from its place in the file has a wrong pts.
MAX_REORDER = 32
# A damaged region gives one error a packet; more in a row means that reading does not advance.
MAX_READ_ERRORS = 1000
NO_PTS = -(2**63)
FALLBACK_FPS = 25.0
# 1/3 + 1/3 + 1/3 s and the like must not miss their frame.
SAME_TIME_S = 5e-7


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of a stream in order of presentation, and the packets they come from.

    Packets are numbered in file order, frames ("ranks") in presentation order.
    """

    pts: NDArray[np.int64]  # [packets]
    dts: NDArray[np.int64]  # [packets]
    keys: NDArray[np.int64]  # numbers of the packets that decoding can start from
    packets: NDArray[np.int64]  # [frames] packet of each frame
    times_s: NDArray[np.float64]  # [frames] from 0
    duration_s: float
    start_s: float  # of the first frame, on the container's clock
    exact: bool  # pts say which frame is which; else frames are numbered as they are decoded
    estimated: bool  # the times are a guess
    frames_per_s: float  # average, as the container has it
    warnings: tuple[str, ...] = ()

    def at(self, targets_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rank of the last frame at or before each target, 0 if there is none."""
        found = np.searchsorted(self.times_s, targets_s + SAME_TIME_S, "right") - 1
        return np.maximum(found, 0).astype(np.int64)

    def key_ranks(self) -> NDArray[np.int64]:
        """Return the ranks of the frames that are keyframes, ascending."""
        return np.flatnonzero(np.isin(self.packets, self.keys)).astype(np.int64)


@dataclass(slots=True)
class _Packets:
    """What the listing of packets collects; `array` keeps a day of video in a few megabytes."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    duration: "array[int]" = field(default_factory=lambda: array("q"))
    key: bytearray = field(default_factory=bytearray)
    hidden: bytearray = field(default_factory=bytearray)  # cut away by an edit list
    torn: bytearray = field(default_factory=bytearray)

    def add(self, packet: "Packet[Any]") -> None:
        self.pts.append(NO_PTS if packet.pts is None else packet.pts)
        self.dts.append(NO_PTS if packet.dts is None else packet.dts)
        self.duration.append(packet.duration or 0)
        self.key.append(packet.is_keyframe)
        self.hidden.append(packet.is_discard)
        self.torn.append(packet.is_corrupt)


def packets_of(container: InputContainer, stream: Stream) -> Iterator["Packet[Any]"]:
    """Yield a stream's packets, going on after damage; ends where the file does."""
    for _ in range(MAX_READ_ERRORS):
        try:
            for packet in container.demux(stream):
                if packet.size:  # the last one is empty, and asks a decoder to finish
                    yield packet
            return
        except av.EOFError:  # an FFmpegError too, so it must be caught first
            return
        except av.FFmpegError as error:
            logger.warning("a packet could not be read: %s", error.strerror)


def scan(
    container: InputContainer, stream: VideoStream, path: Path, nbytes: int, limits: VideoLimits
) -> Timeline:
    """List a stream's packets and return their timeline; about 6 microseconds a packet.

    Raises:
        VideoLimitError: too many frames, too long, or too slow to list.
        VideoDamagedError: no frame at all.
    """
    listed = _list_packets(container, stream, path, limits)
    frames = _shown_packets(listed)
    if not len(frames):
        raise VideoDamagedError(f"{shown(path)}: no frame can be read; copy it again", path=path)
    timeline = _timeline(listed, frames, container, stream)
    if timeline.duration_s > limits.max_duration_s:
        raise VideoLimitError(
            f"{shown(path)}: too long: {timeline.duration_s:.0f} s, the limit is"
            f" {limits.max_duration_s:.0f} s; cut it into parts",
            path=path,
        )
    return _with_warnings(timeline, container, stream, nbytes)


def _list_packets(
    container: InputContainer, stream: VideoStream, path: Path, limits: VideoLimits
) -> _Packets:
    listed, began_s = _Packets(), time.monotonic()
    for number, packet in enumerate(packets_of(container, stream)):
        if number >= limits.max_frames_in_file:
            raise VideoLimitError(
                f"{shown(path)}: too long: more than {limits.max_frames_in_file} frames;"
                " cut it into parts",
                path=path,
            )
        if number % 1024 == 0 and time.monotonic() - began_s > limits.max_probe_s:
            raise VideoLimitError(
                f"{shown(path)}: listing its frames takes more than {limits.max_probe_s:.0f} s;"
                " copy it to a faster disk or remux it",
                path=path,
            )
        listed.add(packet)
    return listed


def _shown_packets(listed: _Packets) -> NDArray[np.int64]:
    """Return the packets that become pictures: from a keyframe on, neither hidden nor torn off."""
    key = np.frombuffer(listed.key, np.uint8)
    visible = np.frombuffer(listed.hidden, np.uint8) == 0
    if key.any():
        visible &= np.arange(len(key)) >= int(key.argmax())
    torn = np.frombuffer(listed.torn, np.uint8)
    last_whole = len(torn) - int((torn == 0)[::-1].argmax()) if (torn == 0).any() else len(torn)
    return np.flatnonzero(visible[:last_whole]).astype(np.int64)


def _timeline(
    listed: _Packets, frames: NDArray[np.int64], container: InputContainer, stream: VideoStream
) -> Timeline:
    base = float(stream.time_base or 1 / FALLBACK_FPS)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    pts, dts = np.array(listed.pts, np.int64), np.array(listed.dts, np.int64)
    order = np.argsort(pts[frames], kind="stable")
    # AVI keeps no presentation times: libavformat's pts are of decoding where frames are reordered,
    # yet frames leave the decoder in order and one grid step apart.
    grid = container.format.name == "avi"
    exact = _is_exact(pts[frames], order) and not (grid and (pts != dts).any())
    if exact:
        frames = frames[order]
        ticks = (pts[frames] - pts[frames[0]]).astype(np.float64)
    else:
        ticks = _estimated_ticks(pts[frames], dts[frames], _even_step(listed, rate, base))
    times_s = ticks * base
    last_s = listed.duration[int(frames[-1])] * base or _step_s(times_s, rate)
    keys = np.flatnonzero(np.frombuffer(listed.key, np.uint8)).astype(np.int64)
    return Timeline(
        pts=pts,
        dts=dts,
        keys=keys if len(keys) else np.zeros(1, np.int64),
        packets=frames,
        times_s=times_s,
        duration_s=float(times_s[-1] + last_s),
        start_s=float((pts[frames[0]] if exact else stream.start_time or 0) * base),
        exact=exact,
        estimated=not (exact or grid),
        frames_per_s=rate or len(times_s) / float(times_s[-1] + last_s),
    )


def _is_exact(pts: NDArray[np.int64], order: NDArray[np.intp]) -> bool:
    """Tell whether pts name every frame: none missing, none twice, none far from its place."""
    ranked = pts[order]
    complete = bool(ranked[0] != NO_PTS) and bool((np.diff(ranked) > 0).all())
    return complete and int(np.abs(order - np.arange(len(order))).max()) <= MAX_REORDER


def _even_step(listed: _Packets, rate: float, base: float) -> float:
    """Return the usual distance of frames in ticks: as the packets say, else the rate."""
    said = np.array(listed.duration, np.int64)
    said = said[said > 0]
    return float(np.median(said)) if len(said) else 1 / (rate or FALLBACK_FPS) / base


def _estimated_ticks(
    pts: NDArray[np.int64], dts: NDArray[np.int64], step: float
) -> NDArray[np.float64]:
    """Return times for frames in the order they are decoded: from dts, from known pts, or even."""
    if (dts != NO_PTS).all() and (np.diff(dts) > 0).all():
        return np.asarray(dts - dts[0], np.float64)
    known = np.flatnonzero(pts != NO_PTS)
    if len(known) > 1 and (np.diff(pts[known]) > 0).all():
        return _interpolated(known, pts[known].astype(np.float64), len(pts))
    return np.arange(len(pts), dtype=np.float64) * step


def _interpolated(known: NDArray[np.intp], ticks: NDArray[Any], n: int) -> NDArray[np.float64]:
    """Fill gaps evenly, and go on outside the known ones at their mean distance."""
    mean = (ticks[-1] - ticks[0]) / (known[-1] - known[0])
    places = np.arange(n, dtype=np.float64)  # [n]
    filled = np.interp(places, known, ticks)
    filled = np.where(places < known[0], ticks[0] + (places - known[0]) * mean, filled)
    filled = np.where(places > known[-1], ticks[-1] + (places - known[-1]) * mean, filled)
    return np.asarray(filled - filled[0], np.float64)


def _step_s(times_s: NDArray[np.float64], rate: float) -> float:
    """Return how long the last frame is shown where no packet says it."""
    if len(times_s) > 1:
        return float(np.median(np.diff(times_s)))
    return 1 / (rate or FALLBACK_FPS)


def _with_warnings(
    timeline: Timeline, container: InputContainer, stream: VideoStream, nbytes: int
) -> Timeline:
    warnings = []
    if timeline.estimated:
        warnings.append("times are estimated: the file has no usable presentation times")
    if _is_cut(timeline, container, stream, nbytes):
        warnings.append(f"truncated: the last whole frame is at {timeline.times_s[-1]:.3f} s")
    return replace(timeline, warnings=tuple(warnings))


def _is_cut(
    timeline: Timeline, container: InputContainer, stream: VideoStream, nbytes: int
) -> bool:
    """Tell whether the file ends before its own index or length says."""
    if any((entry.pos or 0) + entry.size > nbytes for entry in stream.index_entries):
        return True
    if container.format.name.startswith("mov"):
        return False  # its lengths do not know of edit lists
    declared_s = _declared_s(container, stream)
    return declared_s is not None and timeline.duration_s < declared_s - 1.0


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    tag = stream.metadata.get("DURATION", "").split(":")  # Matroska's, a stream: HH:MM:SS.frac
    if len(tag) == 3:
        try:
            return int(tag[0]) * 3600 + int(tag[1]) * 60 + float(tag[2])
        except ValueError:
            return None
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / 1e6
    return None
