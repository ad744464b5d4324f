"""The anomaly curve: against what came before, and nothing of what comes after."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit_security.anomaly import (
    FEATURES,
    HISTORY_S,
    TOLD_Z,
    curve_of,
    deviations,
    features,
    rarity,
)
from agentkit_security.seen import Sight
from agentkit_security.tracks import Track


def standing(number: int, start_s: int, end_s: int, x: float = 0.5, kind: str = "person") -> Track:
    times_s = tuple(n / 2 for n in range(start_s * 2, end_s * 2 + 1))
    box = (x - 0.02, 0.4, x + 0.02, 0.6)
    return Track("v", number, kind, times_s, (box,) * len(times_s), (0.9,) * len(times_s))


def quiet(seconds: int, busy: range = range(0)) -> list[Sight]:
    return [Sight(n / 2, 0.3 if n // 2 in busy else 0.02, ()) for n in range(seconds * 2)]


def test_features_are_what_a_second_is() -> None:
    runs = Track(
        "v", 1, "person", tuple(n / 2 for n in range(9)),
        tuple((0.1 * n, 0.4, 0.1 * n + 0.04, 0.6) for n in range(9)), (0.9,) * 9,
    )  # fmt: skip
    found = features(quiet(6, range(3, 4)), [runs, standing(2, 2, 5, 0.9, "car")], 6.0, 2.0)
    assert dict(zip(FEATURES, found.T.round(3).tolist(), strict=True)) == {
        "people": [1, 1, 1, 1, 1, 0],
        "vehicles": [0, 0, 1, 1, 1, 1],
        "motion": [0.02, 0.02, 0.02, 0.3, 0.02, 0.02],
        "place": [1, 1, 1, 1, 0.333, 0.25],  # at last both are where the car stood
        "speed": [0, 2, 2, 2, 2, 0],  # 0.2 of a picture twice as broad as high, 0.2 high
    }


def test_a_run_a_crowd_and_a_new_place_stand_out_with_their_reasons() -> None:
    regular = [standing(1, 0, 200)]
    crowd = [standing(n, 120, 130, 0.5) for n in range(2, 8)]
    elsewhere = [standing(9, 160, 163, 0.9)]
    curve = curve_of(quiet(200, range(90, 93)), regular + crowd + elsewhere, 200.0, 1.0, 60)
    assert all(math.isnan(score) for score in curve.scores[:60])
    assert not any(math.isnan(score) for score in curve.scores[60:])
    by_time = sorted(curve.peaks, key=lambda peak: peak.start_s)
    assert [(p.start_s, p.end_s, [r.feature for r in p.reasons]) for p in by_time] == [
        (90, 93, ["motion"]),
        (120, 131, ["people"]),
        (160, 162, ["place"]),
    ]
    assert (by_time[1].reasons[0].value, by_time[1].reasons[0].usual) == (7, 1)
    assert list(curve.peaks) == sorted(curve.peaks, key=lambda p: -p.score)


def test_a_camera_that_sees_the_same_all_day_has_no_peak() -> None:
    curve = curve_of(quiet(150), [standing(1, 0, 150)], 150.0, 1.0, 60)
    assert curve.peaks == ()
    assert max(curve.scores[60:]) < 0.1


def test_a_short_recording_has_no_score() -> None:
    curve = curve_of(quiet(40), [standing(1, 0, 39)], 40.0, 1.0, 60)
    assert len(curve.scores) == 40
    assert all(math.isnan(score) for score in curve.scores)
    assert curve.peaks == ()


numbers = st.lists(st.lists(st.floats(0, 10), min_size=5, max_size=5), min_size=3, max_size=40).map(
    np.array
)


@given(numbers, st.integers(1, 10))
def test_what_comes_after_changes_nothing_before(seconds: np.ndarray, learn: int) -> None:  # type: ignore[type-arg]
    whole, _ = deviations(seconds, learn)
    for cut in (1, len(seconds) // 2):
        np.testing.assert_array_equal(deviations(seconds[:cut], learn)[0], whole[:cut])


@given(numbers)
def test_deviations_are_modified_z_scores(seconds: np.ndarray) -> None:  # type: ignore[type-arg]
    """Against the formula, a number at a time."""
    from statistics import median

    from agentkit_security.anomaly import _BOTH_WAYS, _FLOORS

    z, usual = deviations(seconds, 2)
    for second in range(2, len(seconds)):
        for i in range(5):
            before = seconds[:second, i].tolist()
            middle = median(before)
            spread = 1.4826 * median(abs(value - middle) for value in before)
            away = (seconds[second, i] - middle) / max(spread, _FLOORS[i])
            want = abs(away) if _BOTH_WAYS[i] else max(away, 0)
            assert z[second, i] == pytest.approx(want)
            assert usual[second, i] == pytest.approx(middle)


def test_the_history_is_an_hour() -> None:
    seconds = np.zeros((HISTORY_S + 100, 5))
    seconds[:50, 0] = 9
    z, _ = deviations(seconds, 60)
    assert z[-1].max() == 0
    assert TOLD_Z > 0


def test_rarity_falls_as_a_place_is_stood_in() -> None:
    found = rarity([standing(1, 0, 4, 0.5), standing(2, 3, 4, 0.55)], 6)
    # The second stands in a cell beside the first: it is no new place.
    assert found.tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0]
