"""UCF-Crime's temporal annotation, and scores a frame or a segment of 16 frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Line, UsageError, csv_files, read_lines, table_rows

SEGMENT_FRAMES = 16  # C3D's and I3D's: the field repeats a segment's score for each of its frames

Span = tuple[int, int]  # first and last frame, counted from 1


@dataclass(frozen=True, slots=True)
class Scored:
    """One video's frames: the score of each, and whether it is anomalous."""

    scores: NDArray[np.float64]
    anomalous: NDArray[np.bool_]


def read_videos(predictions: Path, ground_truth: Path) -> dict[str, Scored]:
    """Return the videos of an annotation, with the scores of a CSV file or of a folder of them.

    Raises:
        UsageError: a file is not of its format, a video is in one of the two only, or an
            anomaly starts after the last frame that is scored.
    """
    spans, scores = _read_annotation(ground_truth), _read_scores(predictions)
    for video in sorted(spans.keys() ^ scores.keys()):
        without = predictions if video in spans else ground_truth
        raise UsageError(f"{without}: no line of video {video!r}; both files hold the same videos")
    return {video: _scored(scores[video], *spans[video]) for video in sorted(spans)}


def _scored(scores: NDArray[np.float64], line: Line, spans: list[Span]) -> Scored:
    anomalous = np.zeros(len(scores), np.bool_)
    for first, last in spans:
        if first > len(scores):
            raise line.error(f"starts at frame {first}, but {len(scores)} frames are scored")
        anomalous[first - 1 : last] = True  # the field cuts an end that lies beyond the scores
    return Scored(scores, anomalous)


def _read_annotation(path: Path) -> dict[str, tuple[Line, list[Span]]]:
    found: dict[str, tuple[Line, list[Span]]] = {}
    for line in read_lines(path):
        cells = line.text.split()
        if len(cells) < 4 or len(cells) % 2:
            raise line.error("write a video, its class, and pairs of first and last frame or -1")
        if cells[0] in found:
            raise line.error(f"video {cells[0]!r} a second time; put its spans on one line")
        frames = [line.integer(cell, "frame", -1) for cell in cells[2:]]
        pairs = zip(frames[::2], frames[1::2], strict=True)
        found[cells[0]] = line, [_span(line, *pair) for pair in pairs if pair != (-1, -1)]
    return found


def _span(line: Line, first: int, last: int) -> Span:
    if first < 0 or last < max(first, 1):
        raise line.error(f"{first} {last} is no span; write the first and the last frame, or -1 -1")
    return max(first, 1), last


def _read_scores(path: Path) -> dict[str, NDArray[np.float64]]:
    scores: dict[str, NDArray[np.float64]] = {}
    for file in csv_files(path):
        for video, values in _read_file(file).items():
            if video in scores:
                raise UsageError(f"{file}: video {video!r} is in another file too; leave one")
            scores[video] = values
    return scores


def _read_file(path: Path) -> dict[str, NDArray[np.float64]]:
    lines = read_lines(path)
    header = lines[0]
    kinds: Mapping[str, int] = {"frame": 1, "segment": SEGMENT_FRAMES}
    kind = next((kind for kind in kinds if header.cells() == ["video", kind, "score"]), None)
    if kind is None:
        raise header.error("the header is neither video,frame,score nor video,segment,score")
    scores: dict[str, list[float]] = {}
    starts: dict[str, int] = {}
    for line, (video, cell, score) in table_rows(lines, ("video", kind, "score")):
        number = line.integer(cell, kind, 0)
        others = scores.setdefault(video, [])
        start = starts.setdefault(video, number)
        if start > 1 or number != start + len(others):
            raise line.error(f"{kind} {number} of {video!r}; number them from 0 or 1, without gaps")
        others.append(line.real(score, "score"))
    return {video: np.repeat(np.array(each), kinds[kind]) for video, each in scores.items()}
