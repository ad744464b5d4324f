"""How unusual each second is against the camera's own history before it. Knows no rule.

A second is five numbers: people, vehicles, motion, how seldom somebody stood where somebody stands
now, and speed. Each is held against median and median absolute deviation of the seconds before it
(the modified z-score of Iglewicz and Hoaglin, 1993); the largest makes the score. Nothing is known
of what comes after: a camera that runs would say the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit_security.options import PEOPLE, VEHICLES
from agentkit_security.seen import Sight
from agentkit_security.stays import foot
from agentkit_security.tracks import Track

Floats = NDArray[np.float64]

FEATURES = ("people", "vehicles", "motion", "place", "speed")
# The least deviation that counts as one: of a count, a share of the picture, a rarity, heights/s.
_FLOORS = np.array([0.5, 0.5, 0.01, 0.1, 0.3])
_BOTH_WAYS = np.array([True, True, False, False, False])  # fewer than ever is unusual as well
MIDDLE_Z = 4.0  # the score is 1/2 here; 3.5 is Iglewicz and Hoaglin's limit for an outlier
TOLD_Z = 3.0  # from here on a feature is given as a reason
HISTORY_S = 3600  # no more of what came before is remembered
_CELLS = (9, 16)  # rows and columns of the map of places
PEAK = 0.5
JOINED_S = 5  # peaks nearer than this are one


@dataclass(frozen=True, slots=True)
class Reason:
    """A feature that stands out: what it was, and what it usually is."""

    feature: str
    value: float
    usual: float


@dataclass(frozen=True, slots=True)
class Peak:
    """A stretch that stands out; `at_s` is where it does most."""

    start_s: float
    end_s: float
    at_s: float
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A score for each second, NaN while the camera's ways are learnt, and what stands out."""

    scores: tuple[float, ...]
    peaks: tuple[Peak, ...]


def curve_of(
    sights: Sequence[Sight],
    tracks: Sequence[Track],
    duration_s: float,
    aspect: float,
    learn_s: float,
) -> Curve:
    """Return the anomaly curve of a video from what was seen and followed."""
    seconds = features(sights, tracks, duration_s, aspect)
    z, usual = deviations(seconds, math.ceil(learn_s))
    scores = 1 / (1 + np.exp(MIDDLE_Z - z.max(axis=1, initial=0)))
    scores[np.isnan(z).any(axis=1)] = np.nan
    return Curve(tuple(scores.tolist()), _peaks(scores, z, seconds, usual, duration_s))


def features(
    sights: Sequence[Sight], tracks: Sequence[Track], duration_s: float, aspect: float
) -> Floats:
    """Return what each second is, [seconds, 5], in the order of FEATURES."""
    count = max(math.ceil(duration_s - 1e-6), 1)  # 24.000000000000004 s are 24
    out = np.zeros((count, len(FEATURES)))
    out[:, 0] = _counts(tracks, PEOPLE, count)
    out[:, 1] = _counts(tracks, VEHICLES, count)
    out[:, 2] = _means([(one.time_s, one.motion) for one in sights], count)
    out[:, 3] = rarity(tracks, count)
    out[:, 4] = _speeds(tracks, count, aspect)
    return out


def _counts(tracks: Sequence[Track], kinds: Sequence[str], count: int) -> Floats:
    """Return how many are there in each second: from a track's first sight to its last."""
    out = np.zeros(count)
    for track in tracks:
        if track.kind in kinds:
            out[int(track.start_s) : int(track.end_s) + 1] += 1
    return out


def _means(values: Sequence[tuple[float, float]], count: int) -> Floats:
    sums, numbers = np.zeros(count), np.zeros(count)
    for time_s, value in values:
        second = min(int(time_s), count - 1)
        sums[second] += value
        numbers[second] += 1
    return np.asarray(sums / np.maximum(numbers, 1))


def rarity(tracks: Sequence[Track], count: int) -> Floats:
    """Return how new the newest place is where something stands in each second: 0 often, 1 never.

    A place is a cell of the picture with its neighbours; it has been stood in for n seconds
    before, by anything: 1 / (1 + n).
    """
    places: list[set[tuple[int, int]]] = [set() for _ in range(count)]
    for track in tracks:
        for time_s, box in zip(track.times_s, track.boxes, strict=True):
            x, y = foot(box, 1.0)
            cell = min(int(y * _CELLS[0]), _CELLS[0] - 1), min(int(x * _CELLS[1]), _CELLS[1] - 1)
            places[min(int(time_s), count - 1)].add(cell)
    stood = np.zeros((_CELLS[0] + 2, _CELLS[1] + 2))  # with a border, so that all have neighbours
    out = np.zeros(count)
    for second, cells in enumerate(places):
        around = [stood[y : y + 3, x : x + 3].max() for y, x in cells]
        out[second] = max((1 / (1 + float(n)) for n in around), default=0.0)
        for y, x in cells:
            stood[y + 1, x + 1] += 1
    return out


def _speeds(tracks: Sequence[Track], count: int, aspect: float) -> Floats:
    """Return the highest speed of each second, in a thing's own heights a second.

    It is taken over about a second, so that a box that trembles does not run.
    """
    out = np.zeros(count)
    for track in tracks:
        for first, last in _seconds_apart(track.times_s):
            (ax, ay), (bx, by) = (foot(track.boxes[i], aspect) for i in (first, last))
            box = track.boxes[last]
            step_s = track.times_s[last] - track.times_s[first]
            speed = math.hypot(bx - ax, by - ay) / step_s / max(box[3] - box[1], 1e-3)
            second = min(int(track.times_s[last]), count - 1)
            out[second] = max(out[second], speed)
    return out


def _seconds_apart(times_s: Sequence[float]) -> list[tuple[int, int]]:
    """Return pairs of places in time that are a second or a little more apart, up to two."""
    pairs, first = [], 0
    for last, time_s in enumerate(times_s):
        while first + 1 < last and time_s - times_s[first + 1] >= 1.0:
            first += 1
        if 1.0 <= time_s - times_s[first] <= 2.0:
            pairs.append((first, last))
    return pairs


def deviations(seconds: Floats, learn: int) -> tuple[Floats, Floats]:
    """Return modified z-scores and medians of what came before, [seconds, 5] each.

    They are NaN while the camera is learnt.
    """
    z, usual = np.full(seconds.shape, np.nan), np.full(seconds.shape, np.nan)
    for second in range(max(learn, 1), len(seconds)):
        before = seconds[max(second - HISTORY_S, 0) : second]
        median = np.median(before, axis=0)
        spread = 1.4826 * np.median(np.abs(before - median), axis=0)
        away = (seconds[second] - median) / np.maximum(spread, _FLOORS)
        z[second] = np.where(_BOTH_WAYS, np.abs(away), np.maximum(away, 0))
        usual[second] = median
    return z, usual


def _peaks(
    scores: Floats, z: Floats, seconds: Floats, usual: Floats, duration_s: float
) -> tuple[Peak, ...]:
    """Return the stretches over PEAK, highest first."""
    spans: list[list[int]] = []
    for second in np.flatnonzero(np.nan_to_num(scores) >= PEAK).tolist():
        if spans and second - spans[-1][1] <= JOINED_S:
            spans[-1][1] = second
        else:
            spans.append([second, second])
    found = []
    for first, last in spans:
        at = first + int(np.argmax(scores[first : last + 1]))
        told = [i for i in np.argsort(-z[at], kind="stable").tolist() if z[at, i] >= TOLD_Z]
        reasons = [Reason(FEATURES[i], float(seconds[at, i]), float(usual[at, i])) for i in told]
        end_s = min(last + 1.0, duration_s)
        found.append(Peak(float(first), end_s, float(at), float(scores[at]), tuple(reasons)))
    return tuple(sorted(found, key=lambda peak: (-peak.score, peak.start_s)))


def as_json(curve: Curve) -> Mapping[str, object]:
    """Return the curve as JSON keeps it; a second without a score is null."""
    return {
        "scores": [None if math.isnan(score) else round(score, 4) for score in curve.scores],
        "peaks": [
            {
                "start_s": peak.start_s,
                "end_s": peak.end_s,
                "at_s": peak.at_s,
                "score": round(peak.score, 4),
                "reasons": [
                    {"feature": r.feature, "value": round(r.value, 3), "usual": round(r.usual, 3)}
                    for r in peak.reasons
                ],
            }
            for peak in curve.peaks
        ],
    }
