"""The decoder finds the most probable sequence, and how probable: held against all sequences."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentkit_healthcare.decoder import Model, model_of, path_score, posteriors, viterbi
from agentkit_healthcare.protocol import Step, load

STEPS = load("cholec80").steps


def step(name: str, **rules) -> Step:
    return Step(name, {"en": name}, name, **rules)


@st.composite
def problems(draw) -> tuple[Model, np.ndarray]:
    states, moments = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    monotone = draw(st.booleans())
    flags = [
        step(str(n), may_repeat=draw(st.booleans()), optional=draw(st.booleans()))
        for n in range(states)
    ]
    if draw(st.booleans()):
        return model_of(flags, 1.0, monotone), rng.normal(0, 4, (moments, states))
    with np.errstate(divide="ignore"):
        move = np.log(rng.random((states, states)) * (rng.random((states, states)) > 0.4))
    return Model(np.log(rng.random(states) + 1e-3), move), rng.normal(0, 4, (moments, states))


def all_paths(model: Model, scores: np.ndarray) -> dict[tuple[int, ...], float]:
    """Score every sequence, one after the other."""
    moments, states = scores.shape
    return {p: path_score(model, scores, p) for p in product(range(states), repeat=moments)}


def slow_viterbi(model: Model, scores: np.ndarray) -> list[int]:
    """The same recursion over lists, state by state, as the textbook writes it."""
    moments, states = scores.shape
    best = [[float(model.start[k] + scores[0, k]) for k in range(states)]]
    back: list[list[int]] = []
    for t in range(1, moments):
        row, came = [], []
        for k in range(states):
            ways = [best[-1][j] + float(model.move[j, k]) for j in range(states)]
            came.append(ways.index(max(ways)))
            row.append(max(ways) + float(scores[t, k]))
        best.append(row)
        back.append(came)
    path = [best[-1].index(max(best[-1]))]
    for came in reversed(back):
        path.append(came[path[-1]])
    return path[::-1]


@given(problems())
def test_no_sequence_is_more_probable_than_the_decoded_one(problem) -> None:
    model, scores = problem
    every = all_paths(model, scores)
    best = max(every.values())
    assume(np.isfinite(best))
    assert every[tuple(viterbi(model, scores).tolist())] == pytest.approx(best)


@given(problems())
def test_each_states_probability_is_the_share_of_the_sequences_through_it(problem) -> None:
    model, scores = problem
    every = all_paths(model, scores)
    assume(any(np.isfinite(value) for value in every.values()))
    shares = np.zeros(scores.shape)
    top = max(every.values())
    for path, value in every.items():
        for moment, state in enumerate(path):
            shares[moment, state] += np.exp(value - top)
    shares /= sum(np.exp(value - top) for value in every.values())
    np.testing.assert_allclose(posteriors(model, scores), shares, atol=1e-9)


@pytest.mark.parametrize("monotone", [False, True])
def test_the_fast_way_is_the_slow_way(monotone: bool) -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 3, (400, len(STEPS)))
    model = model_of(STEPS, 1.0, monotone)
    assert viterbi(model, scores).tolist() == slow_viterbi(model, scores)


@pytest.mark.parametrize("monotone", [False, True])
def test_the_protocols_chances_add_up_to_one(monotone: bool) -> None:
    model = model_of(STEPS, 1.0, monotone)
    np.testing.assert_allclose(np.exp(model.move).sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(model.start).sum(), 1.0)
    assert (np.diag(np.exp(model.move)) >= 0.5).all()


@given(st.integers(0, 2**32 - 1))
def test_the_monotone_decoder_goes_back_to_repeatable_steps_only(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 30, (40, len(STEPS)))
    path = viterbi(model_of(STEPS, 1.0, monotone=True), scores).tolist()
    back = {b for a, b in pairwise(path) if b < a}
    assert back <= {index for index, one in enumerate(STEPS) if one.may_repeat}


def test_hours_of_moments_do_not_underflow() -> None:
    scores = np.full((20_000, len(STEPS)), -50.0)
    scores[:, 2] = -49.0
    chances = posteriors(model_of(STEPS, 1.0, monotone=False), scores)
    assert np.isfinite(chances).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert chances[10_000, 2] > 0.99


def test_a_required_step_is_passed_over_less_easily_than_an_optional_one() -> None:
    steps = [step("a"), step("b", optional=True), step("c"), step("d")]
    move = model_of(steps, 1.0, monotone=False).move
    assert move[0, 1] > move[0, 2] > move[0, 3]
    assert move[2, 3] > move[1, 3]
