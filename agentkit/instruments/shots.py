"""Where a new shot begins, by comparing each sampled frame with the one before it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments.pictures import Rgb, grey, hue_saturation_value, resized
from agentkit.types import FrameBatch, Note, VideoInfo

KIND = "shot"
CUT = "cut"

_WIDTH_PX, _HEIGHT_PX = 64, 36
_HUES, _SATURATIONS, _VALUES = 12, 4, 6
_DULL = 38  # of 255: below this saturation or value a hue is noise


@dataclass(frozen=True, slots=True)
class ShotConfig:
    """Above which differences a frame begins a new shot.

    Frames are a second apart, so motion inside a shot moves much of the picture but few of its
    colours. Measured: inside shots the histograms differ by up to 0.36 (a van that fills the
    picture), between unlike shots by 0.41 to 1.0. Shots of like colours (two grey streets: 0.25)
    are told by their pixels: 45 or more of 255, and a layout that does not correlate.
    """

    histogram: float = 0.4  # share of pixels that change their colour's bin
    like_histogram: float = 0.2
    like_content: float = 45.0  # mean absolute difference, 0..255
    like_correlation: float = 0.2


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of a frame."""

    small: NDArray[np.float32]  # [36, 64, 3]
    histogram: NDArray[np.float64]  # [bins], sums to 1
    layout: NDArray[np.float32]  # [36, 64] zero mean, unit deviation


class Shots:
    """Notes of kind "shot" at the first sampled frame of each new shot."""

    name = "shots"

    def __init__(self, config: ShotConfig | None = None) -> None:
        self._config = config or ShotConfig()
        self.version = f"1 {self._config}"
        self._before: _Look | None = None

    def start(self, video: VideoInfo) -> None:
        self._before = None

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        notes = []
        for image, time_s in zip(batch.images, batch.times_s.tolist(), strict=True):
            look = _look(image)
            if self._before is not None and _is_cut(self._before, look, self._config):
                notes.append(Note(time_s, time_s, KIND, CUT))
            self._before = look
        return notes


def cut_frames(batch: FrameBatch, notes: Sequence[Note]) -> frozenset[int]:
    """Return which frames of the batch begin a shot, by the notes of `Shots`."""
    cut_times_s = {note.start_s for note in notes if note.kind == KIND}
    return frozenset(i for i, t in enumerate(batch.times_s.tolist()) if t in cut_times_s)


def _look(image: Rgb) -> _Look:
    small = resized(image, _WIDTH_PX, _HEIGHT_PX, smooth=True)
    light = grey(small)
    # The 4 keeps the noise of a flat picture from being blown up to a layout.
    layout = (light - light.mean()) / (light.std() + 4)
    return _Look(small.astype(np.float32), _histogram(small), layout)


def _histogram(small: Rgb) -> NDArray[np.float64]:
    """Return the pixels' shares of colours, then of greys, [12 * 4 * 6 + 6]."""
    hsv = hue_saturation_value(small).reshape(-1, 3).astype(np.int64)
    hue, saturation, value = (
        hsv[:, axis] * bins // 256 for axis, bins in enumerate((_HUES, _SATURATIONS, _VALUES))
    )
    coloured = (hue * _SATURATIONS + saturation) * _VALUES + value
    dull = (hsv[:, 1] < _DULL) | (hsv[:, 2] < _DULL)
    first_grey = _HUES * _SATURATIONS * _VALUES
    bins = np.where(dull, first_grey + value, coloured)
    return np.bincount(bins, minlength=first_grey + _VALUES) / len(bins)


def _is_cut(before: _Look, now: _Look, config: ShotConfig) -> bool:
    histogram = float(np.abs(now.histogram - before.histogram).sum()) / 2
    if histogram >= config.histogram:
        return True
    content = float(np.abs(now.small - before.small).mean())
    correlation = float((now.layout * before.layout).mean())
    return (
        histogram >= config.like_histogram
        and content >= config.like_content
        and correlation < config.like_correlation
    )


def load_shots(threads: int) -> Shots:
    """Return the instrument; it needs no weights and one thread."""
    return Shots()
