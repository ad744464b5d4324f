"""How much moves where, and how bright it is, frame by frame: what two views may share.

It knows no thing and no person. Kept in pieces, beside the video.
"""

import base64
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agentkit.types import SamplingPlan, SessionView, StoredVideo
from agentkit_security.linking.correlate import Floats, Signals

VERSION = "1"
RATE_HZ = 5.0
PIECE_S = 60.0
CELLS = (6, 8)  # down, across
WIDTH_PX = 192  # pictures are made about so wide: grain and blocks of compression average out
STILL = 6.0  # grey levels (of 255) that a still picture changes by from frame to frame
FLOOR = 0.05  # of the root of motion: parts of the picture that vary less are nearly still
DIM = 0.005  # of the logarithm of brightness: less is the beat of a compression
LEAST_LIGHT = 0.002
BUSY = 5 * RATE_HZ  # samples: five changes of light, of a second each
MOST = 40.0  # what changes by more counts as this much: one lamp is not a crowd


@dataclass(frozen=True, slots=True)
class Activity:
    """What moved before each frame, and how much brighter the picture became."""

    times_s: Floats  # [n]
    moved: Floats  # [n, cells], 0..1
    light: Floats  # [n], of the logarithm of brightness

    def motion_signals(self) -> Signals:
        """Return changes of motion, a signal for each part of the picture."""
        return self._signals(np.sqrt(self.moved), FLOOR, change=True)

    def light_signals(self) -> Signals:
        """Return how brightness changes within a second, beyond what compression does to it."""
        each = np.convolve(np.clip(self.light, -0.2, 0.2), np.ones(int(RATE_HZ)), mode="same")
        beyond = np.sign(each) * np.maximum(np.abs(each) - DIM, 0)
        return self._signals(beyond[:, None], LEAST_LIGHT, change=False, least_busy=BUSY)

    def _signals(
        self, values: Floats, floor: float, change: bool, least_busy: float = 0.0
    ) -> Signals:
        if len(self.times_s) < 3:
            return Signals.of(np.zeros((0, values.shape[1])), RATE_HZ)
        # Frames have times of their own; a correlation wants even steps.
        even_s = np.arange(self.times_s[0], self.times_s[-1], 1 / RATE_HZ)
        even = np.stack([np.interp(even_s, self.times_s, one) for one in values.T], axis=1)
        if change:
            even = np.diff(even, axis=0, prepend=even[:1])
        start_s = float(self.times_s[0])
        return Signals.of(even, RATE_HZ, start_s=start_s, floor=floor, least_busy=least_busy)


def activity_of(session: SessionView, video: StoredVideo) -> Activity:
    """Look through a video, or read what was kept of it."""
    pieces = max(int(np.ceil(video.duration_s / PIECE_S)), 1)
    parts = []
    for piece in range(pieces):
        key = f"security/linking/activity/{piece}"
        kept = session.analysis(video, key, VERSION, partial(_look, session, video, piece))
        parts.append(_unpacked(kept))
        session.progress("activity", piece + 1, pieces)
    return Activity(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _look(session: SessionView, video: StoredVideo, piece: int) -> dict[str, object]:
    """Look at one piece, and at the frames just before it."""
    start_s, end_s = piece * PIECE_S, min((piece + 1) * PIECE_S, video.duration_s)
    plan = SamplingPlan(fps=RATE_HZ)
    before_s = max(start_s - plan.frames_per_group / RATE_HZ, 0.0)
    times_s: list[float] = []
    moved, light = [], []
    last: NDArray[np.float32] | None = None
    for batch in session.sample(video, plan, before_s, end_s):
        for time_s, image in zip(batch.times_s.tolist(), batch.images, strict=True):
            grey = small_grey(image)
            if last is not None and start_s <= time_s < end_s:
                times_s.append(round(time_s, 4))
                moved.append(motion(last, grey))
                light.append(round(brighter(last, grey), 5))
            last = grey
    levels = np.round(np.array(moved).reshape(-1, CELLS[0] * CELLS[1]) ** 0.5 * 255)
    packed = base64.b64encode(levels.astype(np.uint8).tobytes()).decode()
    return {"times_s": times_s, "moved": packed, "light": light}


def _unpacked(kept: dict[str, object]) -> tuple[Floats, Floats, Floats]:
    levels = np.frombuffer(base64.b64decode(str(kept["moved"])), np.uint8)
    moved = (levels.reshape(-1, CELLS[0] * CELLS[1]) / 255.0) ** 2
    return np.array(kept["times_s"], float), moved, np.array(kept["light"], float)


def small_grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean of squares of pixels, [H / s, W / s], about `WIDTH_PX` wide."""
    height, width = image.shape[:2]
    side = max(round(width / WIDTH_PX), 1)
    rows, columns = max(height // side, 1), max(width // side, 1)
    whole = image[: rows * side, : columns * side].astype(np.float32).mean(axis=2)
    return np.asarray(whole.reshape(rows, side, columns, side).mean(axis=(1, 3)))


def motion(before: NDArray[np.float32], now: NDArray[np.float32]) -> Floats:
    """Return how much each part of the picture changed beyond noise, 0..1, [cells].

    A change of all the light is taken out first: it is no motion.
    """
    change = now - before
    change = np.clip(np.abs(change - np.median(change)) - STILL, 0, MOST) / MOST
    rows = np.array_split(change, CELLS[0], axis=0)
    return np.array([part.mean() for row in rows for part in np.array_split(row, CELLS[1], axis=1)])


def brighter(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Return the median change of the logarithm of brightness: what few things moving leave."""
    return float(np.median(np.log(now + 8.0) - np.log(before + 8.0)))
