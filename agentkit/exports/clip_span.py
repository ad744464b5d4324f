"""Which frames a clip holds, and whether their packets can be copied. Decodes nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import UsageError
from agentkit.types import VideoInfo
from agentkit.video_clock import Timeline
from agentkit.video_open import VideoLimits, open_container, picture_stream, sound_stream

# What MP4 and Matroska both take as it is, out of files of their own kind.
COPIED_PICTURES = frozenset(("h264", "hevc", "av1", "vp9", "mpeg4"))
COPIED_SOUND = frozenset(("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"))
COPIED_FROM = ("mov", "matroska")


@dataclass(frozen=True, slots=True)
class ClipSpan:
    """Frames `first` to before `stop` in order of presentation, and their times in the video."""

    first: int
    stop: int
    start_s: float
    end_s: float

    @property
    def num_frames(self) -> int:
        return self.stop - self.first


def span_of(timeline: Timeline, start_s: float, end_s: float) -> ClipSpan:
    """Return the frames between two times, each brought to the nearest frame.

    Raises:
        UsageError: the two are the same time.
    """
    if end_s <= start_s:
        raise UsageError(f"the clip from {start_s:g} s to {end_s:g} s is empty; name a later end")
    borders = np.append(timeline.times_s, timeline.duration_s)  # [frames + 1]
    first = min(_nearest(borders, start_s), len(borders) - 2)
    stop = max(_nearest(borders, end_s), first + 1)
    return ClipSpan(first, stop, float(borders[first]), float(borders[stop]))


def _nearest(borders: NDArray[np.float64], time_s: float) -> int:
    after = int(np.searchsorted(borders, time_s))
    if after == 0 or after == len(borders):
        return max(after - 1, 0)
    return after if borders[after] - time_s <= time_s - borders[after - 1] else after - 1


def why_not_copied(info: VideoInfo, timeline: Timeline, span: ClipSpan) -> str:
    """Return why the clip has to be encoded anew; empty where its packets can be copied."""
    if not timeline.exact:
        return "the file has no usable presentation times"
    packets = timeline.packets[span.first : span.stop]
    if packets[0] not in timeline.keys:
        return "no keyframe stands at its start"
    if (packets < packets[0]).any() or leftover(timeline, span).size:
        return "frames at its end lean on later ones"
    return _why_not_held(info.path)


def leftover(timeline: Timeline, span: ClipSpan) -> NDArray[np.int64]:
    """Return the packets between a clip's that are not its own, nor shown before it."""
    packets = timeline.packets[span.first : span.stop]
    between = np.setdiff1d(np.arange(packets[0], packets.max() + 1), packets)
    # Pictures shown before their keyframe lean on the group before it: they can be left out.
    return np.asarray(between[timeline.pts[between] >= timeline.pts[packets[0]]], np.int64)


def _why_not_held(path: Path) -> str:
    limits = VideoLimits()
    with open_container(path, limits) as container:
        if not container.format.name.startswith(COPIED_FROM):
            return f"{container.format.name.partition(',')[0]} is not copied from"
        picture, sound = picture_stream(container, path, limits), sound_stream(container)
        if picture.codec_context.name not in COPIED_PICTURES:
            return f"{picture.codec_context.name} is not copied"
        if sound is not None and sound.codec_context.name not in COPIED_SOUND:
            return f"the sound, {sound.codec_context.name}, is not copied"
    return ""
