"""What is seen in a video at a steady rate: boxes and motion, kept a minute at a time.

Looking is what takes long, so each minute is kept in the store as soon as it is made. A minute
depends on no other, so the pieces together are what one pass would see.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Detection, SamplingPlan, SessionView, StoredVideo

VERSION = "1"
PIECE_S = 60.0
_SMALL_PX = (36, 64)  # rows, columns of the picture that motion is measured on
_CHANGED = 12.0  # of 255, after the change of the whole picture's light is taken off

Image = NDArray[np.uint8]  # [H, W, 3] RGB
Small = NDArray[np.float32]  # [36, 64] grey


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame: what is in it, and the share of it that changed since the frame before."""

    time_s: float
    motion: float  # 0..1; 0 for a video's first frame
    found: tuple[Detection, ...]


def sights(
    session: SessionView, video: StoredVideo, fps: float, kinds: Sequence[str]
) -> list[Sight]:
    """Return what is seen of some kinds at `fps` frames a second, in order of time.

    Raises:
        InstrumentMissingError: the detector's weights are not here.
    """
    pieces = max(math.ceil(video.duration_s / PIECE_S - 1e-6), 1)
    rows: list[Any] = []
    for piece in range(pieces):
        key, version = f"security/seen/{piece:05d}", f"{VERSION} {fps:g} fps"
        rows += session.analysis(video, key, version, partial(_piece, session, video, fps, piece))
        session.progress("looking", piece + 1, pieces)
    return [_sight(row, frozenset(kinds)) for row in rows]


def _piece(session: SessionView, video: StoredVideo, fps: float, piece: int) -> list[Any]:
    return [
        [time_s, motion, [[one.kind, one.score, *one.box] for one in found]]
        for time_s, motion, found in _look(session, video, fps, piece)
    ]


def _look(
    session: SessionView, video: StoredVideo, fps: float, piece: int
) -> Iterator[tuple[float, float, list[Detection]]]:
    """Look at the frames of one piece; the frame before it is seen for its motion alone."""
    start_s, stop_s = piece * PIECE_S, (piece + 1) * PIECE_S
    # A hair before the start, so that the frame before is among the groups that touch the span.
    first_s, last_s = max(start_s - 0.001, 0.0), min(stop_s, video.duration_s)
    before: Small | None = None
    for batch in session.sample(video, SamplingPlan(fps=fps), first_s, last_s):
        images = [
            (float(time_s), image)
            for time_s, image in zip(batch.times_s, batch.images, strict=True)
            if time_s < stop_s
        ]
        inside = [image for time_s, image in images if time_s >= start_s]
        found = iter(session.detect(inside) if inside else [])
        for time_s, image in images:
            now = small(image)
            if time_s >= start_s:
                yield time_s, round(changed(before, now), 4), next(found)
            before = now


def _sight(row: Sequence[Any], kinds: frozenset[str]) -> Sight:
    time_s, motion, found = row
    return Sight(
        time_s,
        motion,
        tuple(
            Detection(kind, score, (left, top, right, bottom))
            for kind, score, left, top, right, bottom in found
            if kind in kinds
        ),
    )


def small(image: Image) -> Small:
    """Return the picture in grey, each pixel the mean of those it stands for; tiny ones as is."""
    rows, columns = (min(n, size) for n, size in zip(_SMALL_PX, image.shape, strict=False))
    step_y, step_x = image.shape[0] // rows, image.shape[1] // columns
    inner = image[: rows * step_y, : columns * step_x].astype(np.float32)
    means = inner.reshape(rows, step_y, columns, step_x, 3).mean(axis=(1, 3))
    return np.asarray(means @ np.array([0.299, 0.587, 0.114], np.float32), dtype=np.float32)


def changed(before: Small | None, now: Small) -> float:
    """Return the share of small pixels that changed, light that changed everywhere taken off."""
    if before is None or before.shape != now.shape:
        return 0.0
    difference = now - before
    difference -= np.median(difference)
    return float((np.abs(difference) > _CHANGED).mean())
