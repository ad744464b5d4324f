"""Phases as a list of segments: edit score and F1@k (Lea et al. 2017), which punish flicker."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

OVERLAPS = (0.1, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of frames of one phase; `end` is the frame after its last."""

    phase: str
    start: int
    end: int


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
    """Return F1 of the segments whose IoU with one of the same phase is at least `share`.

    Each predicted segment is held to the true one that it overlaps most; of several, one counts.
    """
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


def segment_values(found_names: Sequence[str], true_names: Sequence[str]) -> dict[str, float]:
    """Return the edit score and F1 at each overlap, of the phases of every frame."""
    found, true = segments(found_names), segments(true_names)
    edit = edit_score([each.phase for each in found], [each.phase for each in true])
    f1s = {f"f1@{share * 100:g}": overlap_f1(found, true, share) for share in OVERLAPS}
    return {"edit": edit, **f1s}
