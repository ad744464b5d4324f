"""The offset of two clocks from who leaves here and enters there. Knows no picture.

One way alone tells the offset and the time on the way in one sum. Of two ways, the offset is added
to one and taken from the other: half the difference is the offset, half the sum is the time on the
way, if it takes as long to go as to come back.
"""

import math

import numpy as np

from agentkit_security.linking.correlate import NOTHING, Floats, Peak, highest
from agentkit_security.linking.transit import Spans

STEP_S = 0.2
WIDTH_S = 1.5  # of the kernel: people do not walk alike
AROUND_S = 15.0  # so wide is what is usual around a lag
NEAR_S = 5.0  # the kernel's own width, and what people's pace adds, is no second peak
LONGEST_S = 120.0  # on the way, where the user says nothing
LEAST_TRACKS = 5  # of each camera
RARE = 0.3  # of a pair: what is usual is never less, or three passages make a certainty


def passage_lag(
    a: Spans, b: Spans, likely: Floats, max_lag_s: float, transit_s: tuple[float, float]
) -> Peak:
    """Return the seconds to add to times of `b`; `likely` [A, B] weighs pairs by their looks."""
    if min(likely.shape) < LEAST_TRACKS:
        return NOTHING
    least_s, most_s = transit_s[0], min(transit_s[1], LONGEST_S)
    reach_s = max_lag_s + most_s
    there = _standing_out(b.start_s - a.end_s[:, None], likely, reach_s)
    back = _standing_out(a.start_s[:, None] - b.end_s, likely, reach_s)
    lags = np.arange(-round(max_lag_s / STEP_S), round(max_lag_s / STEP_S) + 1)
    ways = np.arange(round(least_s / STEP_S), round(most_s / STEP_S) + 1)
    zero = len(there) // 2
    # To b: entry - exit = way - lag on the cameras' own clocks; back: way + lag.
    both = there[zero + ways[:, None] - lags] * back[zero + ways[:, None] + lags]
    return highest(lags.astype(np.float64) * STEP_S, np.sqrt(both).max(axis=0), NEAR_S)


def _standing_out(gaps_s: Floats, weights: Floats, reach_s: float) -> Floats:
    """Return by how many standard deviations more pairs have each gap than is usual around it."""
    half = round(reach_s / STEP_S)
    places = np.rint(gaps_s / STEP_S).astype(int) + half
    inside = (places >= 0) & (places <= 2 * half)
    counts = np.zeros(2 * half + 1)
    np.add.at(counts, places[inside], weights[inside])
    narrow, wide = _smooth(counts, WIDTH_S), _smooth(counts, AROUND_S)
    typical = float((weights**2).sum() / max(weights.sum(), 1e-9))  # of one pair
    usual = np.maximum(wide, RARE * typical)
    return np.asarray(np.maximum(narrow - wide, 0) / np.sqrt(usual * typical))


def _smooth(counts: Floats, width_s: float) -> Floats:
    """Return how much lies around each place, as much as lies within the kernel's width."""
    half = round(4 * width_s / STEP_S)
    steps = np.arange(-half, half + 1) * STEP_S / width_s
    kernel = np.exp(-0.5 * steps**2)
    spread = np.convolve(counts, kernel / kernel.sum())
    scale = WIDTH_S * math.sqrt(4 * math.pi) / STEP_S
    return np.asarray(spread[half : half + len(counts)] * scale)
