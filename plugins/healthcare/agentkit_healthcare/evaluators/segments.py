"""Phases as a list of segments: edit score and F1 at an overlap, which punish flicker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from agentkit.types import Evaluation, Examples
from agentkit_healthcare.evaluators.example_files import write_examples
from agentkit_healthcare.evaluators.phase_files import read_videos

OVERLAPS = (0.1, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of frames of one phase; `end` is the frame after its last."""

    phase: str
    start: int
    end: int


class PhaseSegments:
    """Edit score and F1@10/25/50 of Lea et al. 2017, each the mean over videos.

    A predicted segment is right where its IoU with the true segment of its phase that it overlaps
    most reaches the threshold and no segment before it took that one.
    """

    name = "phase-segments"
    source = "Lea et al. 2017, Temporal Convolutional Networks for Action Segmentation"
    ranges: Mapping[str, tuple[float, float]] = {
        name: (0.0, 1.0) for name in ("edit", *(f"f1@{share * 100:g}" for share in OVERLAPS))
    }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        per_video = {
            each.video: _values(segments(each.found.names), segments(each.true.names))
            for each in read_videos(predictions, ground_truth)
        }
        metrics = {
            name: sum(values[name] for values in per_video.values()) / len(per_video)
            for name in self.ranges
        }
        return Evaluation(metrics, per_video)

    def examples(self, folder: Path) -> Examples:
        return write_examples(folder)


def segments(names: Sequence[str]) -> list[Segment]:
    """Return the runs of equal names, in order."""
    found: list[Segment] = []
    for name, run in groupby(names):
        start = found[-1].end if found else 0
        found.append(Segment(name, start, start + len(list(run))))
    return found


def edit_score(found: Sequence[str], true: Sequence[str]) -> float:
    """Return 1 - the Levenshtein distance of two lists of names, by the longer's length."""
    row = list(range(len(true) + 1))
    for deleted, name in enumerate(found, start=1):
        before, row[0] = row[0], deleted
        for place, other in enumerate(true, start=1):
            changed = before + (name != other)
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, changed)
    return 1 - row[-1] / max(len(found), len(true))


def overlap_f1(found: Sequence[Segment], true: Sequence[Segment], share: float) -> float:
    """Return F1 of the segments whose IoU with one of the same phase is at least `share`."""
    taken: set[int] = set()
    for each in found:
        overlaps = [_iou(each, other) for other in true]
        best = max(range(len(true)), key=overlaps.__getitem__)
        if overlaps[best] >= share:
            taken.add(best)  # a second segment on the same true one adds nothing: a false alarm
    return 2 * len(taken) / (len(found) + len(true))


def _iou(one: Segment, other: Segment) -> float:
    if one.phase != other.phase:
        return 0.0
    shared = min(one.end, other.end) - max(one.start, other.start)
    union = max(one.end, other.end) - min(one.start, other.start)
    return max(shared, 0) / union


def _values(found: Sequence[Segment], true: Sequence[Segment]) -> dict[str, float]:
    edit = edit_score([each.phase for each in found], [each.phase for each in true])
    f1s = {f"f1@{share * 100:g}": overlap_f1(found, true, share) for share in OVERLAPS}
    return {"edit": edit, **f1s}
