"""Videos as the rest of the program sees them: what is in a file, and its frames, group by group.

Every open is a safe one (video_open), every time comes from one clock (video_clock), and pictures
are decoded only as far as a plan needs them (video_decode). Knows no model and no store.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import StaleVideoError, TimeRangeError, VideoDamagedError
from agentkit.types import FrameBatch, SamplingPlan, VideoInfo
from agentkit.video_clock import Timeline, scan
from agentkit.video_decode import Damage, PictureSource, upright
from agentkit.video_id import content_id
from agentkit.video_open import (
    FileStamp,
    VideoLimits,
    check_path,
    open_container,
    open_file,
    picture_stream,
    shown,
    sound_stream,
    stamp_of,
)
from agentkit.video_plan import wanted_ranks
from agentkit.video_sound import sound_blocks

__all__ = [
    "VideoLimits",
    "audio",
    "content_id",
    "frames_at",
    "plan_times",
    "probe",
    "sample",
    "timeline_of",
]

logger = logging.getLogger(__name__)

DEFAULT_LIMITS = VideoLimits()
MAX_TITLE = 200
OnWarning = Callable[[str], None]


def probe(
    path: Path | str,
    limits: VideoLimits = DEFAULT_LIMITS,
    allowed_roots: Sequence[Path] | None = None,
) -> VideoInfo:
    """Return what a video file is, after listing its packets and decoding its first frame.

    `allowed_roots` are the folders a file may lie in, links followed; None allows all.

    Raises:
        VideoPathError: missing, not a regular file, or not allowed.
        VideoOpenError: not a video, or of a format or codec that is not supported.
        VideoLimitError: beyond `limits`.
        VideoDamagedError: no frame can be decoded.
    """
    real = check_path(path, allowed_roots)
    video_id = content_id(real)
    timeline = _timeline_of(real, limits)
    frame = PictureSource(real, timeline, limits, Damage()).first_frame()
    height, width = upright(frame).shape[:2]
    with open_container(real, limits) as container:
        stream = picture_stream(container, real, limits)
        return VideoInfo(
            video_id=video_id,
            path=real,
            duration_s=timeline.duration_s,
            size_px=(width, height),
            rotation_deg=round(frame.rotation / 90) % 4 * 90,
            time_base=stream.time_base or Fraction(1, 1_000_000),
            frames_in_file=len(timeline.times_s),
            frames_per_s=timeline.frames_per_s,
            has_sound=sound_stream(container) is not None,
            codec=stream.codec_context.name,
            title=_title(container.metadata.get("title", "")),
            times_estimated=timeline.estimated,
            warnings=timeline.warnings,
        )


def plan_times(
    info: VideoInfo, plan: SamplingPlan, limits: VideoLimits = DEFAULT_LIMITS
) -> NDArray[np.float64]:
    """Return the times of the frames that `sample` will look at, [n] seconds; decodes nothing.

    Raises:
        UsageError: the plan makes no sense.
        VideoLimitError: more frames than `limits.max_sampled_frames`.
        StaleVideoError: the file is not the one that was probed.
    """
    timeline = _timeline_of(_unchanged(info), limits)
    return timeline.times_s[wanted_ranks(timeline, plan, info.path, limits)]


def sample(
    info: VideoInfo,
    plan: SamplingPlan,
    *,
    start_group: int = 0,
    stop_group: int | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    on_warning: OnWarning = logger.warning,
) -> Iterator[FrameBatch]:
    """Return the groups of a plan from `start_group` to before `stop_group`, by default to the end.

    One group of pictures is held at a time; the last may be short. What could not be read is told
    to `on_warning`, a line each, after the last group: damaged frames (the picture before them
    stands in) and a missing end.

    Raises:
        UsageError, VideoLimitError, StaleVideoError: see `plan_times`; at once.
        VideoDamagedError: too much is damaged; while iterating.
    """
    path = _unchanged(info)
    timeline = _timeline_of(path, limits)
    ranks = wanted_ranks(timeline, plan, path, limits)
    source = PictureSource(path, timeline, limits, Damage())
    size = plan.frames_per_group
    stop = None if stop_group is None else stop_group * size
    wanted = slice(start_group * size, stop)
    return _batches(info, source, ranks, wanted, size, on_warning)


def group_span(
    info: VideoInfo,
    plan: SamplingPlan,
    start_s: float,
    end_s: float,
    limits: VideoLimits = DEFAULT_LIMITS,
) -> tuple[int, int]:
    """Return (first, stop) of a plan's groups that touch [start_s, end_s)."""
    times_s = plan_times(info, plan, limits)
    first = max(int(np.searchsorted(times_s, start_s, side="right")) - 1, 0)
    stop = int(np.searchsorted(times_s, end_s, side="left"))
    size = plan.frames_per_group
    return first // size, max(-(-stop // size), first // size)


def _batches(
    info: VideoInfo,
    source: PictureSource,
    ranks: NDArray[np.int64],
    wanted: slice,
    size: int,
    on_warning: OnWarning,
) -> Iterator[FrameBatch]:
    times_s, last_s = source.timeline.times_s[ranks], 0.0
    numbered = enumerate(source.pictures(ranks[wanted], info.size_px), wanted.start)
    for group, members in groupby(numbered, lambda item: item[0] // size):
        images = np.stack([image for _, (_, image) in members])  # [T, H, W, 3] RGB
        at = group * size
        ends = at + size < len(times_s)
        yield FrameBatch(
            index=group,
            images=images,
            times_s=times_s[at : at + len(images)],
            end_s=float(times_s[at + size]) if ends else info.duration_s,
        )
        last_s = float(times_s[at + len(images) - 1])
    for line in source.damage.warnings(last_s):
        on_warning(f"{shown(info.path)}: {line}")


def frames_at(
    info: VideoInfo, times_s: Sequence[float], limits: VideoLimits = DEFAULT_LIMITS
) -> list[NDArray[np.uint8]]:
    """Return the frame shown at each time, uint8 [H, W, 3] RGB, in the order asked.

    Raises:
        TimeRangeError: a time is not inside the video.
        StaleVideoError: the file is not the one that was probed.
        VideoDamagedError: nothing can be decoded there.
    """
    for time_s in times_s:
        if not 0 <= time_s <= info.duration_s:
            raise TimeRangeError(
                f"{shown(info.path)}: {time_s:.3f} s is outside the video, which is"
                f" {info.duration_s:.3f} s long",
                path=info.path,
            )
    path = _unchanged(info)
    timeline = _timeline_of(path, limits)
    asked = timeline.at(np.asarray(times_s, np.float64))
    source = PictureSource(path, timeline, limits, Damage())
    found = dict(source.pictures(np.unique(asked), info.size_px))
    if asked.size and not found:
        raise VideoDamagedError(f"{shown(path)}: no frame can be decoded there", path=path)
    return [found.get(rank, found[max(found)]) for rank in asked.tolist()]


def timeline_of(info: VideoInfo, limits: VideoLimits = DEFAULT_LIMITS) -> Timeline:
    """Return when every frame of a video is shown.

    Raises:
        StaleVideoError: the file is not the one that was probed.
    """
    return _timeline_of(_unchanged(info), limits)


def audio(
    info: VideoInfo, limits: VideoLimits = DEFAULT_LIMITS
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Return the sound in blocks: (start in s on the frames' clock, float32 mono 16 kHz [n]).

    Empty without a sound track. Blocks are about 5 s and follow each other; where the track has a
    gap, a new block starts after it. Sound before the first frame is left out.

    Raises:
        StaleVideoError: the file is not the one that was probed.
    """
    path = _unchanged(info)
    return sound_blocks(path, _timeline_of(path, limits).start_s, limits)


def _unchanged(info: VideoInfo) -> Path:
    path = check_path(info.path)
    if content_id(path) != info.video_id:
        raise StaleVideoError(
            f"{shown(path)}: the file is not the one that was read before; ingest it again",
            path=path,
        )
    return path


def _timeline_of(path: Path, limits: VideoLimits) -> Timeline:
    with open_file(path) as file:
        stamp = stamp_of(file)
    return _scanned(path, stamp, limits)


@lru_cache(maxsize=4)
def _scanned(path: Path, stamp: FileStamp, limits: VideoLimits) -> Timeline:
    with open_container(path, limits) as container:
        stream = picture_stream(container, path, limits)
        return scan(container, stream, path, stamp.nbytes, limits)


def forget_timelines() -> None:
    """Drop the timelines kept of the last files, for measuring what a new file costs."""
    _scanned.cache_clear()


def _title(text: str) -> str:
    """Return a title as data: one line, printable, of bounded length."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words)[:MAX_TITLE]
