"""Small versions of frames, for instruments that need no detail. Knows no time and no file."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]  # [H, W, 3]


def resized(image: Rgb, width_px: int, height_px: int, smooth: bool = False) -> Rgb:
    """Return the frame at another size, [height_px, width_px, 3]; `smooth` averages areas."""
    how = Image.Resampling.BOX if smooth else Image.Resampling.BILINEAR
    # reducing_gap halves by whole factors first: 4x faster from 1280x720, differences under 2.
    small = Image.fromarray(image).resize((width_px, height_px), how, reducing_gap=2.0)
    return np.asarray(small)


def hue_saturation_value(image: Rgb) -> NDArray[np.uint8]:
    """Return the picture as HSV, [H, W, 3], all three 0..255."""
    return np.asarray(Image.fromarray(image).convert("HSV"))


def grey(image: Rgb) -> NDArray[np.float32]:
    """Return brightness 0..255, [H, W]."""
    return np.asarray(image.mean(axis=-1), dtype=np.float32)
