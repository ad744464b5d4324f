"""A session that runs for real on tiny parts: random models, hashed words for an embedder."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit import Session, Settings
from agentkit.terms import words
from agentkit.testing import make_video

TINY_INSTRUMENTS = ("shots", "motion")


class WordEmbedder:
    """Texts with like words are near: each word is a fixed random direction."""

    fingerprint = "words"
    size = 1024  # two random directions have a cosine of about 0.03

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [sum((_direction(w) for w in words(text)), np.full(1024, 1e-3)) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(-1, 1024)


def _direction(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(1024)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from videoxl2_model.testing import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tiny_videoxl2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from videoxl2_model.testing import write_tiny_videoxl2

    return write_tiny_videoxl2(tmp_path_factory.mktemp("tiny-videoxl2"), shards=2)


@pytest.fixture
def open_session(
    tmp_path: Path, tiny_model: Path, tiny_videoxl2: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Session]]:
    """Open sessions on a store of the test's own; keyword arguments are settings."""
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("agentkit.engine.Engine.embedder", WordEmbedder())
    opened = []

    def open_one(store: Path | None = None, **settings: object) -> Session:
        settings = {"videoxl2_path": tiny_videoxl2, **settings}
        session = Session.open(tiny_settings(store or tmp_path / "store", tiny_model, **settings))
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.close()


def tiny_settings(store: Path, model: Path, **settings: object) -> Settings:
    defaults = {
        "store": store,
        "encoder": "notes",
        "language_model": str(model),
        "notes": {"instruments": TINY_INSTRUMENTS},
        "ask": {"max_new_tokens": 4, "min_score": 0.2},
    }
    return Settings.load(**{**defaults, **settings})


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 s: five chunks at one frame a second, with a cut every 9 s."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 40)]

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> NDArray[np.uint8]:
        image = np.empty((size_px[1], size_px[0], 3), np.uint8)  # [H, W, 3] RGB
        image[:] = colours[int(time_s // 9) % 4]
        left = int(time_s * 7) % (size_px[0] - 20)
        image[20:40, left : left + 20] = 255
        return image

    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return make_video(path, seconds=70, fps=5, size_px=(128, 96), draw=draw)


@pytest.fixture
def word_embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture(scope="session")
def asked_stores(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_videoxl2: Path, long_clip: Path
) -> dict[str, Path]:
    """Stores that hold `long_clip`, to be asked only: of each encoder, and of pictures alone."""
    folder = tmp_path_factory.mktemp("asked-stores")
    made = {
        "notes": {"encoder": "notes"},
        "videoxl2": {"encoder": "videoxl2"},
        "pictures": {"encoder": "videoxl2", "notes": {"instruments": ()}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTKIT_HOME", str(folder / "home"))
        patch.setattr("agentkit.engine.Engine.embedder", WordEmbedder())
        for name, settings in made.items():
            both = {**settings, "videoxl2_path": tiny_videoxl2}
            with Session.open(tiny_settings(folder / name, tiny_model, **both)) as session:
                session.ingest(long_clip)
    return {name: folder / name for name in made}
