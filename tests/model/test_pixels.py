"""Pixels, held against one output at a time in Python, and against Pillow one axis at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from videoxl2_model import pixels
from videoxl2_model.errors import SettingError
from videoxl2_model.pixels import coefficients, normalise, resize, square


def cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return ((-0.5 + 2) * x - (-0.5 + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def rule_line(line: list[int], size: int) -> list[int]:
    """Resize one line of one channel; a line of the right length stays as it is."""
    if len(line) == size:
        return line
    scale = len(line) / size
    widened, out = max(scale, 1.0), []
    for index in range(size):
        centre = (index + 0.5) * scale
        first = max(0, int(centre - 2 * widened + 0.5))
        stop = min(len(line), int(centre + 2 * widened + 0.5))
        weights = [cubic((x - centre + 0.5) * (1 / widened)) for x in range(first, stop)]
        total = 0.0
        for weight in weights:  # one by one: `sum` of Python 3.12 corrects its rounding
            total += weight
        value = 2**21
        for x, weight in zip(range(first, stop), weights, strict=True):
            scaled = weight / total * 2**22
            value += line[x] * math.trunc(scaled + math.copysign(0.5, scaled))
        out.append(max(0, min(255, value >> 22)))
    return out


def rule_resize(image: np.ndarray, size: int) -> np.ndarray:
    """[H, W, 3] -> [3, size, size], across first, whole numbers between."""
    channels = []
    for channel in image.transpose(2, 0, 1).tolist():
        across = [rule_line(row, size) for row in channel]
        down = [rule_line(list(column), size) for column in zip(*across, strict=True)]
        channels.append(list(zip(*down, strict=True)))
    return np.array(channels, dtype=np.uint8)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise, half of it black and white, where overshoot is clipped."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    hard = random.random((height, width, 3)) < 0.5
    return np.where(hard, np.uint8(255) * (image > 127), image).astype(np.uint8)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    return resize(torch.from_numpy(image)[None], size)[0].numpy()


SIDES = st.integers(1, 40)


@given(height=SIDES, width=SIDES, size=st.integers(1, 24), seed=st.integers(0, 999))
@settings(max_examples=40)
def test_a_resize_is_the_rule_bit_for_bit(height, width, size, seed):
    image = picture(height, width, seed)
    assert np.array_equal(resized(image, size), rule_resize(image, size))


@given(
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    size=st.sampled_from([14, 96, 384]),
    seed=st.integers(0, 999),
)
@settings(max_examples=20)
def test_a_resize_is_pillows_across_and_then_down(height, width, size, seed):
    image = picture(height, width, seed)
    across = Image.fromarray(image).resize((size, height), Image.Resampling.BICUBIC)
    down = np.asarray(across.resize((size, size), Image.Resampling.BICUBIC))
    assert np.array_equal(resized(image, size), down.transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(9, 2500), (2500, 9)])
def test_long_sides_stay_exact(height, width):
    image = picture(height, width)
    assert np.array_equal(resized(image, 24), rule_resize(image, 24))


def test_the_spans_of_other_devices_give_the_same(monkeypatch):
    image, before = picture(90, 160), resized(picture(90, 160), 100)
    monkeypatch.setattr(pixels, "ON_CPU", pixels.ELSEWHERE)
    pixels._bands.cache_clear()
    try:
        assert np.array_equal(resized(image, 100), before)
    finally:
        pixels._bands.cache_clear()


@given(length=st.integers(1, 4000), size=st.integers(1, 400))
def test_digits_are_exact_in_bfloat16_and_make_the_coefficients(length, size):
    _, whole = coefficients(length, size)
    digits = pixels._digits(whole)
    assert np.abs(digits).max() <= 256  # 8 bits of significand
    places = (2 ** (pixels.DIGIT_BITS * np.arange(pixels.DIGITS))).reshape(-1, 1, 1)
    assert np.array_equal((digits * places).sum(0), whole)


def test_frames_of_several_lots_are_resized_one_by_one(monkeypatch):
    monkeypatch.setattr(pixels, "ON_CPU", pixels.Work(span=16, pixels=2 * 9 * 14))
    images = torch.stack([torch.from_numpy(picture(9, 14, seed)) for seed in range(5)])
    apart = torch.cat([resize(each[None], 12) for each in images])
    assert torch.equal(resize(images, 12), apart)
    assert resize(images[:0], 12).shape == (0, 3, 12, 12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_level_becomes_what_the_rule_says(dtype):
    levels = torch.arange(256, dtype=torch.uint8).expand(17, 3, 2, 256).contiguous()
    values = normalise(levels, dtype)
    assert values.dtype == dtype
    assert values.shape == levels.shape
    for level in range(256):
        unit = np.float32(level * (1 / 255))
        rule = (unit - np.float32(0.5)) / np.float32(0.5)
        assert (values[..., level] == torch.tensor(rule).to(dtype)).all()


@pytest.mark.parametrize(("height", "width", "top", "left"), [(2, 5, 1, 0), (5, 2, 0, 1)])
def test_a_picture_stands_in_the_middle_of_grey(height, width, top, left):
    image = torch.from_numpy(picture(height, width))
    framed = square(image)
    assert framed.shape == (5, 5, 3)
    assert torch.equal(framed[top : top + height, left : left + width], image)
    framed[top : top + height, left : left + width] = 127
    assert (framed == 127).all()


def test_other_shapes_types_and_sizes_are_refused():
    with pytest.raises(SettingError, match=r"\[T, H, W, 3\]"):
        resize(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(SettingError, match=r"torch\.float32"):
        resize(torch.zeros(1, 8, 8, 3))
    with pytest.raises(SettingError, match="empty"):
        resize(torch.zeros(1, 0, 8, 3, dtype=torch.uint8))
    with pytest.raises(SettingError, match="size is 0"):
        resize(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), 0)
    with pytest.raises(SettingError, match="too far"):
        resize(torch.zeros(1, 1, 200_000, 3, dtype=torch.uint8), 100)
    with pytest.raises(SettingError, match=r"\[H, W, 3\]"):
        square(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))
    with pytest.raises(SettingError, match="uint8"):
        normalise(torch.zeros(1, 3, 8, 8), torch.float32)
