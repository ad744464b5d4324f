"""MiniLM: pooling by rule, and with the real weights what a search relies on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from agentkit import models
from agentkit.embedder import MiniLM, pool
from agentkit.types import Embedder

real = pytest.mark.real
needs_minilm = pytest.mark.skipif(
    not models.available("minilm"), reason="needs `agentkit models pull minilm`"
)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_pooling_is_the_mean_of_the_unmasked_at_length_one(rows: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(rows, n, 5)).astype(np.float32)
    lengths = rng.integers(1, n + 1, rows)
    mask = (np.arange(n) < lengths[:, None]).astype(np.int64)
    vectors = pool(states, mask)
    for row, length in enumerate(lengths):
        mean = states[row, :length].mean(axis=0)
        assert_allclose(vectors[row], mean / np.linalg.norm(mean), rtol=1e-3, atol=1e-5)


def test_what_stands_under_the_mask_does_not_matter() -> None:
    states = np.ones((1, 3, 4), np.float32)
    mask = np.array([[1, 1, 0]])
    changed = states.copy()
    changed[0, 2] = 1e6
    assert_allclose(pool(states, mask), pool(changed, mask))


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM(models.path("minilm"), threads=1)


@real
@needs_minilm
class TestReal:
    def test_vectors_are_of_length_one(self, minilm: MiniLM) -> None:
        vectors = minilm.embed(["a red car", "", "word " * 1000])
        assert vectors.shape == (3, minilm.size)
        assert vectors.dtype == np.float32
        assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_no_text_is_no_vector(self, minilm: MiniLM) -> None:
        assert minilm.embed([]).shape == (0, 384)

    @pytest.mark.parametrize(
        ("query", "near", "far"),
        [
            ("a person riding a bicycle", "someone cycles down the street", "a bowl of soup"),
            (
                "the goalkeeper saves the ball",
                "football: shot held by the keeper",
                "a rainy forest",
            ),
            ("unemployment is falling", "he speaks about the economy and jobs", "a cat sleeps"),
        ],
    )
    def test_what_means_the_same_is_near(
        self, minilm: MiniLM, query: str, near: str, far: str
    ) -> None:
        vectors = minilm.embed([query, near, far])
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]

    def test_a_batch_is_its_texts_one_by_one(self, minilm: MiniLM) -> None:
        texts = [f"{'a walk in the park ' * (i % 7)}number {i}" for i in range(30)]
        one_by_one = np.concatenate([minilm.embed([text]) for text in texts])
        assert_allclose(minilm.embed(texts), one_by_one, atol=2e-6)

    def test_a_long_text_is_cut_at_256_tokens(self, minilm: MiniLM) -> None:
        long = "word " * 254  # and two tokens at its ends
        vectors = minilm.embed([long, long + "car " * 50, long[: 5 * 200] + "car " * 54])
        assert_allclose(vectors[0], vectors[1], atol=1e-6)
        assert vectors[0] @ vectors[2] < 0.999

    def test_the_fingerprint_follows_the_files(self, minilm: MiniLM, tmp_path: Path) -> None:
        for name in ("model.onnx", "tokenizer.json"):
            (tmp_path / name).write_bytes((models.path("minilm") / name).read_bytes())
        assert MiniLM(tmp_path, threads=1).fingerprint == minilm.fingerprint
        with (tmp_path / "tokenizer.json").open("a") as changed:
            changed.write("\n")
        assert MiniLM(tmp_path, threads=1).fingerprint != minilm.fingerprint

    def test_it_is_an_embedder(self, minilm: MiniLM) -> None:
        embedder: Embedder = minilm
        assert embedder.size == 384
