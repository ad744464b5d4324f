"""Pictures to the tower's pixels, exactly as the public checkpoint was fed. Knows no file.

The resize is bit for bit that of Pillow 11: bicubic (a = -0.5, widened when shrinking),
coefficients of 22 bits, horizontal pass first, 8 bits between the passes. (Pillow 13 chooses the
order of the passes by shape and differs by up to 15 levels.) It runs as float32 matrix products
on any device: coefficients are cut into digits of 8 bits, so that every operand is exact even in
TF32 or bfloat16, and every sum is a whole number that float32 holds.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videoxl2_model.errors import SettingError

PRECISION_BITS = 22
DIGIT_BITS = 8
DIGITS = 3
HALF = 2 ** (PRECISION_BITS - 1)  # added before the shift: rounds half up
EXACT = 2**24  # float32 holds every whole number up to here
GREY = 127
LOT_FRAMES = 16  # frames normalised at a time


@dataclass(frozen=True, slots=True)
class Work:
    """How much is done at once: few products of zeros on a CPU, few launches elsewhere."""

    span: int  # outputs of a row worked out together: they read nearly the same inputs
    pixels: int  # source pixels at a time


ON_CPU = Work(span=16, pixels=2**21)  # 16 was the fastest of 8 to 96, from 1280 to 384
ELSEWHERE = Work(span=48, pixels=2**24)


def resize(images: Tensor, size: int = 384) -> Tensor:
    """Return frames [T, 3, size, size] of images [T, H, W, 3], both uint8, on their device.

    The aspect ratio is not kept. Memory beyond the result does not grow with T.

    Raises:
        SettingError: the images have another shape or type, or a side too long to be exact.
    """
    _check(images, 4)
    if size < 1:
        raise SettingError(f"size is {size}; it must be 1 or more")
    count, height, width, _ = images.shape
    frames = images.new_empty((count, 3, size, size))
    lot = max(1, _work(images.device).pixels // (height * width))
    for start in range(0, count, lot):
        channels = images[start : start + lot].permute(0, 3, 1, 2)
        values = channels.to(torch.float32, memory_format=torch.contiguous_format)
        across = _resized(values, size)  # [t, 3, H, size]
        frames[start : start + lot] = _resized(across.mT.contiguous(), size).mT
    return frames


def normalise(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return uint8 pixels [T, 3, S, S] in -1..1 as `dtype`, rounded where the reference rounds."""
    if pixels.dtype != torch.uint8:
        raise SettingError(f"pixels of type {pixels.dtype}; torch.uint8 is needed")
    table = _levels(dtype, pixels.device)
    values = torch.empty(pixels.shape, dtype=dtype, device=pixels.device)
    for start in range(0, len(pixels), LOT_FRAMES):
        part = pixels[start : start + LOT_FRAMES]
        known = table.index_select(0, part.flatten().int())
        values[start : start + LOT_FRAMES] = known.view(part.shape)
    return values


def square(image: Tensor) -> Tensor:
    """Return a picture [H, W, 3] uint8 centred on a grey square, [S, S, 3], S its longer side."""
    _check(image, 3)
    height, width, _ = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    framed = image.new_full((side, side, 3), GREY)
    framed[top : top + height, left : left + width] = image
    return framed


def _check(images: Tensor, axes: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != axes or images.shape[-1] != 3:
        raise SettingError(
            f"pixels of shape {list(images.shape)} and type {images.dtype};"
            f" [{'T, ' * (axes == 4)}H, W, 3] of torch.uint8 is needed"
        )
    if 0 in images.shape[-3:]:
        raise SettingError(f"a picture of {images.shape[-2]} x {images.shape[-3]} pixels is empty")


def _work(device: torch.device) -> Work:
    return ON_CPU if device.type == "cpu" else ELSEWHERE


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbouring outputs: which inputs they read, and the digits of their coefficients."""

    start: int
    stop: int
    weights: Tensor  # [inputs, DIGITS * outputs], lowest digit first


def _resized(values: Tensor, size: int) -> Tensor:
    """Resize the last axis: whole numbers 0..255 in, whole numbers 0..255 out, all float32."""
    length = values.shape[-1]
    if length == size:  # as in Pillow, no pass at all
        return values
    bands = _bands(length, size, values.device)
    return torch.cat([_shifted(values[..., b.start : b.stop] @ b.weights) for b in bands], -1)


def _shifted(sums: Tensor) -> Tensor:
    """[..., DIGITS * n] -> [..., n]: put the digits' sums together, round, shift and clip.

    Equal to (total + HALF) >> PRECISION_BITS, digit by digit from below so that nothing leaves
    the range in which float32 is exact.
    """
    low, *higher = sums.chunk(DIGITS, dim=-1)
    total: Tensor = low + HALF
    for digit in higher:
        total = total.mul_(2.0**-DIGIT_BITS).floor_().add_(digit)
    left = PRECISION_BITS - DIGIT_BITS * (DIGITS - 1)
    return torch.clamp_(total.mul_(2.0**-left).floor_(), 0, 255)


@lru_cache(maxsize=64)
def _bands(length: int, size: int, device: torch.device) -> tuple[Band, ...]:
    """Return the bands of a pass from `length` to `size`.

    Raises:
        SettingError: so many inputs make an output that float32 sums would not be exact.
    """
    first, whole = coefficients(length, size)
    digits = _digits(whole)  # [DIGITS, size, taps]
    if (255 * np.abs(digits).sum(-1)).max() + HALF >= EXACT:
        raise SettingError(f"{length} pixels to {size} is too far to be exact; shrink them before")
    bands, span = [], _work(device).span
    for begin in range(0, size, span):
        outputs = range(begin, min(begin + span, size))
        start, stop = first[begin], min(first[outputs[-1]] + whole.shape[1], length)
        weights = np.zeros((len(outputs), DIGITS, stop - start), dtype=np.float32)
        for row, output in enumerate(outputs):
            offset = first[output] - start
            taps = min(whole.shape[1], length - first[output])
            weights[row, :, offset : offset + taps] = digits[:, output, :taps]
        flat = torch.from_numpy(weights).permute(2, 1, 0).flatten(1)
        bands.append(Band(int(start), int(stop), flat.to(device)))
    return tuple(bands)


def _digits(whole: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut coefficients into signed digits, lowest first: [...] -> [DIGITS, ...]."""
    base, digits = 2**DIGIT_BITS, []
    for _ in range(DIGITS - 1):
        digit = (whole + base // 2) % base - base // 2
        digits.append(digit)
        whole = (whole - digit) // base
    return np.stack([*digits, whole])


def coefficients(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each output's first input [size] and its whole coefficients [size, taps].

    Double arithmetic in Pillow's order, so that the rounding to 22 bits is the same.
    """
    scale = length / size
    widened = max(scale, 1.0)
    support = 2.0 * widened
    centres = (np.arange(size) + 0.5) * scale
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    stop = np.minimum((centres + support + 0.5).astype(np.int64), length)
    taps = np.arange((stop - first).max())
    inside = taps < (stop - first)[:, None]
    distance = ((taps + first[:, None]) - centres[:, None] + 0.5) * (1.0 / widened)
    weights = np.where(inside, _bicubic(np.abs(distance)), 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # cumsum adds from the left, as Pillow does
    half = np.where(weights < 0, -0.5, 0.5)
    return first, np.trunc(weights * 2**PRECISION_BITS + half).astype(np.int64)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic with a = -0.5 at distances x of 0 or more."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=16)
def _levels(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what each of the 256 levels becomes, [256]."""
    levels = (np.arange(256) * (1 / 255)).astype(np.float32)  # in double, then rounded
    return torch.from_numpy((levels - np.float32(0.5)) / np.float32(0.5)).to(device, dtype)
