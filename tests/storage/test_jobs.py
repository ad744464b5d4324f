"""The job table: which chunks are with a worker, how often each was tried, and until when."""

import threading
import time

import pytest

from agentkit_storage import Job, Store
from agentkit_storage.errors import UnknownVideoError
from agentkit_storage.testing import draw_chunk, draw_video

A, B = "a1" * 32, "b2" * 32


def known(store: Store, *video_ids: str) -> Store:
    for video_id in video_ids:
        store.add_video(draw_video(video_id), "drawn")
    return store


def seen(store: Store, video_id: str) -> list[tuple[int, int, str, str]]:
    return [(job.chunk, job.attempts, job.worker, job.error) for job in store.jobs(video_id)]


def test_attempts_are_counted_and_survive_reopening(location: str) -> None:
    began = time.time()
    with Store.open(location) as store:
        known(store, A, B)
        assert [store.start_job(A, 3, "ray"), store.start_job(A, 3, "local")] == [1, 2]
        assert store.start_job(A, 0, "local") == 1
        assert store.start_job(B, 3, "ray") == 1
        store.fail_job(A, 3, "worker died: signal 9")
    with Store.open(location) as store:
        first, third = store.jobs(A)
        assert (first.chunk, first.attempts, first.worker, first.error) == (0, 1, "local", "")
        assert third == Job(A, 3, 2, "local", "worker died: signal 9", third.updated_at)
        assert began <= third.updated_at <= time.time()
        assert store.start_job(A, 3, "local") == 3
        assert seen(store, B) == [(3, 1, "ray", "")]


def test_a_stored_chunk_has_no_job(store: Store) -> None:
    known(store, A, B)
    for video_id, chunk in ((A, 0), (A, 1), (B, 0)):
        store.start_job(video_id, chunk, "local")
    store.add_chunk(draw_chunk(A, 0))
    assert seen(store, A) == [(1, 1, "local", "")]
    assert seen(store, B) == [(0, 1, "local", "")]


def test_a_removed_video_has_no_jobs(store: Store) -> None:
    known(store, A)
    store.start_job(A, 0, "local")
    store.remove_video(A)
    known(store, A)
    assert store.jobs(A) == []


def test_a_job_of_no_video_and_a_failure_of_no_job(store: Store) -> None:
    with pytest.raises(UnknownVideoError):
        store.start_job(A, 0, "local")
    known(store, A)
    store.fail_job(A, 0, "never begun")
    assert store.jobs(A) == []


def test_no_attempt_is_lost_where_two_count_at_once(location: str) -> None:
    with Store.open(location) as store:
        known(store, A)
    told: list[int] = []

    def count() -> None:
        with Store.open(location) as mine:
            told.extend(mine.start_job(A, 0, "local") for _ in range(8))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == list(range(1, 25))
