"""Which stored videos a call means: those named, and of them those that a filter lets through.

Knows the store's list of videos; knows no search and no model.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.checks import check_range
from agentkit.errors import UnknownNameError, UsageError
from agentkit.types import Filter, StoredVideo, VideoName

if TYPE_CHECKING:
    from agentkit_storage import Store

Names = VideoName | Sequence[VideoName] | None


def as_filter(where: Mapping[str, Any]) -> Filter:
    """Return the filter that lets through what a `Where` says; it names no video yet."""
    tags = where.get("tags", ())
    listed = (tags,) if isinstance(tags, str) else tuple(tags)
    return Filter(**{**where, "tags": listed})


def choose(store: "Store", names: Names, where: Filter) -> tuple[list[StoredVideo], Filter]:
    """Return the videos that are meant, in the order named, and the filter with their names.

    Raises:
        UnknownNameError: no video has this collection, domain or tag; names the nearest.
        UnknownVideoError, AmbiguousVideoError: a name means no video, or several.
        UsageError: a video that was named is not among those of the filter.
        TimeRangeError: the times are outside all of these videos, or end before they start.
    """
    if names is None:
        videos = store.videos(where)
        if not videos:
            _refuse_unknown(store, where)
    else:
        listed = [names] if isinstance(names, str | Path | StoredVideo) else names
        videos = [named(store, name) for name in listed]
        where = replace(where, video_ids=tuple(video.video_id for video in videos))
        _refuse_others(store, videos, where)
    _check_times(videos, where)
    return videos, where


def named(store: "Store", name: VideoName) -> StoredVideo:
    """Return a stored video by id, unambiguous prefix of it, path or file name."""
    return name if isinstance(name, StoredVideo) else store.video(str(name))


def span_of(where: Filter) -> tuple[float, float] | None:
    """Return the seconds that a filter holds a video to, (start, end); None for all of it."""
    if where.start_s is None and where.end_s is None:
        return None
    return where.start_s or 0.0, math.inf if where.end_s is None else where.end_s


def _refuse_unknown(store: "Store", where: Filter) -> None:
    """Name the nearest, where it is a name that no video has that lets none through."""
    if where == Filter(start_s=where.start_s, end_s=where.end_s):
        return
    videos = store.videos()
    asked = {"collection": [where.collection], "domain": [where.domain], "tag": where.tags}
    known = {
        "collection": {video.collection for video in videos},
        "domain": {video.domain for video in videos} - {""},
        "tag": {tag for video in videos for tag in video.tags},
    }
    for kind, names in asked.items():
        for name in names:
            if name is not None and name not in known[kind]:
                raise UnknownNameError(kind, name, known[kind])


def _refuse_others(store: "Store", videos: Sequence[StoredVideo], where: Filter) -> None:
    """Make sure that each of these videos is one that the filter lets through."""
    if not any(reason for video in videos for reason in _reasons(video, where)):
        return
    _refuse_unknown(store, where)
    for video in videos:
        for reason in _reasons(video, where):
            raise UsageError(f"{video.path}: {reason}")


def _reasons(video: StoredVideo, where: Filter) -> Iterator[str]:
    """Yield why a filter does not let a video through."""
    if where.collection not in (None, video.collection):
        yield f"not in the collection {where.collection!r}"
    if where.domain not in (None, video.domain):
        yield f"ingested with the domain {video.domain!r}, not {where.domain!r}"
    yield from (f"has no tag {tag!r}" for tag in where.tags if tag not in video.tags)


def _check_times(videos: Sequence[StoredVideo], where: Filter) -> None:
    if videos and span_of(where) is not None:
        longest_s = max(video.duration_s for video in videos)
        check_range(longest_s, where.start_s or 0.0, where.end_s)
