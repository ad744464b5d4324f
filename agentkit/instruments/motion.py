"""How much of the picture changes between sampled frames, and roughly where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments.pictures import grey, resized
from agentkit.instruments.shots import cut_frames
from agentkit.instruments.words import PLACES, places_text
from agentkit.types import FrameBatch, Note, VideoInfo

KIND = "motion"
STILL = "still"

_WIDTH_PX, _HEIGHT_PX = 64, 36


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Shares of the small picture that count.

    Each small pixel averages a hundred or more, so sensor noise stays under 2 of 255. Measured at
    one frame a second: a still scene 0 to 0.001, a tree in wind 0.006, pedestrians from a mast
    0.04 to 0.06, a speaker 0.05 to 0.27, a hand-held or moving camera 0.2 to 0.8.
    """

    difference: float = 12.0  # of 255, after the change of the whole picture's light is taken off
    some: float = 0.004
    much: float = 0.25
    place: float = 0.6  # of the third that changes most


class Motion:
    """One note of kind "motion" a group: "still", "some motion left", "much motion"."""

    name = "motion"
    reads_notes = True

    def __init__(self, config: MotionConfig | None = None) -> None:
        self._config = config or MotionConfig()
        self.version = f"1 {self._config}"
        self._before: NDArray[np.float32] | None = None

    def start(self, video: VideoInfo) -> None:
        self._before = None

    def observe(
        self, batch: FrameBatch, first_of_chunk: bool, notes: Sequence[Note] = ()
    ) -> list[Note]:
        cuts = cut_frames(batch, notes)
        changed = []
        for index, image in enumerate(batch.images):
            now = grey(resized(image, _WIDTH_PX, _HEIGHT_PX, smooth=True))
            # Two pictures of different shots tell nothing of motion.
            if self._before is not None and index not in cuts:
                changed.append(_changed_thirds(self._before, now, self._config))
            self._before = now
        if not changed:
            return []
        thirds = np.mean(changed, axis=0)
        share = float(thirds.mean())
        text = _text(thirds, share, self._config)
        return [Note(float(batch.times_s[0]), batch.end_s, KIND, text, round(share, 3))]


def _changed_thirds(
    before: NDArray[np.float32], now: NDArray[np.float32], config: MotionConfig
) -> NDArray[np.float64]:
    """Return the share of changed pixels left, centre and right, [3]."""
    difference = now - before
    difference -= np.median(difference)
    changed = np.abs(difference) > config.difference
    return np.array([third.mean() for third in np.array_split(changed, len(PLACES), axis=1)])


def _text(thirds: NDArray[np.float64], share: float, config: MotionConfig) -> str:
    if share < config.some:
        return STILL
    amount = "much motion" if share >= config.much else "some motion"
    busy = thirds >= config.place * thirds.max()
    places = [place for place, is_busy in zip(PLACES, busy, strict=True) if is_busy]
    return amount if len(places) == len(PLACES) else f"{amount} {places_text(places)}"


def load_motion(threads: int) -> Motion:
    """Return the instrument; it needs no weights and one thread."""
    return Motion()
