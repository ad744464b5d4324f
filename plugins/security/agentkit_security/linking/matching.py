"""From weights of pairs to probabilities and to a one-to-one table. Knows no track.

The model: each row goes with one column or with none, each column with one row or with none, and
a table of pairs is as likely as the product of its pairs' weights.
"""

import numpy as np

from agentkit_security.linking.correlate import Floats

ROUNDS = 200
CLOSE = 1e-9


def marginals(weights: Floats) -> Floats:
    """Return the probability of each pair over all one-to-one tables, [rows, columns].

    By belief propagation, as in data association for tracking (Williams and Lau 2014, who show
    that it converges); exact where no pairs form a circle, near it elsewhere.
    """
    rows, columns = weights.shape
    if not rows or not columns:
        return np.zeros((rows, columns))
    to_column = np.zeros_like(weights)
    to_row = np.ones_like(weights)
    for _ in range(ROUNDS):
        sent = weights * to_row
        to_column = weights / (1 + sent.sum(axis=1, keepdims=True) - sent)
        new = 1 / (1 + to_column.sum(axis=0, keepdims=True) - to_column)
        step = np.abs(new - to_row).max()
        to_row = new
        if step < CLOSE:
            break
    sent = weights * to_row
    return np.asarray(sent / (1 + sent.sum(axis=1, keepdims=True)))


def one_to_one(probabilities: Floats, least: float) -> list[tuple[int, int]]:
    """Return the pairs, each row and column once at most, that are most often right together.

    The Hungarian method (Kuhn 1955) on the probabilities; a pair under `least` is no pair.
    """
    if not probabilities.size:
        return []
    from scipy.optimize import linear_sum_assignment

    allowed = (probabilities >= least) & (probabilities > 0)
    rows, columns = linear_sum_assignment(np.where(allowed, probabilities, 0.0), maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if allowed[row, column]]
