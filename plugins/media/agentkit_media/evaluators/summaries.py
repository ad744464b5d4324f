"""Summaries of videos: F-score with those that people chose, and how alike the rankings are."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Evaluation, Examples
from agentkit_media.evaluators.ranking import kendall_tau, spearman_rho
from agentkit_media.evaluators.summary_files import (
    Annotated,
    Scores,
    read_annotations,
    read_predictions,
)

BUDGET = 0.15  # of the frames
Chosen = NDArray[np.bool_]  # [frames]
Correlation = Callable[[Scores, Scores], float | None]


class Summaries:
    """F-score of summaries of 15 %, and Kendall's tau and Spearman's rho of the scores.

    A summary is made of the segments with the highest sum of mean scores that fit in 15 % of the
    frames (a knapsack; Song et al. 2015, Zhang et al. 2016). Scores of 0 and 1 only are a summary
    already. `f1_mean` is over the annotators (TVSum's rule), `f1_max` the nearest annotator's
    (SumMe's, Gygli et al. 2014). The correlations are with each annotator, then the mean (Otani
    et al. 2019): predictions that are all equal have 0, an annotator's that are are left out.
    Without segments, and without summaries on both sides, there is no F-score.
    """

    name = "summaries"
    source = "Zhang et al. 2016 (F-score); Otani et al. 2019, Rethinking the Evaluation (tau, rho)"
    ranges: Mapping[str, tuple[float, float]] = {
        "f1_mean": (0.0, 1.0),
        "f1_max": (0.0, 1.0),
        "kendall_tau": (-1.0, 1.0),
        "spearman_rho": (-1.0, 1.0),
    }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        truth = read_annotations(ground_truth)
        found = read_predictions(predictions, truth)
        per_video = {video: _values(found[video], truth[video]) for video in sorted(truth)}
        metrics = {
            name: _mean(each.get(name) for each in per_video.values()) for name in self.ranges
        }
        return Evaluation(
            {name: each for name, each in metrics.items() if each is not None}, per_video
        )

    def examples(self, folder: Path) -> Examples:
        truth = folder / "truth"
        truth.mkdir()
        rising = [1 + frame // 10 % 5 for frame in range(100)]
        row = ",".join(map(str, rising))
        (truth / "anno.tsv").write_text(f"park\tPK\t{row}\npark\tPK\t{row}\n", encoding="utf-8")
        segments = [f"park,{start},{start + 4}" for start in range(0, 100, 5)]
        text = "\n".join(["video,start,end", *segments, ""])
        (truth / "segments.csv").write_text(text, encoding="utf-8")
        files = Examples(truth, folder / "perfect.csv", folder / "bad.csv")
        for path, scores in ((files.perfect, rising), (files.bad, [-score for score in rising])):
            path.write_text(f"video,scores\npark,{' '.join(map(str, scores))}\n", encoding="utf-8")
        return files


def summary(scores: Scores, starts: tuple[int, ...]) -> Chosen | None:
    """Return which frames a summary of 15 % holds; None where segments are needed and unknown."""
    if set(np.unique(scores)) <= {0.0, 1.0}:
        return np.equal(scores, 1)
    if not starts:
        return None
    lengths = np.diff([*starts, len(scores)])
    means = np.add.reduceat(scores, starts) / lengths
    return np.repeat(knapsack(means, lengths, int(len(scores) * BUDGET)), lengths)


def knapsack(values: Scores, sizes: NDArray[np.int64], room: int) -> Chosen:
    """Return which items have the highest sum of values in `room`; exact, O(items * room)."""
    best = np.zeros(room + 1)
    taken = np.zeros((len(values), room + 1), np.bool_)
    for item, (value, size) in enumerate(zip(values, sizes, strict=True)):
        if size > room:
            continue
        with_it = best[: room + 1 - size] + value
        taken[item, size:] = with_it > best[size:]
        best[size:] = np.maximum(best[size:], with_it)
    chosen = np.zeros(len(values), np.bool_)
    for item in reversed(range(len(values))):
        chosen[item] = taken[item, room]
        room -= int(sizes[item]) * int(chosen[item])
    return chosen


def f_score(found: Chosen, true: Chosen) -> float:
    """Return the harmonic mean of precision and recall of the frames chosen."""
    return 2 * int((found & true).sum()) / max(int(found.sum()) + int(true.sum()), 1)


def _values(found: Scores, truth: Annotated) -> dict[str, float]:
    chosen = summary(found, truth.starts)
    people = [summary(scores, truth.starts) for scores in truth.scores]
    f1s = [f_score(chosen, each) for each in people if chosen is not None and each is not None]
    values = {
        "f1_mean": _mean(f1s),
        "f1_max": max(f1s, default=None),
        "kendall_tau": _agreement(kendall_tau, found, truth),
        "spearman_rho": _agreement(spearman_rho, found, truth),
    }
    return {name: value for name, value in values.items() if value is not None}


def _agreement(correlation: Correlation, found: Scores, truth: Annotated) -> float | None:
    varied = [scores for scores in truth.scores if scores.min() < scores.max()]
    return _mean(correlation(found, scores) or 0.0 for scores in varied)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
