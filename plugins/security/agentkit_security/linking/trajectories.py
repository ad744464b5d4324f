"""The offset of two clocks from how tracks move: who slows down, stops and goes on in both views.

It needs no map between the views: a change of speed, in heights of the box, is seen from any side.
"""

from collections.abc import Sequence

import numpy as np

from agentkit_security.linking.correlate import Floats, Signals
from agentkit_security.tracks import Track

RATE_HZ = 5.0
SMOOTH_S = 0.6  # boxes jump about the thing
LONGEST = 48  # tracks that are looked at
LEAST_S = 4.0
FLOOR = 0.05  # heights/s; who walks evenly tells nothing


def speed_signals(tracks: Sequence[Track]) -> Signals:
    """Return the speed of each long track while it is seen, in box heights a second."""
    long = sorted(
        (track for track in tracks if track.end_s - track.start_s >= LEAST_S),
        key=lambda track: track.start_s - track.end_s,
    )[:LONGEST]
    if not long:
        return Signals.of(np.zeros((0, 1)), RATE_HZ)
    start_s = min(track.start_s for track in long)
    times_s = np.arange(start_s, max(track.end_s for track in long), 1 / RATE_HZ)
    speeds, known = zip(*(_speed(track, times_s) for track in long), strict=True)
    return Signals.of(np.stack(speeds, axis=1), RATE_HZ, np.stack(known, axis=1), start_s, FLOOR)


def _speed(track: Track, times_s: Floats) -> tuple[Floats, Floats]:
    boxes = np.array(track.boxes)
    own_s = np.array(track.times_s)
    tall = np.interp(times_s, own_s, boxes[:, 3] - boxes[:, 1])
    middle = [np.interp(times_s, own_s, (boxes[:, i] + boxes[:, i + 2]) / 2) for i in (0, 1)]
    width = max(round(SMOOTH_S * RATE_HZ), 1)
    flat = np.ones(width) / width
    steps = [np.gradient(np.convolve(one, flat, mode="same")) * RATE_HZ for one in middle]
    speed = np.hypot(*steps) / np.maximum(tall, 0.02)
    # A smoothed value needs neighbours on both sides; the mean over the track is taken out later.
    edge_s = SMOOTH_S + 1 / RATE_HZ
    known = (times_s >= track.start_s + edge_s) & (times_s <= track.end_s - edge_s)
    return np.where(known, speed, 0.0), known.astype(np.float64)
