"""Phases of a procedure, frame by frame and as segments."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Evaluation, Examples
from agentkit_healthcare.evaluators.example_files import write_examples
from agentkit_healthcare.evaluators.phase_files import FRAMES_PER_S, Recognised, read_videos
from agentkit_healthcare.evaluators.relaxed import right_frames
from agentkit_healthcare.evaluators.segments import OVERLAPS, segment_values

FRAME_KINDS = ("precision", "recall", "jaccard")
MEASURES = (
    *("accuracy", *FRAME_KINDS),
    *(f"relaxed_{name}" for name in ("accuracy", *FRAME_KINDS)),
    *("edit", *(f"f1@{share * 100:g}" for share in OVERLAPS)),
)

Values = dict[str, float]


class PhaseRecognition:
    """Accuracy, and precision, recall and Jaccard of each phase; strict and relaxed; segments.

    By M2CAI 2016's and Cholec80's script: accuracy is the mean over videos; a phase's value is
    the mean over the videos in whose truth it is, a metric the mean over the phases. What is
    predicted of a phase that is not in a video's truth lowers the others' values only. The
    precision of a phase that is in the truth and never predicted is undefined and left out of its
    mean; recall and Jaccard are 0. Relaxed values count frames of a neighbouring phase, so they
    are cut at 1. Funke et al. 2023 list what else is done, and by whom.

    Edit score and F1@10/25/50 are those of Lea et al. 2017, means over videos. "precision/PHASE"
    is a phase's own.
    """

    name = "phases"
    source = (
        "Twinanda et al. 2017 (Cholec80) and M2CAI 2016's script; Funke et al. 2023, Metrics "
        "Matter in Surgical Phase Recognition; Lea et al. 2017 (edit, F1@k)"
    )
    ranges: Mapping[str, tuple[float, float]] = dict.fromkeys(MEASURES, (0.0, 1.0))

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        videos = read_videos(predictions, ground_truth)
        values = {each.video: _values(each) for each in videos}
        names = sorted({name for each in values.values() for name in each})
        means = {name: _mean(each.get(name) for each in values.values()) for name in names}
        metrics = _over_phases(means)
        return Evaluation(
            {name: metrics[name] for name in MEASURES if name in metrics} | _phases_own(means),
            {video: _over_phases(each) for video, each in values.items()},
            {item: right for each in videos for item, right in _seconds(each)},
        )

    def examples(self, folder: Path) -> Examples:
        return write_examples(folder)


def _values(video: Recognised) -> Values:
    """Return a video's accuracy, edit score, F1s, and the values of each phase of its truth."""
    found, true = video.found.names, video.true.names
    values = segment_values(found, true)
    for prefix, relaxed in (("", False), ("relaxed_", True)):
        right = right_frames(found, true, video.found.frames_per_s, relaxed)
        values[f"{prefix}accuracy"] = float(right.mean())
        for phase in sorted(set(true)):
            said = np.array([name == phase for name in found])
            is_so = np.array([name == phase for name in true])
            for kind, value in _phase_values(right, said, is_so).items():
                values[f"{prefix}{kind}/{phase}"] = value
    return values


def _phase_values(
    right: NDArray[np.bool_], said: NDArray[np.bool_], is_so: NDArray[np.bool_]
) -> Values:
    either = said | is_so
    hits = int((right & either).sum())
    values = {"recall": min(hits / int(is_so.sum()), 1.0), "jaccard": hits / int(either.sum())}
    if said.any():
        values["precision"] = min(hits / int(said.sum()), 1.0)
    return values


def _over_phases(values: Mapping[str, float]) -> Values:
    """Return the values with those of phases replaced by their means."""
    whole = {name: value for name, value in values.items() if "/" not in name}
    for kind in (f"{prefix}{kind}" for prefix in ("", "relaxed_") for kind in FRAME_KINDS):
        own = [value for name, value in values.items() if name.startswith(f"{kind}/")]
        if own:
            whole[kind] = _mean(own)
    return whole


def _phases_own(means: Mapping[str, float]) -> Values:
    return {name: value for name, value in means.items() if "/" in name}


def _seconds(video: Recognised) -> Iterable[tuple[str, bool]]:
    """Yield an item a second: whether its first frame is right, strictly."""
    step = max(FRAMES_PER_S // video.found.step, 1)
    for place in range(0, len(video.true.names), step):
        second = (video.found.first + place * video.found.step) / FRAMES_PER_S
        yield f"{video.video}:{second:g}s", video.found.names[place] == video.true.names[place]


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)
