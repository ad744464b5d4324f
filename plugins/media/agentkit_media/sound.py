"""How loud the sound track is, twice a second. Knows no word and no picture."""

import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from agentkit.types import AgentkitError, SessionView, StoredVideo

STEP_S = 0.5
RATE_HZ = 16_000
SILENCE_DB = -70.0
ROOM_DB = -45.0  # a quiet room: what is below counts as this loud, or any sound would be a peak
VERSION = 1


def loudness(video: StoredVideo, session: SessionView) -> tuple[float, ...]:
    """Return the level in dB of full scale of each STEP_S from 0 on; empty without sound."""
    if not video.has_sound:
        return ()
    try:
        kept = session.analysis(
            video, "media/loudness", str(VERSION), lambda: _measured(video, session)
        )
    except (AgentkitError, OSError):
        return ()  # the file is gone: what is said of sound then is that there is none
    return tuple(kept)


def _measured(video: StoredVideo, session: SessionView) -> list[float]:
    steps = math.ceil(video.duration_s / STEP_S)
    squares, counts = np.zeros(steps), np.zeros(steps)
    for start_s, samples in session.sound(video):
        places = ((start_s + np.arange(len(samples)) / RATE_HZ) / STEP_S).astype(np.int64)
        inside = (places >= 0) & (places < steps)
        power = np.square(samples[inside], dtype=np.float64)
        squares += np.bincount(places[inside], power, minlength=steps)
        counts += np.bincount(places[inside], minlength=steps)
    if not counts.any():
        return []
    powers = (squares / np.maximum(counts, 1)).tolist()
    return [
        round(max(10 * math.log10(power), SILENCE_DB), 2) if power > 0 else SILENCE_DB
        for power in powers
    ]


def rises(levels: Sequence[float], window_s: float = 30.0) -> list[float]:
    """Return by how many dB each step is louder than the median of `window_s` around it.

    The median is taken to be no lower than a quiet room.
    """
    reach = round(window_s / STEP_S / 2)
    return [
        level - max(median(levels[max(place - reach, 0) : place + reach + 1]), ROOM_DB)
        for place, level in enumerate(levels)
    ]
