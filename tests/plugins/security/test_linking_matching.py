"""Probabilities are those of all one-to-one tables; the table chosen is the best one."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agentkit_security.linking.matching import marginals, one_to_one


def tables(rows: int, columns: int):
    """Yield every one-to-one table, the empty one too."""
    for count in range(min(rows, columns) + 1):
        for some in combinations(range(rows), count):
            for others in permutations(range(columns), count):
                yield list(zip(some, others, strict=True))


def counted(weights: np.ndarray) -> np.ndarray:
    """Return each pair's probability by adding up all tables."""
    found, total = np.zeros_like(weights), 0.0
    for table in tables(*weights.shape):
        weight = float(np.prod([weights[pair] for pair in table]))
        total += weight
        for pair in table:
            found[pair] += weight
    return found / total


def test_exact_where_no_pairs_form_a_circle() -> None:
    weights = np.array([[3.0, 0.5, 0.0], [0.0, 2.0, 0.0], [0.0, 0.1, 7.0]])
    np.testing.assert_allclose(marginals(weights), counted(weights), atol=1e-7)


weights_of = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(0, 50))
)


@given(weights_of)
@settings(max_examples=40, deadline=None)
def test_near_the_truth_and_always_probabilities(weights: np.ndarray) -> None:
    found = marginals(weights)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (found.sum(axis=0) <= 1 + 1e-6).all()
    assert (found.sum(axis=1) <= 1 + 1e-6).all()
    assert np.abs(found - counted(weights)).max() < 0.2


@given(weights_of)
@settings(max_examples=30, deadline=None)
def test_rows_and_columns_may_change_places(weights: np.ndarray) -> None:
    np.testing.assert_allclose(marginals(weights), marginals(weights.T).T, atol=1e-5)


def test_one_clear_pair_among_alike_ones() -> None:
    weights = np.array([[9.0, 9.0], [9.0, 9.0]])
    np.testing.assert_allclose(
        marginals(weights), np.full((2, 2), counted(weights)[0, 0]), atol=0.05
    )


TABLES = list(tables(4, 3))


@given(arrays(float, (4, 3), elements=st.floats(0, 1)), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_table_is_the_best_of_all(probabilities: np.ndarray, least: float) -> None:
    pairs = one_to_one(probabilities, least)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(probabilities[pair] >= least for pair in pairs)
    gain = np.where(probabilities >= least, probabilities, -np.inf).tolist()
    best = max(sum(gain[row][column] for row, column in table) for table in TABLES)
    assert sum(probabilities[pair] for pair in pairs) == pytest.approx(best)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_links_to_nothing(shape: tuple[int, int]) -> None:
    assert marginals(np.zeros(shape)).shape == shape
    assert one_to_one(np.zeros(shape), 0.5) == []
