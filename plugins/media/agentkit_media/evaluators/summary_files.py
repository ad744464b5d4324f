"""Files of scores a frame: TVSum's annotations, a plain CSV of them, segments, predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Line, UsageError, read_lines, read_table, table_rows

Scores = NDArray[np.float64]  # [frames]
ANNOTATIONS = ("video", "annotator", "scores")
SEGMENTS = ("video", "start", "end")
SEGMENTS_FILE = "segments.csv"


@dataclass(frozen=True, slots=True)
class Annotated:
    """A video's scores by each annotator, [annotators, frames], and where its segments start.

    `starts` is empty where no segments are known.
    """

    scores: Scores
    starts: tuple[int, ...] = ()

    @property
    def num_frames(self) -> int:
        return int(self.scores.shape[1])


def read_annotations(path: Path) -> dict[str, Annotated]:
    """Return the videos of an annotation file, or of a folder with one and segments.csv.

    The file is TVSum's (video, category and scores joined by commas, between tabs; one line for
    each annotator) or a CSV with the header video,annotator,scores, the scores between blanks.

    Raises:
        UsageError: it is neither; annotators scored different numbers of frames; the segments of
            a video leave a gap.
    """
    if not path.is_dir():
        return {video: Annotated(scores) for video, scores in _read_scores(path).items()}
    others = [
        each
        for each in sorted(path.iterdir())
        if each.name != SEGMENTS_FILE and not each.name.startswith(".")
    ]
    if len(others) != 1:
        raise UsageError(f"{path}: {len(others)} annotation files; keep one beside {SEGMENTS_FILE}")
    scores = _read_scores(others[0])
    file = path / SEGMENTS_FILE
    if not file.exists():
        return {video: Annotated(each) for video, each in scores.items()}
    starts = _read_segments(file, {video: each.shape[1] for video, each in scores.items()})
    return {video: Annotated(each, starts[video]) for video, each in scores.items()}


def read_predictions(path: Path, truth: Mapping[str, Annotated]) -> dict[str, Scores]:
    """Return each video's score of every frame.

    The header is video,scores (one line a video, all its scores between blanks) or
    video,frame,score; there a score holds until the next frame that is listed, from frame 0 on.

    Raises:
        UsageError: it has another header, other videos or other numbers of frames than `truth`.
    """
    lines = read_lines(path)
    header = lines[0]
    if header.cells() == ["video", "scores"]:
        found = _whole_rows(lines, truth)
    elif header.cells() == ["video", "frame", "score"]:
        found = _sparse_rows(lines, truth)
    else:
        raise header.error("the header is neither video,scores nor video,frame,score; write one")
    for video in sorted(truth.keys() - found.keys()):
        raise UsageError(f"{path}: no score of video {video!r}; add it")
    return found


def _read_scores(path: Path) -> dict[str, Scores]:
    lines = read_lines(path)
    rows: dict[str, list[Scores]] = {}
    if lines[0].cells() == list(ANNOTATIONS):
        triples = [
            (line, video, row.split()) for line, (video, _, row) in table_rows(lines, ANNOTATIONS)
        ]
    else:
        triples = [(line, *_tvsum_cells(line)) for line in lines]
    for line, video, cells in triples:
        scores = _scores(line, cells)
        others = rows.setdefault(video, [])
        if others and len(others[0]) != len(scores):
            raise line.error(
                f"{len(scores)} scores of {video!r} where another annotator gave {len(others[0])}; "
                "give one a frame"
            )
        others.append(scores)
    return {video: np.stack(each) for video, each in rows.items()}


def _tvsum_cells(line: Line) -> tuple[str, list[str]]:
    cells = line.text.split("\t")
    if len(cells) != 3 or not cells[0].strip():
        raise line.error(
            "neither TVSum's video, category and scores between tabs, nor under the header "
            f"{','.join(ANNOTATIONS)}; write one of them"
        )
    return cells[0].strip(), cells[2].split(",")


def _scores(line: Line, cells: list[str]) -> Scores:
    if len(cells) < 2:
        raise line.error("fewer than two scores; give one a frame")
    try:
        scores = np.array(cells).astype(np.float64)
    except ValueError:
        scores = np.array([np.nan])
    plain = "".join(cells)
    if plain.isascii() and "_" not in plain and np.isfinite(scores).all():
        return scores
    return np.array([line.real(cell, "score") for cell in cells])  # slow, and says which is wrong


def _read_segments(path: Path, num_frames: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    starts: dict[str, list[int]] = {video: [] for video in num_frames}
    ends = dict.fromkeys(num_frames, 0)
    for line, (video, first, last) in read_table(path, SEGMENTS):
        if video not in starts:
            raise line.error(f"video {video!r} has no annotation; leave it out")
        start, end = line.integer(first, "start", 0), line.integer(last, "end", 0)
        if start != ends[video] or end < start:
            raise line.error(f"{start} to {end} where {ends[video]} is next; leave no gap")
        starts[video].append(start)
        ends[video] = end + 1
    for video, end in ends.items():
        if end != num_frames[video]:
            raise UsageError(
                f"{path}: the segments of {video!r} end at frame {end - 1}, its annotation at "
                f"{num_frames[video] - 1}; cover all frames"
            )
    return {video: tuple(each) for video, each in starts.items()}


def _whole_rows(lines: Sequence[Line], truth: Mapping[str, Annotated]) -> dict[str, Scores]:
    found: dict[str, Scores] = {}
    for line, (video, row) in table_rows(lines, ("video", "scores")):
        num_frames = _known(line, video, truth)
        if video in found:
            raise line.error(f"video {video!r} a second time; leave one")
        found[video] = _scores(line, row.split())
        if len(found[video]) != num_frames:
            raise line.error(f"{len(found[video])} scores where {video!r} has {num_frames} frames")
    return found


def _sparse_rows(lines: Sequence[Line], truth: Mapping[str, Annotated]) -> dict[str, Scores]:
    rows: dict[str, list[tuple[int, float]]] = {}
    for line, (video, cell, score) in table_rows(lines, ("video", "frame", "score")):
        num_frames, frame = _known(line, video, truth), line.integer(cell, "frame", 0)
        others = rows.setdefault(video, [])
        if frame >= num_frames:
            raise line.error(f"frame {frame} of {video!r}, which has {num_frames} frames")
        if frame <= others[-1][0] if others else frame:
            raise line.error(f"frame {frame} of {video!r}; begin with frame 0 and sort the lines")
        others.append((frame, line.real(score, "score")))
    return {video: _held(each, truth[video].num_frames) for video, each in rows.items()}


def _held(rows: list[tuple[int, float]], num_frames: int) -> Scores:
    frames = [frame for frame, _ in rows]
    lengths = np.diff([*frames, num_frames])
    return np.repeat(np.array([score for _, score in rows]), lengths)


def _known(line: Line, video: str, truth: Mapping[str, Annotated]) -> int:
    if video not in truth:
        raise line.error(f"video {video!r} is not in the ground truth; leave it out")
    return truth[video].num_frames
