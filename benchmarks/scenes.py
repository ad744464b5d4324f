"""Scenes drawn by code, to stand between real clips: nothing in them is spoken, written or a thing.

Each scene takes its colours, speeds and shapes from the film's own dice, so that no two are alike.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Size = tuple[int, int]  # width, height in pixels
Picture = NDArray[np.uint8]  # [H, W, 3] RGB
Draw = Callable[[float], Picture]  # seconds since the scene began -> picture


def _grid(size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y, [H/4, W/4], -1..1: scenes are drawn small and enlarged, for speed."""
    y, x = np.mgrid[-1 : 1 : size[1] // 4 * 1j, -1 : 1 : size[0] // 4 * 1j]
    return x.astype(np.float32), y.astype(np.float32)


def _coloured(size: Size, level: NDArray[np.floating], two: NDArray[np.float64]) -> Picture:
    """Blend two colours by `level` [h, w], 0..1, and enlarge."""
    mixed = two[0] + level[..., None] * (two[1] - two[0])
    small = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BILINEAR))


def _two_colours(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(10, 245, (2, 3))


def gradient(size: Size, rng: np.random.Generator) -> Draw:
    """A slope between two colours that turns."""
    x, y = _grid(size)
    two, turn, start = _two_colours(rng), rng.uniform(-0.4, 0.4), rng.uniform(0, 6.3)

    def draw(t: float) -> Picture:
        angle = start + turn * t
        return _coloured(size, (x * math.cos(angle) + y * math.sin(angle) + 1.5) / 3, two)

    return draw


def stripes(size: Size, rng: np.random.Generator) -> Draw:
    """Slanted stripes that slide."""
    x, y = _grid(size)
    two, speed, width = _two_colours(rng), rng.uniform(0.3, 2.5), rng.uniform(3, 18)
    slope = (x + y * rng.uniform(-2, 2)) * width
    return lambda t: _coloured(size, (np.sin(slope + speed * t) > 0).astype(np.float32), two)


def rings(size: Size, rng: np.random.Generator) -> Draw:
    """Rings that grow from a point."""
    x, y = _grid(size)
    two, speed, width = _two_colours(rng), rng.uniform(-4, 4), rng.uniform(5, 20)
    far = np.hypot(x - rng.uniform(-0.7, 0.7), y - rng.uniform(-0.7, 0.7)) * width
    return lambda t: _coloured(size, 0.5 + 0.5 * np.sin(far + speed * t), two)


def plasma(size: Size, rng: np.random.Generator) -> Draw:
    """A slow sum of waves."""
    x, y = _grid(size)
    two, waves = _two_colours(rng), rng.uniform(-5, 5, (4, 3))

    def draw(t: float) -> Picture:
        level = sum(np.sin(a * x + b * y + c * 0.3 * t) for a, b, c in waves)
        return _coloured(size, 0.5 + level / 8, two)

    return draw


def texture(size: Size, rng: np.random.Generator) -> Draw:
    """Cloudy patches whose brightness walks at random."""
    patches, own = rng.uniform(0, 255, (9, 12, 3)), np.random.default_rng(rng.integers(1 << 32))

    def draw(t: float) -> Picture:
        patches[:] = np.clip(patches + own.normal(0, 4, patches.shape), 0, 255)
        small = Image.fromarray(patches.astype(np.uint8))
        return np.asarray(small.resize(size, Image.Resampling.BICUBIC))

    return draw


def colours(size: Size, rng: np.random.Generator) -> Draw:
    """One plain colour that goes round."""
    start, speed = rng.uniform(0, 6.3, 3), rng.uniform(-0.6, 0.6, 3)

    def draw(t: float) -> Picture:
        colour = (127 + 100 * np.sin(start + speed * t)).astype(np.uint8)
        return np.broadcast_to(colour, (size[1], size[0], 3))

    return draw


def discs(size: Size, rng: np.random.Generator) -> Draw:
    """Discs that drift over a plain ground and come in again on the other side."""
    return _shapes(size, rng, lambda pen, box, colour: pen.ellipse(box, fill=colour))


def tiles(size: Size, rng: np.random.Generator) -> Draw:
    """Rectangles that drift over a plain ground."""
    return _shapes(size, rng, lambda pen, box, colour: pen.rectangle(box, fill=colour))


Stamp = Callable[[ImageDraw.ImageDraw, tuple[float, float, float, float], tuple[int, ...]], None]


def _shapes(size: Size, rng: np.random.Generator, stamp: Stamp) -> Draw:
    count = int(rng.integers(3, 12))
    ground, paints = _paint(rng), [_paint(rng) for _ in range(count)]
    at, speed = rng.uniform(0, 1, (count, 2)), rng.uniform(-0.15, 0.15, (count, 2))
    half = rng.uniform(0.02, 0.12, (count, 2)) * size[1]

    def draw(t: float) -> Picture:
        picture = Image.new("RGB", size, ground)
        pen = ImageDraw.Draw(picture)
        for (x, y), (w, h), paint in zip((at + speed * t) % 1 * size, half, paints, strict=True):
            stamp(pen, (x - w, y - h, x + w, y + h), paint)
        return np.asarray(picture)

    return draw


def _paint(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(part) for part in rng.integers(10, 245, 3))


SCENES: Mapping[str, Callable[[Size, np.random.Generator], Draw]] = {
    scene.__name__: scene
    for scene in (gradient, stripes, rings, plasma, texture, colours, discs, tiles)
}
