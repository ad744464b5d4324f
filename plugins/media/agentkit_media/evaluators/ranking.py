"""How alike two rankings of the same frames are: Kendall's tau-b and Spearman's rho."""

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def kendall_tau(one: Values, other: Values) -> float | None:
    """Return tau-b (Kendall 1945); None where one of the two is constant. O(n log^2 n)."""
    size = len(one)
    pairs = size * (size - 1) // 2
    order = np.lexsort((other, one))  # by `one`, ties by `other`: those count as in order
    inversions = _inversions(_dense(other)[order])
    ties_one, ties_other = _tied(one), _tied(other)
    both = _tied(_dense(one) * size + _dense(other))
    if pairs in (ties_one, ties_other):
        return None
    agreeing = pairs - ties_one - ties_other + both - 2 * inversions
    return agreeing / math.sqrt(pairs - ties_one) / math.sqrt(pairs - ties_other)


def spearman_rho(one: Values, other: Values) -> float | None:
    """Return Pearson's correlation of the mean ranks; None where one of the two is constant."""
    ranks = [mean_ranks(values) - (len(values) + 1) / 2 for values in (one, other)]
    norm = math.sqrt(float(ranks[0] @ ranks[0])) * math.sqrt(float(ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1]) / norm if norm else None


def mean_ranks(values: Values) -> Values:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Values = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return means


def _dense(values: Values) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _tied(values: NDArray[np.float64] | NDArray[np.int64]) -> int:
    counts = np.unique(values, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: NDArray[np.int64]) -> int:
    """Return how many pairs are in falling order; one pass for each bit of the ranks.

    Two ranks are told apart by the highest bit in which they differ: it is counted among those
    that agree above that bit, which a stable sort has brought together.
    """
    total = 0
    for bit in reversed(range(int(ranks.max(initial=0)).bit_length())):
        ranks = ranks[np.argsort(ranks >> (bit + 1), kind="stable")]
        ones = (ranks >> bit) & 1
        before = np.cumsum(ones) - ones
        group = ranks >> (bit + 1)
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        first = np.repeat(before[starts], np.diff(np.r_[starts, len(ranks)]))
        total += int((before - first)[ones == 0].sum())
    return total
