"""Which frames the public Video-XL-2 looks at, from a frame count and a rate. No torch, no file.

The rules are those of the public reference implementation (repository VectorSpaceLab/Video-XL,
folder Video-XL-2, its video loaders), kept to the last rounding; frames are named by index.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videoxl2_model.prompting import time_text

FRAMES_PER_GROUP = 4


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """Parameters of the reference's loader, under its meanings.

    `max_frames` is the cap above which frames are spread evenly (0: no cap). `max_fps` lets short
    videos be looked at more often than `fps`, as far as the cap allows. `whole_groups` drops the
    frames after the last whole group, as the reference's `pure` variant does.
    """

    fps: float = 1.0
    max_frames: int = 0
    max_fps: float | None = None
    whole_groups: bool = False


def frame_indices(num_frames: int, frames_per_s: float, rule: SamplingRule) -> NDArray[np.int64]:
    """Return the indices of the frames to look at, ascending; none if the rate is not positive.

    Raises:
        ValueError: the target rate is so far above the video's that the step rounds to nothing,
            or the video has no frame and `max_fps` is given.
    """
    if frames_per_s <= 0:
        return np.empty(0, np.int64)
    indices = _every(num_frames, frames_per_s, rule.fps)
    if rule.max_fps is not None:
        if not len(indices):
            raise ValueError("a video without frames cannot be sampled with max_fps")
        faster = min(rule.max_frames // len(indices), rule.max_fps)
        if faster > rule.fps:
            indices = _every(num_frames, frames_per_s, faster)
    if 0 < rule.max_frames < len(indices):
        indices = uniform_indices(num_frames, rule.max_frames)
    if rule.whole_groups:
        indices = indices[: len(indices) // FRAMES_PER_GROUP * FRAMES_PER_GROUP]
    return indices


def _every(num_frames: int, frames_per_s: float, fps: float) -> NDArray[np.int64]:
    # Python's round takes exact halves to the even number; so does the reference.
    step = round(frames_per_s / fps) if fps else 1
    if step < 1:
        raise ValueError(f"{fps} frames/s asked of {frames_per_s} frames/s: sample fewer a second")
    return np.arange(0, num_frames, step, dtype=np.int64)


def uniform_indices(num_frames: int, count: int) -> NDArray[np.int64]:
    """Return `count` indices from the first to the last frame, rounded down.

    The step is computed once, in double arithmetic: exact integer division differs in places.
    """
    if count == 1:
        return np.zeros(1, np.int64)
    step = (num_frames - 1) / (count - 1)
    indices: NDArray[np.int64] = np.floor(np.arange(count) * step).astype(np.int64)
    indices[-1] = num_frames - 1
    return indices


def timestamps_s(indices: NDArray[np.int64], frames_per_s: float) -> list[float]:
    """Return the reference's own times: index / rate, to one decimal."""
    return [round(index / frames_per_s, 1) for index in indices.tolist()]


def group_texts(times_s: list[float]) -> list[str]:
    """Return the time text of every group of four: that of its first frame."""
    return [time_text(first_s) for first_s in times_s[::FRAMES_PER_GROUP]]
