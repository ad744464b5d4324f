"""How loud it is, in four bands, fifty times a second: what two microphones may share.

Changes of loudness are compared and not waves: rooms and microphones turn phases, and a camera's
offset is wanted to a frame, not to a sample. (Of waves, Knapp and Carter 1976 is the method.)
"""

import base64
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agentkit.types import SessionView, StoredVideo
from agentkit_security.linking.correlate import Floats, Signals

VERSION = "1"
SAMPLES_HZ = 16_000
RATE_HZ = 50.0
FRAME = int(SAMPLES_HZ / RATE_HZ)
BANDS_HZ = (100, 500, 1500, 3500, 7500)
QUIET_DB, LOUD_DB = -90.0, 10.0  # what is kept, in 255 steps
BUSY = 20  # samples: one bang fits any other bang
FLOOR_DB = 1.0  # a band that varies by less is noise


def sound_signals(session: SessionView, video: StoredVideo) -> Signals | None:
    """Return changes of loudness, a signal for each band; None where there is no sound."""
    if not video.has_sound:
        return None
    kept = session.analysis(
        video, "security/linking/sound", VERSION, lambda: _heard(session, video)
    )
    levels = np.frombuffer(base64.b64decode(kept), np.uint8).reshape(-1, len(BANDS_HZ) - 1)
    if len(levels) < 2:
        return None
    decibels = levels / 255.0 * (LOUD_DB - QUIET_DB)
    changes = np.diff(decibels, axis=0, prepend=decibels[:1])
    return Signals.of(changes, RATE_HZ, floor=FLOOR_DB, least_busy=BUSY)


def _heard(session: SessionView, video: StoredVideo) -> str:
    rows = [loudness(block) for block in _frames(session, video)]
    decibels = np.concatenate(rows) if rows else np.zeros((0, len(BANDS_HZ) - 1))
    levels = np.clip((decibels - QUIET_DB) / (LOUD_DB - QUIET_DB), 0, 1) * 255
    return base64.b64encode(np.rint(levels).astype(np.uint8).tobytes()).decode()


def _frames(session: SessionView, video: StoredVideo) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of whole frames [n, FRAME]; blocks of sound end anywhere."""
    rest = np.zeros(0, np.float32)
    for start_s, samples in session.sound(video):
        rest = np.concatenate([rest, samples])
        whole = len(rest) // FRAME * FRAME
        yield rest[:whole].reshape(-1, FRAME)
        rest = rest[whole:]
        session.progress("sound", int(start_s), int(video.duration_s))


def loudness(frames: NDArray[np.float32]) -> Floats:
    """Return decibels of frames [n, FRAME], [n, bands]."""
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2 / FRAME
    hertz = np.fft.rfftfreq(FRAME, 1 / SAMPLES_HZ)
    bands = [
        power[:, (hertz >= low) & (hertz < high)].mean(axis=1) for low, high in pairwise(BANDS_HZ)
    ]
    return np.asarray(10 * np.log10(np.stack(bands, axis=1) + 1e-9))
