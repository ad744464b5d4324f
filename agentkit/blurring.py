"""Makes parts of pictures unrecognisable. Knows boxes, not what is in them.

What is left of a box is a few means of colour, drawn smoothly: nothing finer is in the picture any
more, so that no sharpening brings it back. A weak blur does not do: it can be undone, and coarse
mosaics are still read by networks (McPherson et al., "Defeating Image Obfuscation with Deep
Learning", 2016) where blocks are many or single letters stand in them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BLOCKS = 6  # across the longer side of a box
MIN_BLOCK_PX = 4  # of small boxes there are fewer blocks
MARGIN = 0.15  # of a box's width and height, added at each side: detectors cut chins and hair

Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture
Rgb = NDArray[np.uint8]  # [H, W, 3]


def blur(image: Rgb, boxes: Sequence[Box], margin: float = MARGIN) -> Rgb:
    """Return a copy of a picture with the boxes, and a margin around each, unrecognisable.

    Raises:
        ValueError: a box is no box, or the margin is negative.
    """
    if not margin >= 0 or math.isinf(margin):
        raise ValueError(f"a margin of {margin}; it is 0 or more")
    copy = image.copy()
    for box in boxes:
        left, top, right, bottom = pixels_of(box, image.shape[1], image.shape[0], margin)
        if left < right and top < bottom:
            copy[top:bottom, left:right] = _smeared(copy[top:bottom, left:right])
    return copy


def pixels_of(box: Box, width_px: int, height_px: int, margin: float) -> tuple[int, int, int, int]:
    """Return the (left, top, right, bottom) in pixels that a box and its margin touch.

    Raises:
        ValueError: a number is missing, or the box ends before it begins.
    """
    left, top, right, bottom = box
    if not all(map(math.isfinite, box)) or right < left or bottom < top:
        raise ValueError(f"{box} is no box; it is left, top, right, bottom as shares")
    across, down = (right - left) * margin, (bottom - top) * margin
    return (
        min(max(math.floor((left - across) * width_px), 0), width_px),
        min(max(math.floor((top - down) * height_px), 0), height_px),
        min(max(math.ceil((right + across) * width_px), 0), width_px),
        min(max(math.ceil((bottom + down) * height_px), 0), height_px),
    )


def edges(width_px: int, height_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where blocks begin and end across and down, [columns + 1] and [rows + 1] pixels."""
    side_px = max(max(width_px, height_px) / BLOCKS, MIN_BLOCK_PX)

    def cut(length_px: int) -> NDArray[np.int64]:
        blocks = max(math.floor(length_px / side_px), 1)
        return np.round(np.linspace(0, length_px, blocks + 1)).astype(np.int64)

    return cut(width_px), cut(height_px)


def block_means(part: Rgb) -> Rgb:
    """Return the mean colour of each block of a part, [rows, columns, 3]."""
    across, down = edges(part.shape[1], part.shape[0])
    sums = np.add.reduceat(part.astype(np.int64), down[:-1], axis=0)
    sums = np.add.reduceat(sums, across[:-1], axis=1)
    sizes = np.diff(down)[:, None, None] * np.diff(across)[None, :, None]
    return np.asarray((sums + sizes // 2) // sizes, dtype=np.uint8)


def _smeared(part: Rgb) -> Rgb:
    """Return a part as its blocks' means and what lies between them."""
    size = part.shape[1], part.shape[0]
    small = Image.fromarray(block_means(part))
    return np.asarray(small.resize(size, Image.Resampling.BILINEAR))
