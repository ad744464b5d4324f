"""One clock for many cameras, out of offsets between two. Knows no picture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from agentkit.types import StoredVideo
from agentkit_security.linking.results import Offset

LEAST_PREFIX = 4  # characters of an id


def given_clocks(videos: Iterable[StoredVideo], offsets: Mapping[str, float]) -> dict[str, float]:
    """Return what the user said of these videos' clocks, by id; of other videos nothing is read."""
    return {
        video.video_id: seconds
        for video in videos
        for name, seconds in offsets.items()
        if names(name, video)
    }


def names(name: str, video: StoredVideo) -> bool:
    """Whether a name means a video: its id, the beginning of it, its path or its file's name."""
    if len(name) >= LEAST_PREFIX and video.video_id.startswith(name):
        return True
    path = PurePath(video.path)
    return name in (video.path, path.name, path.stem)


def shared_clock(
    video_ids: Sequence[str], offsets: Sequence[Offset], given: Mapping[str, float]
) -> dict[str, float]:
    """Return what is added to each video's times to come to the clock of all of them.

    The surest offsets come first, as long as they join what was apart (Kruskal 1956). Those that
    were given keep their clock; if none was, the first of the largest group of cameras, by id, is
    the clock. A camera that nothing sure leads to has none.
    """
    groups = [{video: given[video] for video in video_ids if video in given}]
    groups += [{video: 0.0} for video in sorted(video_ids) if video not in given]
    for offset in sorted(offsets, key=lambda one: (-one.confidence, one.a, one.b)):
        if offset.is_sure and math.isfinite(offset.seconds):
            groups = _joined(groups, offset)
    if given:
        return next(group for group in groups if group.keys() >= given.keys())
    best = min((group for group in groups if group), key=lambda group: (-len(group), min(group)))
    if len(best) < 2:
        return {}
    first = min(best)
    return {video: seconds - best[first] for video, seconds in best.items()}


def _joined(groups: list[dict[str, float]], offset: Offset) -> list[dict[str, float]]:
    """Put the groups of an offset's two cameras on the clock of the one that comes first."""
    ones = next(group for group in groups if offset.a in group)
    others = next(group for group in groups if offset.b in group)
    if ones is others:
        return groups
    # Of b's camera: seconds + clock of a is what its clock should be.
    shift_s = ones[offset.a] + offset.seconds - others[offset.b]
    if groups.index(others) < groups.index(ones):
        ones, others, shift_s = others, ones, -shift_s
    ones |= {video: seconds + shift_s for video, seconds in others.items()}
    return [group for group in groups if group is not others]
