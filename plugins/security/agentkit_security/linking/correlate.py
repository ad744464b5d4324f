"""At which lag two sets of signals go together, and how far that stands out. Knows no video.

Normalised cross-correlation by FFT, in blocks, so that hours take no more memory than minutes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

BLOCK = 4096  # samples of one FFT, besides the lags
LEAST_OVERLAP_S = 10.0  # two recordings must share so much, or a quarter of the shorter one
LEAST_MEETING_S = 4.0  # two signals that are both known for less say nothing
POWER = 4  # of the sum over pairs: a few that go together count more than many that nearly do
NEAR_S = 1.0  # lags so near to the peak are the peak
TAIL = 0.1  # share of the other lags' scores whose tail is looked at
LEAST_OTHERS = 20  # fewer say nothing of noise


@dataclass(frozen=True, slots=True)
class Signals:
    """K signals at even distances, [n, K]; zero where `known` ([n, K] or [n, 1]) is False.

    A signal that varies by less than `floor` (standard deviation) counts less: what is left of a
    still part of a picture, as the beat of its compression, goes together with anything.
    """

    values: Floats
    known: Floats
    rate_hz: float
    start_s: float = 0.0  # time of the first sample
    floor: float = 0.0

    @classmethod
    def of(
        cls,
        values: Floats,
        rate_hz: float,
        known: Floats | None = None,
        start_s: float = 0.0,
        floor: float = 0.0,
        least_busy: float = 0.0,
    ) -> "Signals":
        """Take the mean out of each signal; all of it is known if nothing else is said.

        A signal is left out where it is busy in fewer than `least_busy` samples (participation
        ratio of its energy): one flash fits any other flash.
        """
        known = np.ones((len(values), 1)) if known is None else known.astype(np.float64)
        count = np.maximum((known * np.ones_like(values)).sum(axis=0), 1)
        centred = (values - (values * known).sum(axis=0) / count) * known
        energy = centred**2
        busy = energy.sum(axis=0) ** 2 / np.maximum((energy**2).sum(axis=0), 1e-300)
        return cls(centred * (busy >= least_busy), known, rate_hz, start_s, floor)


@dataclass(frozen=True, slots=True)
class Peak:
    """Where a score over lags is highest; `confidence` says how far above all others, 0..1."""

    lag_s: float
    confidence: float
    runner_up_s: float = math.nan


NOTHING = Peak(math.nan, 0.0)


def peak_lag(a: Signals, b: Signals, max_lag_s: float) -> Peak:
    """Return the seconds to add to the times of `b` to come to those of `a`."""
    if not len(a.values) or not len(b.values):
        return NOTHING
    shift_s = a.start_s - b.start_s
    lags_s, scores = scores_over_lags(a, b, max_lag_s)
    peak = highest(lags_s, scores)
    return Peak(peak.lag_s + shift_s, peak.confidence, peak.runner_up_s + shift_s)


def scores_over_lags(a: Signals, b: Signals, max_lag_s: float) -> tuple[Floats, Floats]:
    """Return lags in s and how well the signals go together at each; NaN where too few overlap.

    Every signal of `a` is held against every one of `b`: Pearson's r, made a z by Fisher's
    transform. Of the positive ones the fourth powers are summed, since of two views only some
    parts see the same.
    """
    reach = min(round(max_lag_s * a.rate_hz), max(len(a.values), len(b.values)) - 1)
    ones, others = _spectra(a, len(a.values), reach, 0), _spectra(b, len(a.values), reach, reach)
    total = np.zeros(2 * reach + 1)
    for channel in range(a.values.shape[1]):
        z = _z_of(channel, ones, others, reach, (a, b))
        total += (np.maximum(z, 0) ** POWER).sum(axis=0)
    lags = np.arange(-reach, reach + 1)
    shared = np.minimum(len(a.values), len(b.values) + lags) - np.maximum(0, lags)
    least = max(LEAST_OVERLAP_S * a.rate_hz, min(len(a.values), len(b.values)) / 4)
    return lags / a.rate_hz, np.where(shared >= least, total ** (1 / POWER), np.nan)


@dataclass(frozen=True, slots=True)
class _Spectra:
    """Block by block: of the values, of their squares, of what is known; each [K, f]."""

    values: list[Complexes]
    squares: list[Complexes]
    known: list[Complexes]


def _spectra(signals: Signals, length: int, reach: int, margin: int) -> _Spectra:
    """Transform blocks of `length` samples in all; each begins and ends `margin` beyond itself."""
    block = min(BLOCK, max(length, 1))
    size = 1 << (block + 2 * reach).bit_length()
    parts = []
    for part in (signals.values, signals.values**2, signals.known):
        blocks = []
        for start in range(0, length, block):
            first, last = max(start - margin, 0), min(start + block + margin, len(part))
            padded = np.zeros((size, part.shape[1]))
            if first < last:
                place = first - start + margin
                padded[place : place + last - first] = part[first:last]
            blocks.append(np.fft.rfft(padded, axis=0).T)
        parts.append(blocks)
    return _Spectra(*parts)


def _z_of(
    channel: int, a: _Spectra, b: _Spectra, reach: int, of: tuple[Signals, Signals]
) -> Floats:
    """Return z [K of b, lags] of one signal of `a`; 0 where the two meet for too short."""
    mask = min(channel, len(a.known[0]) - 1)
    floors = [one.floor**2 for one in of]
    count = np.rint(_correlated(mask, a.known, b.known, reach))
    product = _correlated(channel, a.values, b.values, reach)
    energy_a = _positive(_correlated(channel, a.squares, b.known, reach)) + count * floors[0]
    energy_b = _positive(_correlated(mask, a.known, b.squares, reach)) + count * floors[1]
    r = np.clip(product / np.sqrt(energy_a * energy_b), -0.999, 0.999)
    z = np.arctanh(r) * np.sqrt(np.maximum(count - 3, 0))
    return np.where(count >= LEAST_MEETING_S * of[0].rate_hz, z, 0.0)


def _correlated(channel: int, a: Sequence[Complexes], b: Sequence[Complexes], reach: int) -> Floats:
    """Return sums over t of a[t] * b[t - lag], lags -reach..reach, [K of b, 2 reach + 1]."""
    both = sum(one[channel] * np.conj(other) for one, other in zip(a, b, strict=True))
    back = np.fft.irfft(both, axis=1)  # `b` begins `reach` samples early: lag 0 is at -reach
    return np.asarray(np.roll(back, 2 * reach, axis=1)[:, : 2 * reach + 1])


def _positive(energy: Floats) -> Floats:
    """Make what an FFT leaves of nothing, about 1e-16 of the largest, infinite."""
    return np.where(energy > 1e-9 * energy.max(initial=0), energy, np.inf)


def highest(lags_s: Floats, scores: Floats, near_s: float = NEAR_S) -> Peak:
    """Return the highest score's lag, between samples, and how sure it is.

    Noise has high scores too. Those beyond `near_s` of the peak show how fast they become rare:
    their tail is taken as exponential (peaks over threshold, Pickands 1975). `confidence` is the
    chance that noise alone stays below the peak at all lags, times the chance that one more such
    step does not lead from the runner-up to the peak: two peaks of one height are none.
    """
    known = np.isfinite(scores)
    if not known.any() or not np.nanmax(scores) > np.nanmin(scores):
        return NOTHING
    best = int(np.nanargmax(scores))
    others = known & (np.abs(lags_s - lags_s[best]) > near_s)
    if others.sum() < LEAST_OTHERS:
        return Peak(_between(lags_s, scores, best), 0.0)
    second = int(np.nanargmax(np.where(others, scores, np.nan)))
    high = float(np.quantile(scores[others], 1 - TAIL))
    step = max(float((scores[others & (scores >= high)] - high).mean()), 1e-9)
    chances = others.sum() * TAIL
    noise = chances * math.exp(-min((scores[best] - high) / step, 700))
    alone = 1 - math.exp(-min((scores[best] - scores[second]) / step, 700))
    lag_s = _between(lags_s, scores, best)
    return Peak(lag_s, math.exp(-noise) * alone, float(lags_s[second]))


def _between(lags_s: Floats, scores: Floats, best: int) -> float:
    """Return the top of the parabola through the peak and its neighbours."""
    if not 0 < best < len(scores) - 1:
        return float(lags_s[best])
    left, top, right = scores[best - 1 : best + 2]
    bend = left - 2 * top + right
    shift = 0.5 * (left - right) / bend if np.isfinite(bend) and bend < 0 else 0.0
    return float(lags_s[best] + shift * (lags_s[1] - lags_s[0]))
