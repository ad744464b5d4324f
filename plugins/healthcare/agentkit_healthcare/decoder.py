"""From a score for each step at each moment to one sequence of steps. Knows numbers, no video.

The most probable path through a hidden Markov model (Viterbi, 1967; Rabiner, Proc. IEEE 77(2),
1989), and each state's probability at each moment given all moments (forward-backward). All in
logarithms, so that hours of moments do not underflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agentkit_healthcare.protocol import Step

Floats = NDArray[np.float64]

DEFAULT_STEP_S = 300.0  # where the protocol bounds no duration
LONGEST_STEP_S = 3600.0
SKIP_OPTIONAL = 0.5  # against 1 for the next step
SKIP_REQUIRED = 0.02
COME_BACK = 0.2  # to a step that may repeat
GO_BACK = 0.002  # to one that may not


@dataclass(frozen=True, slots=True)
class Model:
    """Logarithms of probabilities: `start` [K]; `move` [K, K] from the row's to the column's."""

    start: Floats
    move: Floats


def model_of(steps: Sequence[Step], bin_s: float, monotone: bool) -> Model:
    """Return the protocol as a Markov model over moments of `bin_s` seconds.

    A step stays with the chance that makes it last as long as its bounds say on average (their
    geometric mean). What leaves it goes to the next step, less often past steps, seldom back.
    `monotone` forbids to go back, but to a step that may repeat; from there it goes on.
    """
    every = range(len(steps))
    ways = np.array([[_way(steps, a, b, monotone) for b in every] for a in every])
    leave = np.array([min(bin_s / expected_s(step), 0.5) for step in steps])
    out = ways.sum(axis=1, keepdims=True)
    move = np.divide(ways, out, out=np.zeros_like(ways), where=out > 0) * leave[:, None]
    np.fill_diagonal(move, 1 - move.sum(axis=1))
    start = np.array([_skipping(steps[:index]) for index in every])
    with np.errstate(divide="ignore"):
        return Model(np.log(start / start.sum()), np.log(move))


def expected_s(step: Step) -> float:
    """Return how long a step lasts on average, as far as its bounds tell."""
    if step.max_s is None:
        return max(DEFAULT_STEP_S, 2 * step.min_s)
    return float(min(max(np.sqrt(max(step.min_s, 1.0) * step.max_s), 1.0), LONGEST_STEP_S))


def _way(steps: Sequence[Step], a: int, b: int, monotone: bool) -> float:
    """Return how likely step b follows step a, where a ends; no probability yet."""
    if b == a:
        return 0.0
    if b > a:
        return _skipping(steps[a + 1 : b])
    if steps[b].may_repeat:
        return COME_BACK
    return 0.0 if monotone else GO_BACK


def _skipping(passed: Sequence[Step]) -> float:
    return float(np.prod([SKIP_OPTIONAL if s.optional else SKIP_REQUIRED for s in passed]))


def viterbi(model: Model, scores: Floats) -> NDArray[np.int64]:
    """Return the most probable state at each moment, [T]; `scores` [T, K] are log-likelihoods.

    Of equally probable ways the one through the lower states is taken.
    """
    moments, states = scores.shape
    came_from = np.zeros((moments, states), dtype=np.int64)
    best = model.start + scores[0]
    for moment in range(1, moments):
        ways = best[:, None] + model.move  # [from, to]
        came_from[moment] = ways.argmax(axis=0)
        best = ways.max(axis=0) + scores[moment]
    path = np.zeros(moments, dtype=np.int64)
    path[-1] = int(best.argmax())
    for moment in range(moments - 1, 0, -1):
        path[moment - 1] = came_from[moment, path[moment]]
    return path


def path_score(model: Model, scores: Floats, path: Sequence[int] | NDArray[np.int64]) -> float:
    """Return a path's log-probability with its scores."""
    states = [int(state) for state in path]
    total = float(model.start[states[0]] + scores[0, states[0]])
    for moment, (a, b) in enumerate(pairwise(states), start=1):
        total += float(model.move[a, b] + scores[moment, b])
    return total


def posteriors(model: Model, scores: Floats) -> Floats:
    """Return each state's probability at each moment given all scores, [T, K]."""
    moments = len(scores)
    forward, backward = np.zeros_like(scores), np.zeros_like(scores)
    forward[0] = model.start + scores[0]
    for moment in range(1, moments):
        forward[moment] = _log_sum(forward[moment - 1][:, None] + model.move, 0) + scores[moment]
    for moment in range(moments - 2, -1, -1):
        ahead = scores[moment + 1] + backward[moment + 1]
        backward[moment] = _log_sum(model.move + ahead[None, :], 1)
    both = forward + backward
    shares: Floats = np.exp(both - _log_sum(both, 1)[:, None])
    return shares


def _log_sum(values: Floats, axis: int) -> Floats:
    """Return log(sum(exp(values))) along an axis, exact where all are -inf."""
    top = values.max(axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: Floats = np.log(np.exp(values - safe).sum(axis=axis)) + safe.squeeze(axis)
    return total
