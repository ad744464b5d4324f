"""YOLOX's arithmetic around its network: letterbox, decoding of the grid, suppression.

The network's own preprocessing is kept (Ge et al., YOLOX, 2021, and its published export): BGR,
0..255, padded with 114 at the right and below, no normalisation. Knows no frame's time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments.pictures import Rgb, resized

INPUT_PX = 416
_STRIDES = (8, 16, 32)
_PADDING = 114


@dataclass(frozen=True, slots=True)
class Boxes:
    """Detections of one picture, best first."""

    corners: NDArray[np.float32]  # [N, 4] left, top, right, bottom
    scores: NDArray[np.float32]  # [N]
    classes: NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Boxes":
        return Boxes(self.corners[index], self.scores[index], self.classes[index])


def letterbox(image: Rgb, size_px: int = INPUT_PX) -> tuple[NDArray[np.float32], float]:
    """Return the network's input [1, 3, size_px, size_px] and the scale from frame to input."""
    height_px, width_px = image.shape[:2]
    scale = min(size_px / height_px, size_px / width_px)
    inner_w, inner_h = max(round(width_px * scale), 1), max(round(height_px * scale), 1)
    padded = np.full((size_px, size_px, 3), _PADDING, dtype=np.float32)
    padded[:inner_h, :inner_w] = resized(image, inner_w, inner_h)[:, :, ::-1]
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None], scale


def grid(size_px: int = INPUT_PX) -> NDArray[np.float32]:
    """Return the cells' left, top and stride in the order of the outputs, [P, 3]."""
    rows = []
    for stride in _STRIDES:
        side = size_px // stride
        top, left = np.mgrid[:side, :side].reshape(2, -1)
        rows.append(np.stack([left, top, np.full_like(left, stride)], axis=1))
    return np.concatenate(rows).astype(np.float32)


def decode(raw: NDArray[np.float32], cells: NDArray[np.float32], threshold: float) -> Boxes:
    """Return the boxes over `threshold` in input pixels, best first.

    raw: [P, 5 + C]: centre offset x, y in cells, log width, log height in strides, objectness,
    class shares; the last two kinds are 0..1 already. cells: of `grid`, [P, 3].
    """
    shares = raw[:, 5:]
    classes = shares.argmax(axis=1)
    scores = raw[:, 4] * shares[np.arange(len(raw)), classes]
    kept = np.flatnonzero(scores >= threshold)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    stride = cells[kept, 2:]
    centre = (raw[kept, :2] + cells[kept, :2]) * stride
    half = np.exp(raw[kept, 2:4]) * stride / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    return Boxes(corners, scores[kept], classes[kept])


def suppress(boxes: Boxes, overlap: float, overlap_of_others: float = 1.0) -> Boxes:
    """Return the boxes that no better one overlaps (IoU) by more than the limit of its kind.

    `overlap` holds between boxes of one class, `overlap_of_others` between classes: a van that is
    also found as a truck is one thing.
    """
    kept: list[int] = []
    free = np.ones(len(boxes), dtype=bool)
    for index in range(len(boxes)):
        if not free[index]:
            continue
        kept.append(index)
        same = boxes.classes == boxes.classes[index]
        limit = np.where(same, overlap, overlap_of_others)
        free &= iou(boxes.corners[index], boxes.corners) <= limit
    return boxes[np.array(kept, dtype=np.int64)]


def iou(one: NDArray[np.float32], many: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection of a box [4] with each of [N, 4] as a share of their union, [N]."""
    left_top = np.maximum(one[:2], many[:, :2])
    right_bottom = np.minimum(one[2:], many[:, 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(axis=1)
    areas = (many[:, 2:] - many[:, :2]).prod(axis=1)
    union = areas + (one[2:] - one[:2]).prod() - shared
    return np.asarray(shared / np.maximum(union, 1e-9), dtype=np.float32)


def shares_of_frame(corners: NDArray[np.float32], scale: float, image: Rgb) -> NDArray[np.float32]:
    """Return boxes in input pixels as shares of the frame, 0..1, [N, 4]: undoes `letterbox`."""
    height_px, width_px = image.shape[:2]
    size = np.array([width_px, height_px, width_px, height_px], dtype=np.float32)
    return np.asarray(np.clip(corners / scale / size, 0, 1), dtype=np.float32)
