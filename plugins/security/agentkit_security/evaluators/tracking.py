"""Things followed through a video: IDF1, MOTA, MOTP and identity switches."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Evaluation, Examples, pair_files
from agentkit_security.evaluators.track_files import NOTHING, Boxes, read_tracks

MIN_IOU = 0.5
DISTRACTORS = (2, 7, 8, 12)  # on a vehicle, standing still, a likeness, a reflection
NAMES = {"idf1": "idf1", "mota": "mota", "motp": "motp", "num_switches": "id_switches"}


class Mot:
    """IDF1 (Ristani et al. 2016), MOTA and MOTP (Bernardin and Stiefelhagen 2008) by motmetrics.

    Boxes match from an IoU of 0.5; MOTP is the mean 1 - IoU of those that match. Before, as MOT16
    and its successors have it (Milan et al. 2016), boxes of the truth and of the tracker are
    assigned to each other in each frame: a tracker's box on a distractor is taken out, and so is
    all of the truth that is not to be found.
    """

    name = "mot"
    source = "Bernardin and Stiefelhagen 2008; Ristani et al. 2016; Milan et al. 2016 (MOT16)"
    ranges: Mapping[str, tuple[float, float]] = {
        "idf1": (0.0, 1.0),
        "mota": (-math.inf, 1.0),
        "motp": (1 - MIN_IOU, 0.0),
        "id_switches": (math.inf, 0.0),
    }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        import motmetrics

        pairs = pair_files(predictions, ground_truth)
        table = motmetrics.metrics.create().compute_many(
            [_accumulated(pair.predictions, pair.ground_truth) for pair in pairs],
            names=[f"{place}" for place in range(len(pairs))],
            metrics=list(NAMES),
            generate_overall=True,
        )
        rows = table.to_dict("index")
        per_video = {pair.video: _defined(rows[f"{at}"]) for at, pair in enumerate(pairs)}
        return Evaluation(_defined(rows["OVERALL"]), per_video)

    def examples(self, folder: Path) -> Examples:
        files = Examples(folder / "truth.txt", folder / "perfect.txt", folder / "bad.txt")
        true, bad = [], []
        for frame in range(1, 21):
            for identity in (1, 2):
                left = 100 * identity + 3 * frame
                true.append(f"{frame},{identity},{left},50,40,80,1,1,1")
                bad.append(f"{frame},{10 * frame + identity},{left + 8},54,40,80,1,-1,-1,-1")
                bad.append(f"{frame},{identity + 500},{left},400,40,80,1,-1,-1,-1")
        found = [row.replace(",1,1,1", ",0.9,-1,-1,-1") for row in true]
        for path, rows in (
            (files.ground_truth, true),
            (files.perfect, found),
            (files.bad, bad),
        ):
            path.write_text("\n".join([*rows, ""]), encoding="utf-8")
        return files


def box_ious(ones: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of boxes [n, 4] with boxes [m, 4], each (left, top, width, height)."""
    ends, other_ends = ones[:, :2] + ones[:, 2:], others[:, :2] + others[:, 2:]
    starts = np.maximum(ones[:, None, :2], others[None, :, :2])
    sides = np.minimum(ends[:, None], other_ends[None]) - starts
    shared = np.maximum(sides, 0).prod(axis=2)
    areas, other_areas = ones[:, 2:].prod(axis=1), others[:, 2:].prod(axis=1)
    ious: NDArray[np.float64] = shared / (areas[:, None] + other_areas[None] - shared)
    return ious


def without_distractors(true: Boxes, found: Boxes) -> tuple[Boxes, Boxes]:
    """Return what is to be found, and what was found on no distractor."""
    from scipy.optimize import linear_sum_assignment

    ious = box_ious(true.boxes, found.boxes)
    ious[ious < MIN_IOU] = 0
    rows, columns = linear_sum_assignment(ious, maximize=True)
    kept = np.ones(len(found.ids), np.bool_)
    for row, column in zip(rows, columns, strict=True):
        if ious[row, column] > 0 and true.classes[row] in DISTRACTORS:
            kept[column] = False
    return true.where(true.counted), found.where(kept)


def _accumulated(predictions: Path, ground_truth: Path) -> Any:
    import motmetrics

    true_frames, found_frames = read_tracks(ground_truth, True), read_tracks(predictions, False)
    accumulator = motmetrics.MOTAccumulator(auto_id=False)
    for frame in sorted(true_frames.keys() | found_frames.keys()):
        pair = true_frames.get(frame, NOTHING), found_frames.get(frame, NOTHING)
        true, found = without_distractors(*pair)
        distances = np.maximum(1 - box_ious(true.boxes, found.boxes), 0)  # not -1e-17
        distances[distances > 1 - MIN_IOU] = np.nan  # what cannot match
        accumulator.update(true.ids, found.ids, distances, frameid=frame)
    return accumulator


def _defined(row: Mapping[str, float]) -> dict[str, float]:
    values = {ours: float(row[theirs]) for theirs, ours in NAMES.items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}
