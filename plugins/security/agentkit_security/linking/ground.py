"""Where two views show the same ground: a map from one picture's feet to the other's.

Tracks seen at once by both cameras and belonging together lie on one map of the ground (Stein
1998; Khan and Shah 2003 use it to label the same people consistently). An affine map is sought,
which is enough for a strip of ground, by RANSAC (Fischler and Bolles 1981).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentkit_security.linking.appearance import is_cut
from agentkit_security.linking.correlate import Floats
from agentkit_security.tracks import Track

POINTS = 6  # of each pair of tracks
SHORTEST_S = 1.5  # a map is sought from pairs that are seen at once for so long
TOUCH_S = 0.3  # and tells of those that are for so long
NEAR = 0.35  # box heights; a pair whose feet are so near on the map is one place
FAR = 0.02  # ratio of a pair that is elsewhere: a map, or a box, may be wrong
TRIALS = 400
SHUFFLES = 6
FLATTEST = 0.1  # of a map's two scales, one over the other: no ground is a line
LEAST_PAIRS = 4
MOST_PAIRS = 1500  # a map is sought from


@dataclass(frozen=True, slots=True)
class Pairs:
    """Feet of pairs of tracks that are seen at once, in picture heights."""

    rows: NDArray[np.int64]  # [P] tracks of a
    columns: NDArray[np.int64]  # [P] tracks of b
    feet_a: Floats  # [P, POINTS, 2]
    feet_b: Floats
    tall_a: Floats  # [P] median height of the boxes
    tall_b: Floats

    def dealt(self, order: NDArray[np.int64]) -> "Pairs":
        """Return the pairs with the paths of b in another order."""
        return replace(self, feet_b=self.feet_b[order], tall_b=self.tall_b[order])


def ground_ratios(
    a: Sequence[Track], b: Sequence[Track], clock_s: float, likely: Floats
) -> tuple[Floats, int]:
    """Return how much likelier each pair's places are for one thing than for any two, [A, B].

    `clock_s` is added to the times of b; `likely` [A, B] says which pairs to try first. Also
    returned is how many tracks lie on the map; 0 where there is none, and then all ratios are 1.
    A map counts where more tracks lie on it than on the best one after the paths of b were dealt
    out to the pairs anew.
    """
    ratios = np.ones((len(a), len(b)))
    pairs = pairs_at_once(a, b, clock_s)
    found = best_map(pairs, likely)
    if found is None or found[1] < LEAST_PAIRS:
        return ratios, 0
    off, count = found
    chance = np.random.default_rng(1)
    for _ in range(SHUFFLES):
        dealt = best_map(pairs.dealt(chance.permutation(len(pairs.rows))), likely)
        if dealt is not None and dealt[1] + 2 > count:
            return ratios, 0
    every = pairs_at_once(a, b, clock_s, TOUCH_S)
    near = np.exp(-0.5 * (_off(pairs, np.flatnonzero(off < NEAR), every) / NEAR) ** 2)
    ratios[every.rows, every.columns] = FAR + (1 - FAR) * near / near.mean()
    return ratios, count


def pairs_at_once(
    a: Sequence[Track], b: Sequence[Track], clock_s: float, shortest_s: float = SHORTEST_S
) -> Pairs:
    """Return the pairs of one kind of thing that both cameras see whole for long enough."""
    feet_a, feet_b = [_Feet(track, 0.0) for track in a], [_Feet(track, clock_s) for track in b]
    found = []
    for row, one in enumerate(feet_a):
        for column, other in enumerate(feet_b):
            start_s, end_s = max(one.start_s, other.start_s), min(one.end_s, other.end_s)
            if end_s - start_s >= shortest_s and a[row].kind == b[column].kind:
                times_s = np.linspace(start_s, end_s, POINTS)
                feet = one.at(times_s), other.at(times_s)
                found.append((row, column, *feet, one.tall, other.tall))
    if shortest_s == SHORTEST_S:
        found = found[:: len(found) // MOST_PAIRS + 1]
    columns = [[pair[at] for pair in found] for at in range(6)]
    return Pairs(
        np.array(columns[0], int),
        np.array(columns[1], int),
        np.array(columns[2]).reshape(-1, POINTS, 2),
        np.array(columns[3]).reshape(-1, POINTS, 2),
        np.array(columns[4], float),
        np.array(columns[5], float),
    )


class _Feet:
    """Where a track's feet are while its box is whole."""

    def __init__(self, track: Track, shift_s: float) -> None:
        whole = [i for i, box in enumerate(track.boxes) if not is_cut(box)]
        boxes = np.array([track.boxes[i] for i in whole]).reshape(-1, 4)
        self._times_s = np.array([track.times_s[i] for i in whole]) + shift_s
        self._places = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
        self.tall = float(np.median(boxes[:, 3] - boxes[:, 1])) if whole else 1.0
        self.start_s = float(self._times_s[0]) if whole else np.inf
        self.end_s = float(self._times_s[-1]) if whole else -np.inf

    def at(self, times_s: Floats) -> Floats:
        return np.stack([np.interp(times_s, self._times_s, c) for c in self._places.T], axis=1)


def best_map(pairs: Pairs, likely: Floats) -> tuple[Floats, int] | None:
    """Return how far each pair is off the best map, in box heights, and how many are on it.

    Deterministic: the trials are drawn from a fixed seed.
    """
    if len(pairs.rows) < LEAST_PAIRS:
        return None
    chance = np.random.default_rng(0)
    weights = likely[pairs.rows, pairs.columns] + 1e-6
    trials = chance.choice(len(pairs.rows), (TRIALS, 3), p=weights / weights.sum())
    best, best_off = (0, 0.0), None
    for some in trials:
        if len(set(pairs.rows[some])) < 3 or len(set(pairs.columns[some])) < 3:
            continue
        off = _off(pairs, some)
        if _on_map(pairs, off) + 1 < best[0]:
            continue
        for _ in range(2):  # again, on all that lie on it
            on = np.flatnonzero(off < NEAR)
            off = _off(pairs, on) if len(on) >= 3 else off
        score = _on_map(pairs, off), -float(np.minimum(off, NEAR).sum())
        if best_off is None or score > best:
            best, best_off = score, off
    return None if best_off is None else (best_off, best[0])


def _off(pairs: Pairs, some: NDArray[np.int64], told: Pairs | None = None) -> Floats:
    """Fit a map to some pairs; return how far those told of are off it, in box heights."""
    told = told or pairs
    ones, others = pairs.feet_a[some].reshape(-1, 2), pairs.feet_b[some].reshape(-1, 2)
    found, *_ = np.linalg.lstsq(_affine(ones), others, rcond=1e-3)
    scales = np.linalg.svd(found[:2], compute_uv=False)
    if scales[1] < FLATTEST * scales[0]:
        return np.full(len(told.rows), np.inf)
    miss = _affine(told.feet_a) @ found - told.feet_b
    # There and back: a map that shrinks everything to a point is near everywhere, but one way only.
    back = miss @ np.linalg.inv(found[:2])
    ways = (_heights(miss, told.tall_b), _heights(back, told.tall_a))
    return np.asarray(np.maximum(*ways))


def _heights(miss: Floats, tall: Floats) -> Floats:
    """Return root mean squares over points, in box heights, [P]."""
    return np.asarray(np.sqrt((miss**2).sum(axis=2).mean(axis=1)) / np.maximum(tall, 1e-3))


def _affine(feet: Floats) -> Floats:
    return np.concatenate([feet, np.ones((*feet.shape[:-1], 1))], axis=-1)


def _on_map(pairs: Pairs, off: Floats) -> int:
    """Return how many things can lie on the map: each track counts once."""
    on = off < NEAR
    return min(len(set(pairs.rows[on].tolist())), len(set(pairs.columns[on].tolist())))
