"""The kind of index that fits is made behind the searches: by one, while all others go on.

A trainer that waits at a gate stands for a slow one.
"""

import functools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentkit_storage import Filter, Store, faults, reader, vector_kinds
from agentkit_storage.index import SpaceIndex
from agentkit_storage.testing import TEXT_SIZE, draw_chunk, draw_vector, draw_video
from agentkit_storage.vector_kinds import IndexSettings, Kind
from agentkit_storage.vectors import VectorIndex

A, B, C, D = "a1" * 32, "b2" * 32, "c3" * 32, "d4" * 32
QUERY = draw_vector(TEXT_SIZE, np.random.default_rng(0))

# A drawn chunk has 4 text vectors: a video of 3 chunks is flat, two are SQ8, three IVF-SQ8.
TINY = IndexSettings(sq8_from=20, ivf_from=36, probes=1, sample=16, sample_per_list=4)
# A reader in a process of its own, whose index has to be made of another kind.
READER = """
import functools, os, signal, sys, threading
from agentkit_storage import Filter, Store, reader, vector_kinds
from agentkit_storage.index import SpaceIndex
from agentkit_storage.vector_kinds import IndexSettings, Kind
import numpy as np
rules = IndexSettings(sq8_from=20, ivf_from=36, probes=1, sample=16, sample_per_list=4)
reader.SpaceIndex = functools.partial(SpaceIndex, settings=rules)
make = vector_kinds.make
at_training = threading.Event()
def train(kind, *how):
    if kind is not Kind.FLAT and sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind is not Kind.FLAT and sys.argv[2] == "leaves":
        at_training.set()
        threading.Event().wait()
    return make(kind, *how)
vector_kinds.make = train
with Store.open(sys.argv[1]) as store:
    store.search_vectors("text", np.ones(16, np.float32), 1, Filter())
    if sys.argv[2] == "leaves":
        at_training.wait()
    else:
        store._index("text").wait()
"""


class Trainer:
    """Trains when it is let; counts how often."""

    def __init__(self) -> None:
        self.trained = 0
        self.is_there = threading.Event()
        self.may_go = threading.Event()
        self._make = vector_kinds.make

    def __call__(self, kind: Kind, *how: Any) -> Any:
        if kind is not Kind.FLAT:
            self.trained += 1
            self.is_there.set()
            assert self.may_go.wait(60)
        return self._make(kind, *how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that changes kinds at a handful of vectors, with a flat index of video A."""
    monkeypatch.setattr(reader, "SpaceIndex", functools.partial(SpaceIndex, settings=TINY))
    with Store.open(folder) as store:
        fill(store, A)
        assert_right(store, A)
        yield store
        store._index("text").wait()


@pytest.fixture
def trainer(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    """Takes the place of FAISS's training; a store that is there already has a flat index."""
    trainer = Trainer()
    monkeypatch.setattr(vector_kinds, "make", trainer)
    yield trainer
    trainer.may_go.set()
    store._index("text").wait()


def fill(store: Store, *video_ids: str, chunks: int = 3) -> None:
    for video_id in video_ids:
        store.add_video(draw_video(video_id), "drawn")
        for index in range(chunks):
            store.add_chunk(draw_chunk(video_id, index))


def assert_right(store: Store, *video_ids: str, chunks: int = 3) -> None:
    """Compare all cosines with those of the drawn vectors, as float16 rows give them."""
    segments = [s for v in video_ids for at in range(chunks) for s in draw_chunk(v, at).segments]
    vectors = np.stack([np.asarray(s.vector, np.float16) for s in segments]).astype(np.float32)
    found = [hit.score for hit in store.search_vectors("text", QUERY, 999)]
    np.testing.assert_allclose(found, np.sort(vectors @ QUERY)[::-1], atol=1e-6)


def kind_in(store: Store) -> Kind | None:
    return store._index("text").kind


def kind_on_disk(folder: Path) -> bytes:
    return (folder / "index" / "text.faiss").read_bytes().partition(b'"kind": "')[2].split(b'"')[0]


# A search waits for no training


def test_searches_go_on_and_are_right_while_a_kind_is_made(store: Store, trainer: Trainer) -> None:
    fill(store, B)
    assert_right(store, A, B)
    assert trainer.is_there.wait(60)
    fill(store, C)
    assert_right(store, A, B, C)
    store.remove_video(A)
    assert_right(store, B, C)
    assert kind_in(store) is Kind.FLAT
    assert store.search_vectors("text", QUERY, 9, Filter((A,))) == []
    trainer.may_go.set()
    store._index("text").wait()
    assert kind_in(store) is Kind.SQ8
    assert_right(store, B, C)
    assert trainer.trained == 1


def test_what_comes_while_it_is_trained_is_in_it(store: Store, trainer: Trainer) -> None:
    fill(store, B)
    assert_right(store, A, B)
    assert trainer.is_there.wait(60)
    store.remove_video(A)
    fill(store, D, chunks=1)
    trainer.may_go.set()
    store._index("text").wait()
    held = store._index("text")._held
    assert held is not None
    assert (held.index.kind, len(held.index)) == (Kind.SQ8, 16)  # before any search


def test_what_comes_while_it_is_filled_is_in_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VectorIndex, "tune", lambda *how: fill(store, D, chunks=1))
    fill(store, B)
    assert_right(store, A, B)
    store._index("text").wait()
    held = store._index("text")._held
    assert held is not None
    assert (held.index.kind, len(held.index)) == (Kind.SQ8, 28)  # before any search


def test_what_was_rebuilt_meanwhile_stays(store: Store, trainer: Trainer) -> None:
    fill(store, B)
    assert_right(store, A, B)
    assert trainer.is_there.wait(60)
    store.remove_video(B)
    store.rebuild_index()
    trainer.may_go.set()
    store._index("text").wait()
    assert kind_in(store) is Kind.FLAT
    assert_right(store, A)


def test_many_threads_search_while_kinds_change(store: Store) -> None:
    """Nobody is inside an index while it changes; each thread sees what it stored or removed."""
    start = threading.Barrier(5)
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        video_id = f"{number:064x}"
        try:
            start.wait(60)
            for _ in range(3):
                fill(store, video_id, chunks=2)
                found = store.search_vectors("text", QUERY, 999, Filter((video_id,)))
                assert len(found) == 8
                store.remove_video(video_id)
                assert store.search_vectors("text", QUERY, 9, Filter((video_id,))) == []
            fill(store, video_id, chunks=3)
        except BaseException as error:  # noqa: BLE001 — told by the thread that waits for it
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for _ in range(2):  # what is being made now may have been begun with fewer
        assert_right(store, A, *(f"{number:064x}" for number in range(5)))
        store._index("text").wait()
    assert kind_in(store) is Kind.IVF_SQ8


def test_a_large_space_without_a_snapshot_is_searched_before_its_lists_are_made(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, B, C)
    trainer = Trainer()
    make, lists = vector_kinds.make, (Kind.IVF_SQ8,)
    monkeypatch.setattr(
        vector_kinds, "make", lambda kind, *how: (trainer if kind in lists else make)(kind, *how)
    )
    with Store.open(folder) as other:
        assert_right(other, A, B, C)
        assert kind_in(other) is Kind.SQ8
        assert kind_on_disk(folder) == b"sq8"
        assert trainer.is_there.wait(60)
        trainer.may_go.set()
        other._index("text").wait()
        assert_right(other, A, B, C)
        assert kind_in(other) is Kind.IVF_SQ8


def test_far_too_many_for_a_flat_index_do_not_wait_in_it(store: Store) -> None:
    """Flat takes the most memory; the kind for a start is made at once."""
    fill(store, B, chunks=20)
    store.search_vectors("text", QUERY, 1)
    assert kind_in(store) is not Kind.FLAT


# One builds


def test_one_of_two_makes_it_and_the_other_takes_it(
    store: Store, folder: Path, trainer: Trainer
) -> None:
    with Store.open(folder) as other:
        assert_right(other, A)
        fill(store, B)
        assert_right(store, A, B)
        assert trainer.is_there.wait(60)
        assert_right(other, A, B)
        other._index("text").wait()
        assert kind_in(other) is Kind.FLAT
        trainer.may_go.set()
        store._index("text").wait()
        assert_right(other, A, B)
        other._index("text").wait()
        assert (kind_in(store), kind_in(other)) == (Kind.SQ8, Kind.SQ8)
        assert trainer.trained == 1
        assert_right(other, A, B)


def test_one_that_made_nothing_leaves_it_to_the_next(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(folder) as other:
        assert_right(other, A)
        fill(store, B)
        with monkeypatch.context() as patch:
            patch.setattr(vector_kinds, "make", broken)
            assert_right(store, A, B)
            store._index("text").wait()
        assert_right(other, A, B)
        other._index("text").wait()
        assert (kind_in(store), kind_in(other)) == (Kind.FLAT, Kind.SQ8)


# What goes wrong


def broken(kind: Kind, *how: Any) -> Any:
    raise MemoryError("no room to train")


def test_a_making_that_fails_is_said_once_and_searches_go_on(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(vector_kinds, "make", broken)
        for more in ((B, 3), (C, 3), (D, 30)):
            fill(store, more[0], chunks=more[1])
            store.search_vectors("text", QUERY, 1)
            store._index("text").wait()
    said = [record.getMessage() for record in caplog.records if "no room" in record.getMessage()]
    assert len(said) == 1
    assert "\n" not in said[0]
    assert kind_in(store) is Kind.FLAT
    store.remove_video(D)
    assert_right(store, A, B, C)
    store.rebuild_index()
    assert kind_in(store) is Kind.IVF_SQ8
    assert_right(store, A, B, C)


@pytest.mark.parametrize(
    ("how", "fault"), [("killed", ""), ("made", "index.tmp:1"), ("made", "index.rename:1")]
)
def test_a_kill_while_it_is_made_harms_nothing(
    store: Store, folder: Path, how: str, fault: str
) -> None:
    store.rebuild_index()
    fill(store, B)
    assert run_reader(folder, how, fault) == -signal.SIGKILL
    with Store.open(folder) as other:
        assert_right(other, A, B)
        other._index("text").wait()
        assert_right(other, A, B)
        assert kind_in(other) is Kind.SQ8
    assert kind_on_disk(folder) == b"sq8"


# At the end


def test_who_only_read_does_not_wait_for_what_is_made(store: Store, folder: Path) -> None:
    """The process ends while a thread of it trains, and the snapshot of before is whole."""
    store.rebuild_index()
    fill(store, B)
    assert run_reader(folder, "leaves", "") == 0
    assert kind_on_disk(folder) == b"flat"
    with Store.open(folder) as other:
        assert_right(other, A, B)


def run_reader(folder: Path, how: str, fault: str) -> int:
    command = [sys.executable, "-c", READER, str(folder), how]
    variables = os.environ | {faults.VARIABLE: fault}
    return subprocess.run(command, env=variables, timeout=60, check=False).returncode


def test_who_wrote_leaves_the_kind_that_fits(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, B)
    with caplog.at_level(logging.INFO, "agentkit_storage.index"):
        store._index("text").save(wrote=True)
    assert (kind_in(store), kind_on_disk(folder)) == (Kind.SQ8, b"sq8")
    assert "before the store is closed" in caplog.text
    assert_right(store, A, B)


def test_who_wrote_and_never_searched_leaves_the_kind_that_fits(store: Store, folder: Path) -> None:
    with Store.open(folder) as writer:
        fill(writer, B)
    assert kind_on_disk(folder) == b"sq8"


def test_who_wrote_waits_for_what_is_being_made(
    store: Store, folder: Path, trainer: Trainer
) -> None:
    fill(store, B)
    assert_right(store, A, B)
    assert trainer.is_there.wait(60)
    trainer.may_go.set()
    store._index("text").save(wrote=True)
    assert (trainer.trained, kind_on_disk(folder)) == (1, b"sq8")


def test_the_old_kind_is_not_written_over_the_one_that_fits(
    store: Store, folder: Path, trainer: Trainer
) -> None:
    with Store.open(folder) as other:
        assert_right(other, A)
        fill(store, B)
        assert_right(store, A, B)
        assert trainer.is_there.wait(60)
        assert_right(other, A, B)
        other._index("text").wait()
        trainer.may_go.set()
        store._index("text").wait()
        assert kind_in(other) is Kind.FLAT
    assert kind_on_disk(folder) == b"sq8"
