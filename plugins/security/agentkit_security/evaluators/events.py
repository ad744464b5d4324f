"""Events found at the right time: precision, recall and F1, matched one to one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentkit.types import Evaluation, Examples, UsageError, csv_files, read_table

COLUMNS = ("video", "start_s", "end_s", "label")


@dataclass(frozen=True, slots=True)
class Event:
    """What happens in one video between two times."""

    video: str
    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Events matched, found beside the truth, and missed."""

    hits: int = 0
    false: int = 0
    missed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.hits + other.hits, self.false + other.false, self.missed + other.missed)

    @property
    def precision(self) -> float:
        return self.hits / max(self.hits + self.false, 1)

    @property
    def recall(self) -> float:
        return self.hits / max(self.hits + self.missed, 1)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(2 * self.hits + self.false + self.missed, 1)


Matches = Callable[[Event, Event], bool]
Groups = Mapping[tuple[str, str], list[Event]]  # by video and label


class EventF1:
    """Events of one video and label, matched one to one, as many as can be.

    Two rules, side by side: the starts are at most `tolerance_s` apart (an alarm at the right
    moment; the onset rule of Mesaros et al. 2016), or the spans' temporal IoU is at least `iou`
    (ActivityNet, Heilbron et al. 2015). A value of all events is micro; `macro_f1` is the mean
    over the labels that occur in either file; "f1@2s/LABEL" is a label's own. The items are the
    true events, by the first rule.
    """

    name = "event-f1"
    source = "Mesaros et al. 2016 (onset tolerance); Heilbron et al. 2015 (temporal IoU)"

    def __init__(self, tolerance_s: float = 2.0, iou: float = 0.5) -> None:
        self._rules: dict[str, Matches] = {
            f"{tolerance_s:g}s": lambda a, b: abs(a.start_s - b.start_s) <= tolerance_s,
            f"iou{iou:g}": lambda a, b: overlap(a, b) >= iou,
        }
        kinds = ("precision", "recall", "f1", "macro_f1")
        self.ranges: Mapping[str, tuple[float, float]] = {
            f"{kind}@{rule}": (0.0, 1.0) for rule in self._rules for kind in kinds
        }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        found, true = _groups(read_events(predictions)), _groups(read_events(ground_truth))
        if not true:
            raise UsageError(f"{ground_truth}: no event to find; list one a line")
        metrics: dict[str, float] = {}
        per_video: dict[str, dict[str, float]] = defaultdict(dict)
        correct: dict[str, bool] = {}
        for rule, matches in self._rules.items():
            hits = {key: matched(found[key], true[key], matches) for key in {*found, *true}}
            counts = {
                key: Counts(len(seen), len(found[key]) - len(seen), len(true[key]) - len(seen))
                for key, seen in hits.items()
            }
            metrics |= _metrics(counts, rule)
            for video in sorted({video for video, _ in counts}):
                total = _sum(counts[key] for key in counts if key[0] == video)
                per_video[video] |= _values(total, rule)
            correct = correct or _items(hits, true)
        return Evaluation(metrics, dict(per_video), correct)

    def examples(self, folder: Path) -> Examples:
        files = Examples(folder / "truth.csv", folder / "perfect.csv", folder / "bad.csv")
        rows = "gate,10,20,entered\ngate,40,55,loitering\nyard,5,9,entered\n"
        bad = "gate,70,90,entered\ngate,40,55,crowding\n"
        for path, body in zip(
            (files.ground_truth, files.perfect, files.bad), (rows, rows, bad), strict=True
        ):
            path.write_text(f"{','.join(COLUMNS)}\n{body}", encoding="utf-8")
        return files


def overlap(one: Event, other: Event) -> float:
    """Return the temporal IoU; of two moments, 1 where they are the same."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    union = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return max(shared, 0.0) / union if union > 0 else 1.0


def matched(found: list[Event], true: list[Event], matches: Matches) -> set[int]:
    """Return which of the true events are found, in a one-to-one matching of the largest size."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not found or not true:
        return set()
    pairs = np.array([[matches(one, other) for other in found] for one in true])
    partners = maximum_bipartite_matching(csr_array(pairs), perm_type="column")
    return {place for place, partner in enumerate(partners) if partner >= 0}


def read_events(path: Path) -> list[Event]:
    """Return the events of a CSV file with the header video,start_s,end_s,label, or of a folder's.

    Raises:
        UsageError: a line is not of that format; an event ends before it starts.
    """
    events = []
    rows = (row for file in csv_files(path) for row in read_table(file, COLUMNS))
    for line, (video, start, end, label) in rows:
        event = Event(video, line.real(start, "start_s", 0), line.real(end, "end_s", 0), label)
        if event.end_s < event.start_s:
            raise line.error(f"ends at {event.end_s:g} before it starts; swap the two times")
        if not video or not label:
            raise line.error("the video or the label is empty; name both")
        events.append(event)
    return sorted(events, key=lambda event: (event.video, event.start_s, event.end_s, event.label))


def _groups(events: Iterable[Event]) -> dict[tuple[str, str], list[Event]]:
    groups: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        groups[event.video, event.label].append(event)
    return groups


def _items(hits: Mapping[tuple[str, str], set[int]], true: Groups) -> dict[str, bool]:
    """Return each true event, named by video, label and place in time, and if it is found."""
    return {
        f"{video}:{label}:{place}": place in seen
        for (video, label), seen in sorted(hits.items())
        for place in range(len(true[video, label]))
    }


def _sum(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())


def _values(counts: Counts, rule: str) -> dict[str, float]:
    return {
        f"precision@{rule}": counts.precision,
        f"recall@{rule}": counts.recall,
        f"f1@{rule}": counts.f1,
    }


def _metrics(counts: Mapping[tuple[str, str], Counts], rule: str) -> dict[str, float]:
    labels = {
        label: _sum(counts[key] for key in counts if key[1] == label)
        for label in sorted({label for _, label in counts})
    }
    values = _values(_sum(counts.values()), rule)
    values[f"macro_f1@{rule}"] = float(np.mean([each.f1 for each in labels.values()]))
    return values | {f"f1@{rule}/{label}": each.f1 for label, each in labels.items()}
