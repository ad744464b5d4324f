"""Lags are found where there are any, told from both sides alike, and not made up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit_security.linking import correlate
from agentkit_security.linking.correlate import Signals, highest, peak_lag, scores_over_lags
from agentkit_security.linking.results import SURE

RATE_HZ = 5.0


def two_views(seed: int, lag: int, length: int = 300, noise: float = 0.5):
    """Return signals of two views that share 2 of 4 parts, `lag` samples apart."""
    chance = np.random.default_rng(seed)
    world = chance.normal(size=(length + 200, 2))
    first, second = 100, 100 + lag
    return tuple(
        Signals.of(
            np.concatenate(
                [
                    world[start : start + length] + noise * chance.normal(size=(length, 2)),
                    chance.normal(size=(length, 2)),
                ],
                axis=1,
            ),
            RATE_HZ,
        )
        for start in (first, second)
    )


@given(st.integers(-100, 100), st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_any_shift_is_found_and_turns_with_the_views(lag: int, seed: int) -> None:
    a, b = two_views(seed, lag)
    there, back = peak_lag(a, b, 30.0), peak_lag(b, a, 30.0)
    assert there.lag_s == pytest.approx(lag / RATE_HZ, abs=0.1)
    assert there.confidence >= SURE
    assert back.lag_s == pytest.approx(-there.lag_s, abs=1e-6)
    assert back.confidence == pytest.approx(there.confidence, abs=1e-6)


def test_a_shift_between_samples_is_found_between_samples() -> None:
    times = np.arange(0, 120, 1 / RATE_HZ)
    chance = np.random.default_rng(3)
    places, widths = chance.uniform(0, 130, 60), chance.uniform(0.5, 1.5, 60)

    def seen(at: np.ndarray) -> Signals:
        bumps = np.exp(-0.5 * ((at[:, None] - places) / widths) ** 2)
        return Signals.of(bumps.sum(axis=1)[:, None], RATE_HZ)

    assert peak_lag(seen(times), seen(times + 7.47), 20.0).lag_s == pytest.approx(7.47, abs=0.05)


def slow_scores(a: Signals, b: Signals, max_lag_s: float) -> np.ndarray:
    """Return what `scores_over_lags` should, by adding up."""
    reach = min(round(max_lag_s * a.rate_hz), max(len(a.values), len(b.values)) - 1)
    known = [np.broadcast_to(one.known, one.values.shape) > 0 for one in (a, b)]
    scores = []
    for lag in range(-reach, reach + 1):
        total, shared = 0.0, [t for t in range(len(a.values)) if 0 <= t - lag < len(b.values)]
        for i in range(a.values.shape[1]):
            for j in range(b.values.shape[1]):
                both = [t for t in shared if known[0][t, i] and known[1][t - lag, j]]
                if len(both) < correlate.LEAST_MEETING_S * a.rate_hz:
                    continue
                x = a.values[both, i]
                y = b.values[[t - lag for t in both], j]
                energy = (x @ x + len(both) * a.floor**2) * (y @ y + len(both) * b.floor**2)
                r = min(max(x @ y / math.sqrt(energy), -0.999), 0.999)
                total += max(math.atanh(r) * math.sqrt(len(both) - 3), 0) ** 4
        least = max(10.0 * a.rate_hz, min(len(a.values), len(b.values)) / 4)
        scores.append(total**0.25 if len(shared) >= least else math.nan)
    return np.array(scores)


@pytest.mark.parametrize("block", [16, 37, 4096])
@pytest.mark.parametrize("masked", [False, True])
def test_scores_are_those_of_plain_sums(
    block: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correlate, "BLOCK", block)
    chance = np.random.default_rng(block + masked)
    views = []
    for length, floor in ((90, 0.3), (75, 0.0)):
        known = (chance.random((length, 2)) < 0.9).astype(float) if masked else None
        values = chance.normal(size=(length, 2)) + 2
        views.append(Signals.of(values, 1.0, known, floor=floor))
    lags_s, scores = scores_over_lags(*views, 60.0)
    assert lags_s.tolist() == list(range(-60, 61))
    np.testing.assert_allclose(scores, slow_scores(*views, 60.0), atol=1e-6)


def test_noise_is_seldom_sure() -> None:
    chance = np.random.default_rng(0)
    sure = 0
    for _ in range(60):
        a, b = (Signals.of(chance.normal(size=(250, 3)), RATE_HZ) for _ in range(2))
        sure += peak_lag(a, b, 30.0).confidence >= SURE
    assert sure <= 4


def test_what_repeats_is_ambiguous_and_names_another_lag() -> None:
    chance = np.random.default_rng(1)
    once = chance.normal(size=(60, 2))
    again = Signals.of(np.tile(once, (6, 1)), RATE_HZ)
    peak = peak_lag(again, again, 40.0)
    assert peak.confidence < SURE
    assert abs(peak.runner_up_s - peak.lag_s) % 12.0 == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("length", [0, 1, 3, 40])
def test_too_little_says_nothing(length: int) -> None:
    short = Signals.of(np.ones((length, 2)), RATE_HZ)
    assert peak_lag(short, short, 30.0).confidence == 0.0


def test_one_flash_fits_any_other_and_is_left_out() -> None:
    flash = np.zeros((400, 1))
    flash[100:105] = 1.0
    seldom = Signals.of(flash, RATE_HZ, least_busy=25)
    assert peak_lag(seldom, seldom, 60.0).confidence == 0.0
    flashes = (np.random.default_rng(2).random((400, 1)) < 0.2).astype(float)
    often = Signals.of(flashes, RATE_HZ, least_busy=25)
    assert peak_lag(often, often, 60.0).lag_s == pytest.approx(0.0, abs=1e-9)


def test_starts_of_recordings_are_added() -> None:
    a, b = two_views(5, 20)
    late = Signals(a.values, a.known, a.rate_hz, start_s=2.5)
    assert peak_lag(late, b, 30.0).lag_s == pytest.approx(4.0 + 2.5, abs=0.1)


def test_the_highest_of_a_flat_line_is_nothing() -> None:
    assert highest(np.arange(50.0), np.zeros(50)).confidence == 0.0
