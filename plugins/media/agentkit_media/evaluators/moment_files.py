"""QVHighlights' lines of JSON: what was asked of a video, and what was submitted."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Examples, Line, UsageError, read_lines

CLIP_S = 2
NUM_ANNOTATORS = 3
WORST, BEST = 0, 4  # of a clip's saliency
MAX_DURATION_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Asked:
    """A query's true windows [n, 2] in seconds and saliency [clips, annotators], 0..4."""

    video: str
    windows: NDArray[np.float64]
    saliency: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A query's windows [n, 3] (start, end, score) as ranked, and a score for each clip."""

    windows: NDArray[np.float64]
    saliency: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Query:
    """One query: what is true of it, and what was submitted."""

    qid: str
    asked: Asked
    submitted: Submitted

    @property
    def video(self) -> str:
        return self.asked.video


def read_queries(predictions: Path, ground_truth: Path) -> list[Query]:
    """Return the queries of an annotation file, each with what was submitted for it.

    Raises:
        UsageError: a line is no JSON object with the keys of QVHighlights, or a query is in one
            of the two files only.
    """
    asked = {qid: _asked(line, row) for qid, (line, row) in _rows(ground_truth).items()}
    submitted = {qid: _submitted(line, row) for qid, (line, row) in _rows(predictions).items()}
    for qid in sorted(asked.keys() ^ submitted.keys()):
        without = predictions if qid in asked else ground_truth
        raise UsageError(f"{without}: no line with qid {qid}; submit every query, and no other")
    return [Query(qid, asked[qid], submitted[qid]) for qid in asked]


def _rows(path: Path) -> dict[str, tuple[Line, dict[str, Any]]]:
    rows: dict[str, tuple[Line, dict[str, Any]]] = {}
    for line in read_lines(path):
        try:
            row = json.loads(line.text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise line.error("no JSON; write one object a line") from None
        if not isinstance(row, dict):
            raise line.error("no JSON object; write {...}")
        qid = row.get("qid")
        if not isinstance(qid, int | str) or isinstance(qid, bool):
            raise line.error("no qid; name the query")
        if str(qid) in rows:
            raise line.error(f"qid {qid} a second time; leave one")
        rows[str(qid)] = line, row
    return rows


def _asked(line: Line, row: dict[str, Any]) -> Asked:
    duration_s = row.get("duration")
    if not _is_number(duration_s) or not CLIP_S <= duration_s <= MAX_DURATION_S:
        raise line.error(f"duration is not between {CLIP_S} and {MAX_DURATION_S} seconds")
    windows = _numbers(line, row, "relevant_windows", columns=2)
    if (windows[:, 1] <= windows[:, 0]).any():
        raise line.error(
            "a window of relevant_windows has no length; its end comes after its start"
        )
    clips = row.get("relevant_clip_ids")
    scores = _numbers(line, row, "saliency_scores", columns=NUM_ANNOTATORS)
    num_clips = int(duration_s / CLIP_S)
    if not isinstance(clips, list) or len(clips) != len(scores):
        raise line.error("relevant_clip_ids and saliency_scores differ in length; give one each")
    if not all(type(clip) is int and 0 <= clip < num_clips for clip in clips):
        raise line.error(f"a relevant clip is not between 0 and {num_clips - 1}")
    if (scores < WORST).any() or (scores > BEST).any() or (scores % 1).any():
        raise line.error(f"a saliency score is no whole number from {WORST} to {BEST}")
    saliency = np.zeros((num_clips, NUM_ANNOTATORS), np.int64)
    saliency[clips] = scores
    return Asked(str(row.get("vid", "")), windows, saliency)


def _submitted(line: Line, row: dict[str, Any]) -> Submitted:
    windows = _numbers(line, row, "pred_relevant_windows", columns=3)
    if (windows[:, 1] < windows[:, 0]).any():
        raise line.error("a window of pred_relevant_windows ends before it starts; swap the times")
    return Submitted(windows, _numbers(line, row, "pred_saliency_scores", columns=0))


def _numbers(line: Line, row: dict[str, Any], key: str, columns: int) -> NDArray[np.float64]:
    """Return a list of numbers, or of lists of `columns` numbers."""
    rows = row.get(key)
    if not isinstance(rows, list) or not rows:
        raise line.error(f"{key} is no list, or empty; write it out")
    cells = rows if columns == 0 else [cell for each in rows for cell in _cells(each, columns)]
    if not cells or not all(map(_is_number, cells)):
        kind = f"{columns} finite numbers each" if columns else "finite numbers"
        raise line.error(f"{key} does not hold {kind}")
    values = np.array(cells, np.float64)
    return values.reshape(-1, columns) if columns else values


def _cells(row: Any, columns: int) -> list[Any]:
    return row if isinstance(row, list) and len(row) == columns else [None]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def sample(folder: Path) -> Examples:
    """Write two queries, a submission that is right of both, and one that is wrong."""
    files = Examples(folder / "truth.jsonl", folder / "perfect.jsonl", folder / "bad.jsonl")
    scores = [[4, 4, 4], [3, 2, 3], [4, 4, 4]]
    truth = [
        _truth(1, "a", [[10, 16]], [5, 6, 7], scores),
        _truth(2, "b", [[0, 4], [20, 22]], [0, 1, 10], scores),
    ]
    right = [_sent(1, [[10, 16, 0.9]], [5, 7]), _sent(2, [[0, 4, 0.8], [20, 22, 0.6]], [0, 10])]
    wrong = [_sent(1, [[40, 60, 0.9]], [20]), _sent(2, [[40, 50, 0.8]], [21])]
    for path, rows in (
        (files.ground_truth, truth),
        (files.perfect, right),
        (files.bad, wrong),
    ):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return files


def _truth(
    qid: int, vid: str, windows: list[list[int]], clips: list[int], scores: list[list[int]]
) -> dict[str, Any]:
    return {
        "qid": qid,
        "query": "A dog jumps.",
        "duration": 60,
        "vid": vid,
        "relevant_windows": windows,
        "relevant_clip_ids": clips,
        "saliency_scores": scores,
    }


def _sent(qid: int, windows: list[list[float]], clips: list[int]) -> dict[str, Any]:
    saliency = [float(clip in clips) for clip in range(30)]
    return {"qid": qid, "pred_relevant_windows": windows, "pred_saliency_scores": saliency}
