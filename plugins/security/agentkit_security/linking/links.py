"""Which tracks of two cameras may be of one thing: clues weighed against those of any two.

Each clue (clothes, times, place) gives a likelihood ratio: how often it is so of one thing over
how often it is so of all pairs of these two cameras. What it is like for one thing is learnt from
the pairs themselves, a few rounds of expectation and maximisation, as for cars seen by two cameras
of a road (Huang and Russell 1997; Pasula et al. 1999). It knows no frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit_security.linking.appearance import (
    Pixels,
    distances,
    looks_alike,
    own_distances,
)
from agentkit_security.linking.correlate import Floats
from agentkit_security.linking.ground import ground_ratios
from agentkit_security.linking.matching import marginals
from agentkit_security.linking.options import LinkOptions
from agentkit_security.linking.transit import Passages, Spans, time_ratios
from agentkit_security.tracks import Track

ROUNDS = 12
SAME_KINDS = (frozenset({"car", "truck", "bus"}), frozenset({"bicycle", "motorcycle"}))
CAMERAS_APART = 0.3  # of the way from a track's own distance to that of any two
OWN_LINKS = 5.0  # links that the distance beforehand counts as
STEEPEST = 80.0
SHARE, SHARE_TRACKS = 0.5, 4.0  # of tracks seen by both, thought beforehand, and its weight
MOST_SHARE = 0.95
RARE = 4.0  # pairs; how far a track's own background is trusted


@dataclass(frozen=True, slots=True)
class Side:
    """One camera's tracks and some of their pixels, in the same order."""

    tracks: tuple[Track, ...]
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Clues:
    """Of each pair [A, B]: the probability and what it was made of."""

    probability: Floats
    distance: Floats
    clothes: Floats  # likelihood ratios
    times: Floats
    place: Floats
    passages: Passages | None
    on_map: int  # tracks on the map of the ground; 0 where the views share none


def clues(a: Side, b: Side, clock_s: float | None, options: LinkOptions) -> Clues:
    """Weigh all pairs; `clock_s` is added to the times of b, None where it is not known."""
    distance, close = compared(a, b)
    ones = np.ones_like(distance)
    kinds = same_kind(a.tracks, b.tracks)
    passages = None
    place, on_map = ones, 0
    clothes = clothes_ratios(distance, close, np.zeros_like(distance))
    if clock_s is not None:
        limits = options.min_transit_s, options.max_transit_s
        passages = Passages.of(Spans.of(a.tracks), Spans.of(b.tracks, clock_s), *limits)
        place, on_map = ground_ratios(a.tracks, b.tracks, clock_s, clothes * kinds)
    times, links = ones, np.zeros_like(distance)
    for _ in range(ROUNDS):
        if passages is not None:
            times = time_ratios(passages, links)
        weights = kinds * clothes * times * place
        links = marginals(odds_beforehand(links) * weights)
        clothes = clothes_ratios(distance, close, links)
    return Clues(links, distance, clothes, times, place, passages, on_map)


def compared(a: Side, b: Side) -> tuple[Floats, float]:
    """Return the distances [A, B], and that of one thing seen twice."""
    looks_a, looks_b = looks_alike(a.pixels, b.pixels)
    distance = distances(looks_a.whole, looks_b.whole)
    own = np.concatenate([own_distances(looks_a), own_distances(looks_b)])
    if not distance.size:
        return distance, 0.0
    nearest, any_two = float(np.median(own)), float(distance.mean())
    return distance, nearest + CAMERAS_APART * max(any_two - nearest, 0.0)


def same_kind(a: Sequence[Track], b: Sequence[Track]) -> Floats:
    """Return 1 where two tracks may be of one thing by their kinds, else 0, [A, B]."""

    def alike(one: str, other: str) -> bool:
        return one == other or any({one, other} <= group for group in SAME_KINDS)

    return np.array([[alike(x.kind, y.kind) for y in b] for x in a], float).reshape(len(a), len(b))


def odds_beforehand(links: Floats) -> float:
    """Return a link's weight before any clue, so that as many are expected as were found.

    With M expected of A and B tracks and no clue, M / ((A - M) (B - M)) makes each pair's
    probability M / (A B).
    """
    rows, columns = links.shape
    fewer = min(rows, columns)
    share = (links.sum() + SHARE * SHARE_TRACKS) / (fewer + SHARE_TRACKS)
    if not links.any():
        share = SHARE
    expected = min(share, MOST_SHARE) * fewer
    return float(expected / max((rows - expected) * (columns - expected), 1e-9))


def clothes_ratios(distance: Floats, close: float, links: Floats) -> Floats:
    """Return likelihood ratios of distances: of one thing over any two, falling with distance.

    The density of one thing's distances is that of all pairs tilted by exp(-slope * distance)
    (Qin 1998: two samples related by an exponential tilt are a logistic regression). The slope is
    such that the mean is that of the links found so far, and of one thing seen twice beforehand.
    A track that looks like most others says less: its own background counts.
    """
    if not distance.size:
        return np.ones_like(distance)
    mean = float((OWN_LINKS * close + (links * distance).sum()) / (OWN_LINKS + links.sum()))
    energy = np.exp(-_slope(distance.ravel(), mean) * (distance - distance.min()))
    overall = energy.mean()
    of_row = (energy.sum(axis=1) + RARE * overall) / (energy.shape[1] + RARE)
    of_column = (energy.sum(axis=0) + RARE * overall) / (energy.shape[0] + RARE)
    return np.asarray(energy / np.sqrt(of_row[:, None] * of_column[None, :]))


def _slope(values: Floats, mean: float) -> float:
    """Return the tilt that brings the mean of values down to `mean`, by halving."""
    low, high = 0.0, STEEPEST
    for _ in range(40):
        slope = (low + high) / 2
        tilted = np.exp(-slope * (values - values.min()))
        if (tilted * values).sum() / tilted.sum() > mean:
            low = slope
        else:
            high = slope
    return (low + high) / 2


def rank(distance: Floats) -> NDArray[np.float64]:
    """Return the share of all pairs that are farther apart than each, [A, B]."""
    order = np.sort(distance.ravel())
    farther = len(order) - np.searchsorted(order, distance, side="right")
    return np.asarray(farther / len(order))
