"""Several processes on one store: readers beside a writer, two ingests of one video, locks."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from agentkit_storage import Store
from agentkit_storage.testing import TEXT_SIZE, draw_chunk, draw_vector, ingest

A = "a1" * 32
StartWorker = Callable[..., Any]  # see conftest
HOLD = """
import sys
from agentkit_storage import Store
with Store.open(sys.argv[1]) as store, store.ingest_lock(sys.argv[2]) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


def hold_lock(location: str) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, location, A],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def test_readers_beside_a_writer_see_whole_chunks(store: Store, start_worker: StartWorker) -> None:
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    chunks = 12
    writer = start_worker("", "ingest", A, chunks)
    seen = 0
    while writer.running:
        seen = look(store, query, seen)
    assert writer.finish()[0] == 0
    assert look(store, query, seen) == chunks
    assert store.verify() == []


def look(store: Store, query: np.ndarray, before: int) -> int:
    """Check all that can be seen; return how many chunks, never fewer than `before`."""
    if not store.videos():
        return before
    found = store.chunks(A)
    assert len(found) >= before
    groups = store.groups(A)
    assert len(groups) % 4 == 0
    assert len(groups) >= 4 * len(found)
    for chunk in found[-2:]:
        drawn = draw_chunk(A, chunk.index, rows=True)
        for group, wanted in zip(drawn.groups, groups[chunk.first_group :], strict=False):
            np.testing.assert_array_equal(group.rows, wanted.rows)
        notes = store.notes(A, chunk.start_s, chunk.end_s, ["object"])
        assert notes == list(drawn.notes)
        assert len(store.segments(A, chunk.index)) == 4
    assert len(store.search_vectors("text", query, 999)) % 4 == 0
    return len(found)


def test_threads_share_one_store(store: Store) -> None:
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(ingest, store, letter * 64, 6, True, False) for letter in "ab"]
        readers = [
            pool.submit(lambda: len(store.search_vectors("text", query, 999))) for _ in range(60)
        ]
        for writer in writers:
            writer.result()
        assert all(reader.result() % 4 == 0 for reader in readers)
    assert len(store.search_vectors("text", query, 999)) == 48
    assert store.verify() == []


def test_two_ingests_of_one_video_make_one(
    store: Store, tmp_path: Path, start_worker: StartWorker
) -> None:
    workers = [start_worker("", "ingest", A, 4) for _ in range(2)]
    assert [worker.finish()[0] for worker in workers] == [0, 0]
    with Store.open(tmp_path / "alone") as alone:
        ingest(alone, A, 4, rows=True)
        assert store.digest(A) == alone.digest(A)
        assert len(store.kv_indices(A, "drawn")) == 5
    assert store.verify() == []


def test_a_new_store_may_be_opened_by_several_at_once(
    location: str, start_worker: StartWorker
) -> None:
    workers = [start_worker("", "ingest", letter * 64, 1) for letter in "abc"]
    assert [worker.finish()[0] for worker in workers] == [0, 0, 0]
    with Store.open(location) as store:
        assert len(store.videos()) == 3


def test_the_lock_is_held_by_one(store: Store, location: str) -> None:
    holder = hold_lock(location)
    with store.ingest_lock(A, wait=False) as held:
        assert held is False
    with store.ingest_lock("b2" * 32, wait=False) as held:
        assert held is True
    waited: list[float] = []

    def let_go(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 1:
            holder.communicate("")

    with store.ingest_lock(A, let_go) as held:
        assert held is True
    assert waited
    with store.ingest_lock(A, wait=False) as held:
        assert held is True


def test_a_killed_holder_frees_the_lock(store: Store, location: str) -> None:
    holder = hold_lock(location)
    holder.kill()
    holder.communicate()
    with store.ingest_lock(A) as held:  # a server hears of it a moment later
        assert held is True


def test_an_error_frees_the_lock(store: Store) -> None:
    try:
        with store.ingest_lock(A):
            raise ValueError
    except ValueError:
        pass
    with store.ingest_lock(A, wait=False) as held:
        assert held is True
