"""Shot boundaries found: precision, recall and F1 at tolerances in frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agentkit.types import Evaluation, Examples, Line, Pair, UsageError, pair_files, read_lines

TOLERANCES = (0, 2, 5)  # frames; 2 is TransNet V2's, 5 is TRECVID's for cuts
ITEM_TOLERANCE = 2


@dataclass(frozen=True, slots=True)
class Transition:
    """Between two shots: from the end of one to the start of the next, in frames.

    Frame n lasts from n - 0.5 to n + 0.5, so a cut between frames 99 and 100 is at 99.5.
    """

    start: float
    end: float

    def near(self, other: "Transition", tolerance: float) -> bool:
        return max(self.start - other.end, other.start - self.end) <= tolerance


class ShotF1:
    """Transitions matched one to one where they come within a tolerance of each other.

    TRECVID's rule (Smeaton et al. 2010): a true transition may be met by one predicted, which has
    to overlap it; cuts are widened by 5 frames to either side. TransNet V2 (Soucek and Lokoc 2020)
    widens by 2 in all. Counts are added up over the videos; `video_mean_f1` is the mean of F1.
    """

    name = "shot-f1"
    source = "Smeaton et al. 2010 (TRECVID); Soucek and Lokoc 2020 (TransNet V2)"
    ranges: Mapping[str, tuple[float, float]] = {
        f"{kind}@{tolerance}": (0.0, 1.0)
        for tolerance in TOLERANCES
        for kind in ("precision", "recall", "f1", "video_mean_f1")
    }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        videos = {pair.video: _read(pair) for pair in pair_files(predictions, ground_truth)}
        if not any(true for _, true in videos.values()):
            raise UsageError(f"{ground_truth}: one shot has no boundary to find; add other videos")
        metrics: dict[str, float] = {}
        per_video: dict[str, dict[str, float]] = {video: {} for video in videos}
        correct: dict[str, bool] = {}
        for tolerance in TOLERANCES:
            counts = []
            for video, (found, true) in videos.items():
                hits = matched(found, true, tolerance)
                counts.append((len(hits), len(found), len(true)))
                per_video[video] |= _values(*counts[-1], tolerance)
                if tolerance == ITEM_TOLERANCE:
                    correct |= {
                        f"{video}:{int(each.end + 0.5)}": place in hits
                        for place, each in enumerate(true)
                    }
            hits_in_all, found_in_all, true_in_all = (
                sum(column) for column in zip(*counts, strict=True)
            )
            metrics |= _values(hits_in_all, found_in_all, true_in_all, tolerance)
            f1s = [values[f"f1@{tolerance}"] for values in per_video.values()]
            metrics[f"video_mean_f1@{tolerance}"] = sum(f1s) / len(f1s)
        return Evaluation(metrics, per_video, correct)

    def examples(self, folder: Path) -> Examples:
        files = Examples(folder / "truth.txt", folder / "perfect.txt", folder / "bad.txt")
        files.ground_truth.write_text("0 99\n100 249\n250 300\n", encoding="utf-8")
        files.perfect.write_text("100\n250\n", encoding="utf-8")
        files.bad.write_text("50\n120\n", encoding="utf-8")
        return files


def matched(found: Sequence[Transition], true: Sequence[Transition], tolerance: float) -> set[int]:
    """Return which true transitions are met; the most that one-to-one matching allows.

    Both are in order and do not overlap among themselves, so taking the earliest is best.
    """
    hits: set[int] = set()
    candidate = 0
    for place, each in enumerate(true):
        while candidate < len(found) and each.start - found[candidate].end > tolerance:
            candidate += 1
        if candidate < len(found) and found[candidate].near(each, tolerance):
            hits.add(place)
            candidate += 1
    return hits


def read_transitions(path: Path) -> list[Transition]:
    """Return the transitions of one video, in order.

    Lines hold either one number, the first frame of a new shot, or two, a shot's first and last
    frame (TransNet V2's and BBC Planet Earth's lists; frames between two shots are a dissolve).

    Raises:
        UsageError: a line is neither; the numbers do not grow; shots overlap.
    """
    lines = read_lines(path)
    rows = [line.text.replace(",", " ").split() for line in lines]
    if len(rows[0]) not in (1, 2):
        raise lines[0].error("write the first frame of a shot, or its first and last frame")
    numbers = [_numbers(line, row, len(rows[0])) for line, row in zip(lines, rows, strict=True)]
    for line, (before, now) in zip(lines[1:], pairwise(numbers), strict=True):
        if now[0] <= before[-1]:
            raise line.error(f"frame {now[0]} does not come after {before[-1]}; sort the lines")
    if len(rows[0]) == 1:
        return [Transition(frame - 0.5, frame - 0.5) for (frame,) in numbers]
    return [Transition(before[1] + 0.5, now[0] - 0.5) for before, now in pairwise(numbers)]


def _numbers(line: Line, row: Sequence[str], size: int) -> list[int]:
    if len(row) != size:
        raise line.error(f"{len(row)} numbers where the first line has {size}; write as many")
    values = [line.integer(cell, "frame", 0) for cell in row]
    if values != sorted(values):
        raise line.error(f"the shot ends at {values[1]} before it starts; swap the numbers")
    return values


def _read(pair: Pair) -> tuple[list[Transition], list[Transition]]:
    return read_transitions(pair.predictions), read_transitions(pair.ground_truth)


def _values(hits: int, found: int, true: int, tolerance: int) -> dict[str, float]:
    nothing = found == true == 0  # one shot, and one was predicted
    return {
        f"precision@{tolerance}": 1.0 if nothing else hits / max(found, 1),
        f"recall@{tolerance}": 1.0 if nothing else hits / max(true, 1),
        f"f1@{tolerance}": 1.0 if nothing else 2 * hits / (found + true),
    }
