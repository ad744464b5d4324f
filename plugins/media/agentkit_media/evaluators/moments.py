"""Moments and highlights that a sentence asks for, as QVHighlights measures them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Evaluation, Examples
from agentkit_media.evaluators.moment_files import Asked, Query, Submitted, read_queries, sample

Floats = NDArray[np.float64]

IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MAX_WINDOWS = 10  # of a submission count for mAP
VERY_GOOD = 4  # of 0..4
MEASURES = ("r1@0.5", "r1@0.7", "map", "map@0.5", "map@0.75", "hit@1", "highlight_map")


class QvHighlights:
    """R1, mAP, HIT@1 and highlight mAP of Lei et al. 2021, by the rules of its evaluation code.

    r1@IOU: the first window's best IoU with a true one reaches it. map@IOU: the first ten windows,
    best score first, each take the true window they overlap most of those not taken; precision is
    made falling and summed at each step of recall, as ActivityNet does; map is the mean over IoU
    0.5, 0.55 ... 0.95. hit@1: any of the annotators found the two-second clip with the highest
    score very good. highlight_map: for each annotator, the falling precision's mean over the steps
    of recall of the very good clips; 0 where the annotator found none. All are means over queries.
    Clips beyond the scores count as 0, scores beyond the video are cut.
    """

    name = "qvhighlights"
    source = "Lei et al. 2021, QVHighlights (Moment-DETR)"
    ranges: Mapping[str, tuple[float, float]] = dict.fromkeys(MEASURES, (0.0, 1.0))

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        queries = read_queries(predictions, ground_truth)
        values = {query.qid: _values(query) for query in queries}
        videos: dict[str, list[dict[str, float]]] = {}
        for query in queries:
            videos.setdefault(query.video, []).append(values[query.qid])
        return Evaluation(
            _means(list(values.values())),
            {video: _means(each) for video, each in videos.items()},
            {f"{qid}@0.7": each["r1@0.7"] == 1 for qid, each in values.items()},
        )

    def examples(self, folder: Path) -> Examples:
        return sample(folder)


def temporal_iou(one: Sequence[float], others: Floats) -> Floats:
    """Return the IoU of one window with each of [n, 2]; 0 where neither has a length."""
    shared = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    shared = np.maximum(shared, 0)
    union = (one[1] - one[0]) + (others[:, 1] - others[:, 0]) - shared
    ious: Floats = np.divide(shared, union, out=np.zeros(len(others)), where=union > 0)
    return ious


def window_precision(found: Floats, true: Floats, iou: float) -> float:
    """Return the average precision of windows [n, 3] (start, end, score) at one IoU."""
    taken = np.zeros(len(true), np.bool_)
    hits = np.zeros(len(found), np.bool_)
    for place, row in enumerate(found[np.argsort(-found[:, 2], kind="stable")]):
        ious = np.where(taken, -1, temporal_iou(row, true))
        best = int(
            len(true) - 1 - np.argmax(ious[::-1])
        )  # of equals the last; the paper leaves it open
        if ious[best] >= iou:
            taken[best] = hits[place] = True
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(_falling(precision)[hits].sum()) / len(true)


def highlight_precision(scores: Floats, true: NDArray[np.bool_]) -> float:
    """Return the falling precision's mean over the steps of recall; equal scores are one step."""
    if true.all() or not true.any():
        return float(true.all())
    levels, places = np.unique(-scores, return_inverse=True)
    hits = np.bincount(places, weights=true, minlength=len(levels))
    seen = np.bincount(places, minlength=len(levels))
    precision = _falling(np.cumsum(hits) / np.cumsum(seen))
    return float(precision[hits > 0].mean())


def _falling(precision: Floats) -> Floats:
    falling: Floats = np.maximum.accumulate(precision[::-1])[::-1]
    return falling


def _values(query: Query) -> dict[str, float]:
    asked, submitted = query.asked, query.submitted
    first = float(temporal_iou(submitted.windows[0], asked.windows).max())
    cut = submitted.windows[:MAX_WINDOWS]
    precisions = {iou: window_precision(cut, asked.windows, iou) for iou in IOUS}
    return {
        "r1@0.5": float(first >= 0.5),
        "r1@0.7": float(first >= 0.7),
        "map": sum(precisions.values()) / len(IOUS),
        "map@0.5": precisions[0.5],
        "map@0.75": precisions[0.75],
        "hit@1": _hit(submitted, asked),
        "highlight_map": _highlights(submitted, asked),
    }


def _hit(submitted: Submitted, asked: Asked) -> float:
    best = int(np.argmax(submitted.saliency))
    clips = asked.saliency >= VERY_GOOD  # [clips, annotators]
    return float(best < len(clips) and bool(clips[best].any()))


def _highlights(submitted: Submitted, asked: Asked) -> float:
    scores = np.zeros(len(asked.saliency))
    known = submitted.saliency[: len(scores)]
    scores[: len(known)] = known
    clips = asked.saliency >= VERY_GOOD
    return float(np.mean([highlight_precision(scores, column) for column in clips.T]))


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in MEASURES}
