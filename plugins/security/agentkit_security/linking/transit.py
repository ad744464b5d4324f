"""When and over which edges one leaves a view and enters another: learnt from the tracks.

As Makris, Ellis and Black (2004) find transit times between zones of exit and entry without
knowing who is who, and Javed et al. (2008) keep them as a density estimated by kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit_security.linking.correlate import Floats
from agentkit_security.tracks import Box, Track

MEET_S = 1.0  # seen by both for longer: at once. For less: the end of one, the start of the other
TOGETHER, THERE, BACK = range(3)  # both at once; from a to b; from b to a
AT_EDGE = 0.03  # shares of the picture
INSIDE = 4
HALF_S = 20.0  # half of all transits are shorter, before anything is learnt
PRIOR_LINKS = 3.0  # what is thought beforehand counts as much as so many links
STEP_S = 0.25
LONGEST_S = 1800.0
LEAST_WIDTH_S, MOST_WIDTH_S = 0.5, 8.0  # of the kernel


@dataclass(frozen=True, slots=True)
class Spans:
    """When N tracks begin and end, and over which edges of the picture."""

    start_s: Floats  # [N]
    end_s: Floats
    entry: NDArray[np.int64]  # 0..3: left, top, right, bottom; 4: inside the picture
    exit: NDArray[np.int64]

    @classmethod
    def of(cls, tracks: Sequence[Track], shift_s: float = 0.0) -> "Spans":
        return cls(
            np.array([track.start_s + shift_s for track in tracks]),
            np.array([track.end_s + shift_s for track in tracks]),
            np.array([edge_of(track.boxes[0]) for track in tracks], int),
            np.array([edge_of(track.boxes[-1]) for track in tracks], int),
        )


def edge_of(box: Box) -> int:
    """Return the edge of the picture that a box is nearest to, `INSIDE` if none is near."""
    left, top, right, bottom = box
    ways = (left, top, 1 - right, 1 - bottom)
    nearest = min(range(len(ways)), key=lambda edge: ways[edge])
    return nearest if ways[nearest] < AT_EDGE else INSIDE


@dataclass(frozen=True, slots=True)
class Passages:
    """Of each pair of tracks (a, b): how they lie in time, and the seconds between them."""

    way: NDArray[np.int64]  # [A, B] TOGETHER, THERE, BACK
    edges: NDArray[np.int64]  # [A, B] the way and the edges of exit and entry as one number
    gap_s: Floats  # [A, B], at least -MEET_S; 0 where both are seen at once
    limits_s: tuple[float, float]  # by the user

    @classmethod
    def of(cls, a: Spans, b: Spans, least_s: float, most_s: float) -> "Passages":
        """Compare tracks on one clock."""
        start_a, end_a = a.start_s[:, None], a.end_s[:, None]
        shared = np.minimum(end_a, b.end_s) - np.maximum(start_a, b.start_s)
        is_first = (start_a + end_a) <= (b.start_s + b.end_s)
        gap_s = np.where(is_first, b.start_s - end_a, start_a - b.end_s)
        together = (shared >= MEET_S) | (gap_s < -MEET_S)
        way = np.where(together, TOGETHER, np.where(is_first, THERE, BACK))
        over = np.where(is_first, a.exit[:, None] * 5 + b.entry, a.entry[:, None] * 5 + b.exit)
        edges = np.where(together, 0, way * 25 + over)
        return cls(way, edges, np.where(together, 0.0, gap_s), (least_s, most_s))

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Which pairs are within the user's limits; views that need time are not seen at once."""
        least_s, most_s = self.limits_s
        early_s = least_s if least_s > 0 else -MEET_S
        within = (self.gap_s >= early_s) & (self.gap_s <= most_s)
        return np.where(self.way == TOGETHER, least_s == 0, within)


def time_ratios(passages: Passages, probabilities: Floats) -> Floats:
    """Return how much likelier each pair's times are for one thing than for any two, [A, B].

    `probabilities` are those of the pairs as thought so far. No pair is its own evidence: what
    is learnt for it leaves it out.
    """
    ratios = _edge_ratios(passages, probabilities)
    for way in (THERE, BACK):
        where = (passages.way == way) & passages.allowed
        if where.any():
            gaps_s = passages.gap_s[where]
            before = _beforehand(gaps_s, passages.limits_s)
            of_links = _density(gaps_s, probabilities[where], before, PRIOR_LINKS, leave_out=True)
            of_all = _density(gaps_s, np.ones(len(gaps_s)), before, 1.0, leave_out=False)
            ratios[where] *= of_links / of_all
    return np.where(passages.allowed, ratios, 0.0)


def _edge_ratios(passages: Passages, probabilities: Floats) -> Floats:
    """Return the ratios of ways and edges; the shares of all pairs are what is thought before."""
    edges = passages.edges
    everything = np.bincount(edges.ravel(), minlength=75)
    linked = np.bincount(edges.ravel(), weights=probabilities.ravel(), minlength=75)
    share = (everything / max(everything.sum(), 1))[edges]
    others = PRIOR_LINKS * share + linked[edges] - probabilities
    return np.asarray(others / (PRIOR_LINKS + linked.sum() - probabilities) / share)


def _beforehand(gaps_s: Floats, limits_s: tuple[float, float]) -> Floats:
    """Return the density of gaps before anything is learnt: half are below `HALF_S`."""
    least, most = limits_s[0] + MEET_S if limits_s[0] > 0 else 0.0, limits_s[1] + MEET_S
    inside = HALF_S / (HALF_S + least) - HALF_S / (HALF_S + most)
    return np.asarray(HALF_S / (HALF_S + gaps_s + MEET_S) ** 2 / max(inside, 1e-3))


def _density(
    gaps_s: Floats, weights: Floats, beforehand: Floats, prior: float, leave_out: bool
) -> Floats:
    """Return the density at each gap of the weighted gaps, beside a wide one beforehand."""
    reach = gaps_s + MEET_S
    width_s = kernel_width_s(gaps_s, weights)
    bins = np.minimum(reach, LONGEST_S) // STEP_S
    places = bins.astype(int)
    half = int(4 * width_s / STEP_S) + 1
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * STEP_S / width_s) ** 2)
    kernel /= kernel.sum() * STEP_S
    counts = np.bincount(places, weights=weights, minlength=int(places.max()) + 1)
    spread = np.convolve(counts, kernel)
    smooth = spread[half : half + len(counts)]
    # What the kernel puts before the first bin is mirrored: no gap is shorter.
    before = spread[:half][::-1][: len(smooth)]
    smooth[: len(before)] += before
    mirrored = np.append(kernel[half:], 0.0)[np.minimum(2 * places + 1, half + 1)]
    own = weights if leave_out else np.zeros_like(weights)
    learnt = smooth[places] - own * (kernel[half] + mirrored)
    total = prior + weights.sum() - own
    return np.asarray((prior * beforehand + np.maximum(learnt, 0)) / total)


def kernel_width_s(gaps_s: Floats, weights: Floats) -> float:
    """Return Silverman's width (1986) of weighted gaps, from the middle half of them."""
    total = weights.sum()
    if total < 1:
        return MOST_WIDTH_S / 2
    order = np.argsort(gaps_s)
    place = np.cumsum(weights[order]) / total
    low, high = (gaps_s[order][np.searchsorted(place, share)] for share in (0.25, 0.749))
    width = 0.9 * (high - low) / 1.34 * max(total, 1.0) ** -0.2
    return float(np.clip(width, LEAST_WIDTH_S, MOST_WIDTH_S))
