"""Where faces are in one picture: CenterFace, and the arithmetic around its network.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point" (2019). The network
gives maps at a quarter of the picture's size: how likely a cell is the middle of a face, the
logarithm of the face's height and width in cells, and how far the middle lies from the cell's own.
Its landmarks are not used. A face here is a box; who it is, is never asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.detecting import detection
from agentkit.instruments.onnx_shapes import without_shapes
from agentkit.instruments.pictures import Rgb, resized
from agentkit.instruments.weights import once, onnx_session, weight_file
from agentkit.instruments.yolox import Boxes, suppress
from agentkit.types import Detection

KIND = "face"
MODEL = "centerface"
INPUT_NAME = "input.1"
STRIDE = 4  # pixels a cell
ROUND_PX = 32  # the network halves five times


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Which detections count. A redaction that misses a face is worse than one box too many."""

    score: float = 0.25
    overlap: float = 0.3  # IoU
    longest_px: int = 1280  # larger pictures are made smaller first
    shortest_px: int = 640  # the longer side of smaller ones is brought to this


class CenterFace:
    """The detector on the released weights; its time grows with the picture's area."""

    def __init__(self, weights: Path, threads: int, config: FaceConfig) -> None:
        self._session = once(
            lambda: onnx_session(without_shapes(weights.read_bytes(), (INPUT_NAME,)), threads)
        )
        self._config = config

    def __call__(self, image: Rgb) -> Boxes:
        """Return boxes as shares of the picture, best first; they may reach beyond it."""
        height_px, width_px = input_size(image.shape[0], image.shape[1], self._config)
        pixels = resized(image, width_px, height_px).astype(np.float32).transpose(2, 0, 1)
        maps = self._session().run(None, {INPUT_NAME: np.ascontiguousarray(pixels)[None]})
        heat, size, offset = (maps[index][0] for index in range(3))
        found = decode(heat[0], size, offset, self._config.score)
        kept = suppress(found, self._config.overlap)
        whole = np.array([width_px, height_px, width_px, height_px], dtype=np.float32)
        return Boxes(kept.corners / whole, kept.scores, kept.classes)


def input_size(height_px: int, width_px: int, config: FaceConfig) -> tuple[int, int]:
    """Return the (height, width) to bring a picture to: whole cells, of a size worth looking at."""
    longer = max(height_px, width_px)
    scale = min(max(longer, config.shortest_px), config.longest_px) / longer

    def whole(side_px: int) -> int:
        return max(round(side_px * scale / ROUND_PX), 1) * ROUND_PX

    return whole(height_px), whole(width_px)


def decode(
    heat: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    threshold: float,
) -> Boxes:
    """Return the boxes over `threshold` in input pixels, best first.

    heat: [H, W] 0..1. size: [2, H, W] log height, log width in cells. offset: [2, H, W] of the
    middle in cells, down and across, from the cell's own middle.
    """
    rows, columns = np.nonzero(heat >= threshold)
    scores = heat[rows, columns]
    order = np.argsort(-scores, kind="stable")
    rows, columns = rows[order], columns[order]
    at = np.stack([columns, rows], axis=1)  # [N, 2] across, down
    centre = (at + offset[::-1, rows, columns].T + 0.5) * STRIDE
    half = np.exp(size[::-1, rows, columns].T) * STRIDE / 2
    corners = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return Boxes(corners, scores[order].astype(np.float32), np.zeros(len(order), np.int64))


def load_look(threads: int) -> Callable[[Rgb], list[Detection]]:
    """Return what finds the faces in one picture.

    Raises:
        InstrumentMissingError: the weights are not there.
    """
    detector = CenterFace(weight_file(MODEL, "*.onnx"), threads, FaceConfig())

    def look(image: Rgb) -> list[Detection]:
        found = detector(image)
        return [
            detection(KIND, score, corners)
            for score, corners in zip(found.scores.tolist(), found.corners, strict=True)
        ]

    return look
