"""Anomalous frames ranked above the others: ROC AUC and average precision."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Evaluation, Examples, UsageError
from agentkit_security.evaluators.anomaly_files import Scored, read_videos


class AnomalyAuc:
    """AUC and AP over the frames of all videos, and the mean AUC within a video.

    The first is UCF-Crime's measure (Sultani et al. 2018), the second XD-Violence's (Wu et al.
    2020). Scores that tell anomalous videos from normal ones, and nothing within them, reach a
    high AUC too: `within_video_auc` is the mean over the videos that have frames of both kinds.
    """

    name = "anomaly-auc"
    source = "Sultani et al. 2018 (UCF-Crime); Wu et al. 2020 (XD-Violence, AP)"
    ranges: Mapping[str, tuple[float, float]] = {
        "auc": (0.0, 1.0),
        "ap": (0.0, 1.0),
        "within_video_auc": (0.0, 1.0),
    }

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        videos = read_videos(predictions, ground_truth)
        scores = np.concatenate([each.scores for each in videos.values()])
        anomalous = np.concatenate([each.anomalous for each in videos.values()])
        if anomalous.all() or not anomalous.any():
            kind = "anomalous" if anomalous.all() else "normal"
            raise UsageError(f"{ground_truth}: all frames are {kind}; AUC needs both kinds")
        per_video = {video: _within(each) for video, each in videos.items()}
        within = [each["within_video_auc"] for each in per_video.values() if each]
        metrics = {"auc": roc_auc(scores, anomalous), "ap": average_precision(scores, anomalous)}
        if within:
            metrics["within_video_auc"] = sum(within) / len(within)
        return Evaluation(metrics, per_video)

    def examples(self, folder: Path) -> Examples:
        files = Examples(folder / "truth.txt", folder / "perfect.csv", folder / "bad.csv")
        files.ground_truth.write_text(
            "Abuse028_x264.mp4  Abuse  165  240  -1  -1\n"
            "Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1\n",
            encoding="utf-8",
        )
        for path, high, low in ((files.perfect, 0.9, 0.1), (files.bad, 0.1, 0.9)):
            rows = ["video,frame,score"]
            for frame in range(1, 301):
                score = high if 165 <= frame <= 240 else low
                rows.append(f"Abuse028_x264.mp4,{frame},{score}")
            rows += [f"Normal_Videos_003_x264.mp4,{frame},{low}" for frame in range(1, 101)]
            path.write_text("\n".join([*rows, ""]), encoding="utf-8")
        return files


def roc_auc(scores: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Return how often a true frame has the higher score; a tie counts half (Mann-Whitney)."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positives = int(true.sum())
    above = float(mean_ranks[true].sum()) - positives * (positives + 1) / 2
    return above / (positives * (len(true) - positives))


def average_precision(scores: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Return the precision at each score, weighted by the recall it adds; not interpolated."""
    levels, places = np.unique(-scores, return_inverse=True)
    hits = np.bincount(places, weights=true, minlength=len(levels))
    precision = np.cumsum(hits) / np.cumsum(np.bincount(places, minlength=len(levels)))
    return float(precision @ hits) / int(true.sum())


def _within(video: Scored) -> dict[str, float]:
    if video.anomalous.all() or not video.anomalous.any():
        return {}  # with one kind of frame there is nothing to rank
    return {
        "within_video_auc": roc_auc(video.scores, video.anomalous),
        "ap": average_precision(video.scores, video.anomalous),
    }
