"""KV within a budget: the least recently used goes first, what is pinned or in use stays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit_storage import Store, kv_budget
from agentkit_storage.errors import DamagedChunkError, UnknownVideoError
from agentkit_storage.testing import draw_kv, draw_video

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
MAKING, OTHER = "making", "another making"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set what time it is."""

    def set_to(now_s: float) -> None:
        monkeypatch.setattr(kv_budget.time, "time", lambda: now_s)

    return set_to


def put(store: Store, video_id: str, making: str = MAKING, chunks: int = 2) -> None:
    store.add_video(draw_video(video_id), "drawn")
    for index in range(-1, chunks):
        store.put_kv(video_id, making, index, draw_kv(video_id, index))


def kept(store: Store) -> list[str]:
    return [video.video_id for video in store.videos() if "kv" in video.tiers]


def nbytes(store: Store) -> int:
    return sum(video.kv for video in store.stats().videos)


def test_the_least_recently_used_goes_first_and_as_a_whole(
    store: Store, clock: Callable[[float], None]
) -> None:
    for now_s, video_id in enumerate((A, B, C)):
        clock(now_s)
        put(store, video_id)
    clock(9)
    assert store.touch_kv(A, MAKING)
    whole = nbytes(store)
    assert store.trim_kv(whole) == 0
    freed = store.trim_kv(whole - 1)
    assert kept(store) == [A, C]
    assert freed == whole - nbytes(store) > 0
    store.trim_kv(1)
    assert kept(store) == []
    assert store.stats().blobs == 0  # the bytes went at once
    assert store.verify() == []


def test_what_is_pinned_or_in_use_stays(store: Store) -> None:
    for video_id in (A, B, C):
        put(store, video_id)
    store.pin_kv(A)
    with store.ingest_lock(B):
        store.trim_kv(0, keep=[C])
        assert kept(store) == [A, B, C]
    store.trim_kv(0, keep=[C])
    assert kept(store) == [A, C]
    assert [video.pinned for video in store.videos()] == [True, False, False]
    store.pin_kv(A, pinned=False)
    store.trim_kv(0)
    assert kept(store) == []
    with pytest.raises(UnknownVideoError):
        store.pin_kv("d4" * 32)


def test_an_old_making_goes_before_the_one_in_use(
    store: Store, clock: Callable[[float], None]
) -> None:
    clock(1)
    put(store, A, OTHER)
    clock(2)
    put(store, A)
    store.trim_kv(nbytes(store) - 1)
    assert store.kv_indices(A, OTHER) == set()
    assert store.kv_indices(A, MAKING) == {-1, 0, 1}


def test_a_blob_that_another_video_shares_stays(store: Store) -> None:
    for video_id in (A, B):
        store.add_video(draw_video(video_id), "drawn")
        store.put_kv(video_id, MAKING, 0, draw_kv(A, 0))
    store.trim_kv(0, keep=[B])
    np.testing.assert_equal(store.kv(B, MAKING, 0), draw_kv(A, 0))
    assert kept(store) == [B]


def test_the_budget_is_the_stores_and_none_drops_nothing(location: str) -> None:
    with Store.open(location) as store:
        put(store, A)
        assert store.trim_kv() == 0
        assert kept(store) == [A]
    with Store.open(location, kv_budget_bytes=0) as store:
        assert store.trim_kv(keep=[A]) == 0
        assert store.trim_kv() > 0


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    used=st.permutations([A, B, C]),
    pinned=st.sets(st.sampled_from([A, B, C])),
    share=st.floats(0, 1),
)
def test_trimming_is_the_obvious_loop(
    location: str, used: list[str], pinned: set[str], share: float
) -> None:
    """The slow twin works on a list of (video, bytes), the least recently used first."""
    with Store.open(location) as store:
        for at, video_id in enumerate((A, B, C)):
            put(store, video_id, chunks=at)
            store.pin_kv(video_id, video_id in pinned)
        for now_s, video_id in enumerate(used):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(kv_budget.time, "time", lambda now_s=now_s: 1e12 + now_s)
                assert store.touch_kv(video_id, MAKING)
        sizes = {video.video_id: video.kv for video in store.stats().videos}
        budget = int(share * sum(sizes.values()))
        left = dict(sizes)
        for video_id in used:
            if sum(left.values()) > budget and video_id not in pinned:
                del left[video_id]
        store.trim_kv(budget)
        assert kept(store) == [video_id for video_id in (A, B, C) if video_id in left]
        store.drop_kv(A)
        store.drop_kv(B)
        store.drop_kv(C)


def test_what_was_used_or_pinned_meanwhile_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the choice and the drop somebody else asks A and pins B."""
    for video_id in (A, B, C):
        put(store, video_id)
    exclusive = store._db.exclusive

    def lock_late(video_id: str, wait: bool) -> Any:
        store.touch_kv(A, MAKING)
        store.pin_kv(B)
        return exclusive(video_id, wait)

    monkeypatch.setattr(store._db, "exclusive", lock_late)
    store.trim_kv(0)
    assert kept(store) == [A, B]


def test_a_use_is_not_noted_while_another_writes_and_blocks_nobody(
    store: Store, location: str, clock: Callable[[float], None]
) -> None:
    clock(1)
    put(store, A)
    clock(2)
    with Store.open(location) as other, other._db.write("hold"):
        assert store.touch_kv(A, MAKING) is False
    assert used_at(store) == 1
    assert store.touch_kv(A, MAKING)
    assert used_at(store) == 2


@pytest.mark.sqlite
def test_a_hasty_writer_leaves_the_others_their_patience(store: Store) -> None:
    with store._db.write("hasty", wait=False) as conn:
        assert conn.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


def used_at(store: Store) -> float | None:
    (tier,) = [tier for tier in store.tiers(A) if tier.name == "kv"]
    return tier.used_at


@pytest.mark.sqlite
def test_a_use_is_one_row_whatever_the_length(store: Store) -> None:
    put(store, A, chunks=9)
    with store._db.read() as conn:
        before = conn.exec_driver_sql("SELECT total_changes()").scalar()
    store.touch_kv(A, MAKING)
    with store._db.read() as conn:
        assert conn.exec_driver_sql("SELECT total_changes()").scalar() == (before or 0) + 1


def test_kv_that_was_dropped_while_it_was_read_can_be_made_anew(store: Store) -> None:
    put(store, A)
    store.trim_kv(0)
    with pytest.raises(DamagedChunkError, match=r"no KV .*made anew from its tokens"):
        store.kv(A, MAKING, 0)
