"""From a sampling plan to the frames it means. Knows times, not pictures."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import UsageError, VideoLimitError
from agentkit.types import SamplingPlan
from agentkit.video_clock import SAME_TIME_S, Timeline
from agentkit.video_open import VideoLimits, shown
from videoxl2_model.sampling import SamplingRule, frame_indices, uniform_indices


def wanted_ranks(
    timeline: Timeline, plan: SamplingPlan, path: Path, limits: VideoLimits
) -> NDArray[np.int64]:
    """Return the ranks of the frames that a plan looks at, ascending, each once.

    fps        the last frame at or before each multiple of 1/fps
    keyframes  the keyframe nearest to each multiple of 1/fps
    uniform    `max_frames` frames spread evenly, first and last included
    reference  the rule of the public Video-XL-2, by frame count and average rate

    With `max_frames`, fps and keyframes spread that many evenly over what they found. `max_fps`
    belongs to the reference's rule alone.

    Raises:
        UsageError: the plan makes no sense.
        VideoLimitError: more frames than `limits.max_sampled_frames`.
    """
    _check(plan)
    ranks = _by_mode(timeline, plan)
    if plan.max_frames is not None and len(ranks) > plan.max_frames and plan.mode != "reference":
        ranks = ranks[uniform_indices(len(ranks), plan.max_frames)]
    if len(ranks) > limits.max_sampled_frames:
        raise VideoLimitError(
            f"{shown(path)}: too long: {len(ranks)} frames to look at, the limit is"
            f" {limits.max_sampled_frames}; sample fewer a second or set max_frames",
            path=path,
        )
    return ranks


def _check(plan: SamplingPlan) -> None:
    if not (math.isfinite(plan.fps) and plan.fps > 0):
        raise UsageError(f"fps must be above 0, not {plan.fps}")
    if plan.frames_per_group < 1:
        raise UsageError(f"frames_per_group must be at least 1, not {plan.frames_per_group}")
    if plan.max_frames is not None and plan.max_frames < 1:
        raise UsageError(f"max_frames must be at least 1, not {plan.max_frames}")
    if plan.mode == "uniform" and plan.max_frames is None:
        raise UsageError("sampling mode 'uniform' needs max_frames")


def _by_mode(timeline: Timeline, plan: SamplingPlan) -> NDArray[np.int64]:
    if plan.mode == "reference":
        return _by_reference(timeline, plan)
    if plan.mode == "keyframes":
        keys = timeline.key_ranks()
        times_s = timeline.times_s[keys]
        edges_s = [0.0, *(times_s[1:] + times_s[:-1]) / 2, timeline.duration_s]
        return keys[_holds_multiple(np.array(edges_s), plan.fps)]
    if plan.mode == "fps":
        edges_s = [*timeline.times_s, timeline.duration_s]
        return np.flatnonzero(_holds_multiple(np.array(edges_s), plan.fps)).astype(np.int64)
    return np.arange(len(timeline.times_s), dtype=np.int64)


def _holds_multiple(edges_s: NDArray[np.float64], fps: float) -> NDArray[np.bool_]:
    """Tell for each span between two edges, the first included, if it holds a multiple of 1/fps."""
    first = np.ceil((edges_s - SAME_TIME_S) * fps)
    return np.asarray(first[:-1] < first[1:])


def _by_reference(timeline: Timeline, plan: SamplingPlan) -> NDArray[np.int64]:
    rule = SamplingRule(plan.fps, plan.max_frames or 0, plan.max_fps)
    try:
        return frame_indices(len(timeline.times_s), timeline.frames_per_s, rule)
    except ValueError as error:
        raise UsageError(str(error)) from error
