"""MOT Challenge text: one box a line, by frame and identity."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Line, read_lines

COLUMNS = "frame,id,left,top,width,height,conf,class,visibility"
PEDESTRIAN = 1
MIN_SIDE_PX = 0.01  # an area of less vanishes among rounding errors
MAX_PX = 1_000_000
CLASS_COLUMNS = 9  # of MOT16, MOT17 and MOT20's truth; MOT15's has x, y, z: 10 columns


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one frame: identities [n], (left, top, width, height) [n, 4], classes [n].

    `counted` says which of a truth's boxes are to be found.
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    counted: NDArray[np.bool_]

    def where(self, kept: NDArray[np.bool_]) -> "Boxes":
        return Boxes(self.ids[kept], self.boxes[kept], self.classes[kept], self.counted[kept])


@dataclass(frozen=True, slots=True)
class _Row:
    identity: int
    box: tuple[float, ...]
    kind: int
    counted: bool


NOTHING = Boxes(
    np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_)
)


def read_tracks(path: Path, truth: bool) -> dict[int, Boxes]:
    """Return the boxes of each frame, the frames in order.

    In a truth, a confidence of 0 says that a box is not to be found; with nine columns the eighth
    is the class, of which 1, a pedestrian, is to be found. A tracker's confidences are not read.

    Raises:
        UsageError: a line is not of the format, or an identity is in a frame twice.
    """
    frames: dict[int, dict[int, _Row]] = {}
    for line in read_lines(path):
        frame, row = _row(line, truth)
        others = frames.setdefault(frame, {})
        if row.identity in others:
            raise line.error(f"id {row.identity} a second time in frame {frame}; leave one")
        others[row.identity] = row
    return {frame: _boxes(list(frames[frame].values())) for frame in sorted(frames)}


def _row(line: Line, truth: bool) -> tuple[int, _Row]:
    cells = line.cells()
    if not 6 <= len(cells) <= 10:
        raise line.error(f"{len(cells)} cells where 6 to 10 are meant: {COLUMNS}")
    frame, identity = line.integer(cells[0], "frame", 1), _whole(line, cells[1], "id")
    box = tuple(line.real(cell, "box") for cell in cells[2:6])
    if min(box[2:]) < MIN_SIDE_PX or max(map(abs, box)) > MAX_PX:
        raise line.error(
            f"the box is not of {MIN_SIDE_PX} to {MAX_PX} pixels a side, or beyond; leave it out"
        )
    classed = truth and len(cells) == CLASS_COLUMNS
    kind = _whole(line, cells[7], "class") if classed else PEDESTRIAN
    counted = not truth or len(cells) < 7 or line.real(cells[6], "conf") != 0
    return frame, _Row(identity, box, kind, counted and kind == PEDESTRIAN)


def _whole(line: Line, cell: str, name: str) -> int:
    value = line.real(cell, name)  # trackers write 3.0 too
    if value != int(value) or abs(value) > 2**53:
        raise line.error(f"{name} {value:g} is no whole number; number the tracks")
    return int(value)


def _boxes(rows: list[_Row]) -> Boxes:
    return Boxes(
        np.array([row.identity for row in rows], np.int64),
        np.array([row.box for row in rows], np.float64),
        np.array([row.kind for row in rows], np.int64),
        np.array([row.counted for row in rows], np.bool_),
    )
