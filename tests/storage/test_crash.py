"""Killed or out of room: nothing half-visible, nothing acknowledged lost.

The most telling points; `test_kill_matrix.py` has all of them.
"""

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentkit_storage import Store, faults
from agentkit_storage.errors import StoreFullError
from agentkit_storage.testing import (
    KV_FINGERPRINT,
    TEXT_SIZE,
    draw_chunk,
    draw_kv,
    draw_sound,
    draw_vector,
    draw_video,
    ingest,
)

A, B = "a1" * 32, "b2" * 32
CHUNKS = 3
StartWorker = Callable[..., Any]  # see conftest


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of videos A and B, ingested without a fault."""
    with Store.open(tmp_path_factory.mktemp("whole")) as store:
        for video_id in (A, B):
            ingest(store, video_id, CHUNKS, rows=True)
        return {video_id: store.digest(video_id) for video_id in (A, B)}


def assert_only_whole_chunks(store: Store, video_id: str, acknowledged: list[str]) -> None:
    """Nothing half-visible, and all there that was acknowledged."""
    if video_id not in {video.video_id for video in store.videos()}:
        assert acknowledged == []
        return
    chunks = store.chunks(video_id)
    kv = store.kv_indices(video_id, KV_FINGERPRINT)
    said = {f"chunk {chunk.index}" for chunk in chunks} | {f"kv {index}" for index in kv}
    if store.sound_notes(video_id) is not None:
        assert store.sound_notes(video_id) == tuple(draw_sound())
        said.add("sound")
    assert set(acknowledged) - {"ready"} <= said
    for chunk in chunks:
        drawn = draw_chunk(video_id, chunk.index, rows=True)
        found = store.groups(video_id, chunk.first_group, chunk.first_group + chunk.num_groups)
        for got, wanted in zip(found, drawn.groups, strict=True):
            np.testing.assert_array_equal(got.rows, wanted.rows)
        kinds = store.notes(video_id, chunk.start_s, chunk.end_s, ["object"])
        assert kinds == list(drawn.notes)
    for index in kv:
        np.testing.assert_equal(store.kv(video_id, KV_FINGERPRINT, index), draw_kv(video_id, index))
    assert len(store.groups(video_id)) == sum(chunk.num_groups for chunk in chunks)
    assert_index_equals_rebuild(store)
    assert store.verify() == []


def assert_index_equals_rebuild(store: Store) -> None:
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    found = store.search_vectors("text", query, 999)
    store.rebuild_index()
    assert store.search_vectors("text", query, 999) == found


POINTS = [
    "migrate.commit:1", "sound.commit:1", "blob.rename:2", "blob.folder:2", "chunk.rows:2",
    "chunk.commit:2", "kv.rows:2", "video.rows:2", "index.rename:1",
]  # fmt: skip


ONLY_SQLITE = ("migrate.commit:1", "index.rename:1")


@pytest.mark.parametrize("fault", POINTS)
def test_a_kill_leaves_whole_chunks_and_the_next_run_goes_on(
    location: str, folder: Path, fault: str, whole: dict[str, str], start_worker: StartWorker
) -> None:
    if fault in ONLY_SQLITE and "://" in location:
        pytest.skip("passed on SQLite only: the tests' databases are copied, and have no snapshot")
    code, acknowledged = start_worker(fault, "ingest", A, CHUNKS).finish()
    assert code == -signal.SIGKILL
    with Store.open(location) as store:
        assert_only_whole_chunks(store, A, acknowledged)
        ingest(store, A, CHUNKS, rows=True)
        assert_only_whole_chunks(store, A, [])
        assert store.digest(A) == whole[A]
        store.gc(grace_s=0)
        assert store.verify() == []
        assert store.stats().unreferenced == 0
        assert not list(folder.glob("**/*.tmp"))


@pytest.mark.parametrize("fault", ["chunk.rows:2"])
def test_a_kill_leaves_other_videos_as_they_were(
    location: str, fault: str, whole: dict[str, str], start_worker: StartWorker
) -> None:
    with Store.open(location) as store:
        ingest(store, B, CHUNKS, rows=True)
    assert start_worker(fault, "ingest", A, CHUNKS).finish()[0] == -signal.SIGKILL
    with Store.open(location) as store:
        assert store.digest(B) == whole[B]
        assert store.video(B).state == "ready"
        assert_only_whole_chunks(store, B, ["ready"])


@pytest.mark.parametrize("fault", ["remove.rows:1", "remove.commit:1", "gc.rows:1"])
def test_a_kill_while_removing_removes_all_or_nothing(
    location: str, fault: str, whole: dict[str, str], start_worker: StartWorker
) -> None:
    with Store.open(location) as store:
        for video_id in (A, B):
            ingest(store, video_id, CHUNKS, rows=True)
        if fault.startswith("gc"):
            store.remove_video(A)
    call = ("gc",) if fault.startswith("gc") else ("remove_video", A)
    assert start_worker(fault, *call).finish()[0] == -signal.SIGKILL
    with Store.open(location) as store:
        assert store.digest(B) == whole[B]
        left = [A, B] if fault == "remove.rows:1" else [B]
        assert [video.video_id for video in store.videos()] == left
        for video_id in left:
            assert_only_whole_chunks(store, video_id, ["ready"])
        ingest(store, A, CHUNKS, rows=True)
        assert store.digest(A) == whole[A]
        store.gc()
        assert store.verify() == []


@pytest.mark.parametrize("fault", ["trim.rows:1", "free.rows:1", "free.commit:2"])
def test_a_kill_while_trimming_drops_whole_caches_only(
    location: str, fault: str, whole: dict[str, str], start_worker: StartWorker
) -> None:
    """A goes first, then B; what is left of either is all of its KV, and its tokens make more."""
    with Store.open(location) as store:
        for video_id in (A, B):
            ingest(store, video_id, CHUNKS, rows=True)
    assert start_worker(fault, "trim_kv", 0).finish()[0] == -signal.SIGKILL
    with Store.open(location) as store:
        kept = [len(store.kv_indices(video_id, KV_FINGERPRINT)) for video_id in (A, B)]
        assert kept == {
            "trim.rows:1": [CHUNKS + 1, CHUNKS + 1],
            "free.commit:2": [0, 0],
        }.get(fault, [0, CHUNKS + 1])
        for video_id in (A, B):
            assert_only_whole_chunks(store, video_id, [])
            assert store.digest(video_id) == whole[video_id]
        store.gc(grace_s=0)
        assert store.stats().unreferenced == 0
        ingest(store, A, CHUNKS, rows=True)
        assert_only_whole_chunks(store, A, [])
        assert store.verify() == []


@pytest.mark.parametrize("fault", ["use.commit:1"])
def test_a_kill_while_noting_a_use_changes_nothing_else(
    location: str, fault: str, whole: dict[str, str], start_worker: StartWorker
) -> None:
    with Store.open(location) as store:
        ingest(store, A, CHUNKS, rows=True)
        before = store.tiers(A)
    worker = start_worker(fault, "touch_kv", A, KV_FINGERPRINT)
    assert worker.finish()[0] == -signal.SIGKILL
    with Store.open(location) as store:
        after = store.tiers(A)
        assert after[:-1] == before[:-1]
        was_noted = fault == "use.commit:1"
        assert (after[-1].used_at != before[-1].used_at) == was_noted
        assert store.digest(A) == whole[A]
        assert store.verify() == []


@pytest.mark.parametrize("point", ["blob.tmp", "blob.fsync", "chunk.rows"])
def test_no_room_is_said_and_leaves_nothing(
    store: Store, location: str, folder: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(store, A, 1, rows=True, kv=False)
    digest = store.digest(A)
    monkeypatch.setenv(faults.VARIABLE, f"{point}:1:full")
    monkeypatch.setattr(faults, "_passed", Counter())
    with pytest.raises(StoreFullError, match="make room") as caught:
        store.add_chunk(draw_chunk(A, 1, rows=True))
    assert "\n" not in str(caught.value)
    assert not list(folder.glob("**/*.tmp"))
    assert store.digest(A) == digest
    store.add_chunk(draw_chunk(A, 1, rows=True))
    assert store.num_chunks(A) == 2
    assert store.verify() == []


def test_a_snapshot_without_room_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(folder) as store:
        store.add_video(draw_video(A), "drawn")
        store.add_chunk(draw_chunk(A, 0))
        store.search_vectors("text", draw_vector(TEXT_SIZE, np.random.default_rng(0)), 1)
        monkeypatch.setenv(faults.VARIABLE, "index.tmp:1:full")
    assert "no snapshot" in caplog.text
    with Store.open(folder) as store:
        assert_index_equals_rebuild(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, or a reason to skip."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("rows", [False, True])
def test_a_full_disk_keeps_what_was_acknowledged_and_goes_on(
    small_disk: Path, whole: dict[str, str], rows: bool
) -> None:
    """Filled by another file to different degrees: blobs, the log and the database run out."""
    ballast = small_disk / "ballast"
    with Store.open(small_disk / "store") as store:
        store.add_video(draw_video(A), "drawn")
        full = _fill(ballast)
        acknowledged = 0
        while acknowledged < CHUNKS:
            try:
                store.add_chunk(draw_chunk(A, acknowledged, rows))
                acknowledged += 1
            except StoreFullError:
                assert store.num_chunks(A) == acknowledged
                full -= 4096
                os.truncate(ballast, max(full, 0))
        assert full > 0
        ballast.unlink()
        ingest(store, A, CHUNKS, rows)
        assert store.verify() == []
        if rows:
            assert store.digest(A) == whole[A]


def test_kv_without_room_leaves_the_kv_that_was_there(small_disk: Path) -> None:
    with Store.open(small_disk / "store") as store:
        ingest(store, A, 1)
        _fill(small_disk / "ballast")
        large = {"k.0": np.ones((64, 1024), np.float32)}
        with pytest.raises(StoreFullError, match="make room"):
            store.put_kv(A, KV_FINGERPRINT, 0, large)
        np.testing.assert_equal(store.kv(A, KV_FINGERPRINT, 0), draw_kv(A, 0))
        (small_disk / "ballast").unlink()
        assert store.verify() == []
        store.put_kv(A, KV_FINGERPRINT, 0, large)
        np.testing.assert_equal(store.kv(A, KV_FINGERPRINT, 0), large)


def test_a_snapshot_on_a_full_disk_is_done_without(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(small_disk / "store")
    store.add_video(draw_video(A), "drawn")
    store.add_chunk(draw_chunk(A, 0))
    _fill(small_disk / "ballast")
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    found = store.search_vectors("text", query, 9)
    store.close()
    assert "no snapshot" in caplog.text
    assert not list((small_disk / "store").glob("index/*"))
    (small_disk / "ballast").unlink()
    with Store.open(small_disk / "store") as store:
        assert store.search_vectors("text", query, 9) == found
        assert store.verify() == []


def test_a_bundle_on_a_full_disk_is_not_there(
    tmp_path: Path, small_disk: Path, whole: dict[str, str]
) -> None:
    with Store.open(tmp_path / "store") as store:
        ingest(store, A, CHUNKS, rows=True)
        (small_disk / "bundle.tar").write_bytes(b"one from before")
        _fill(small_disk / "ballast")
        with pytest.raises(StoreFullError, match="make room"):
            store.export_bundle([A], small_disk / "bundle.tar")
        assert (small_disk / "bundle.tar").read_bytes() == b"one from before"
        assert not list(small_disk.glob("*.tmp"))
        (small_disk / "ballast").unlink()
        store.export_bundle([A], small_disk / "bundle.tar")
    with Store.open(tmp_path / "other") as other:
        other.import_bundle(small_disk / "bundle.tar")
        assert other.digest(A) == whole[A]


@pytest.mark.parametrize("free_bytes", [0, 1 << 16])
def test_an_import_without_room_goes_on(
    tmp_path: Path, small_disk: Path, whole: dict[str, str], free_bytes: int
) -> None:
    bundle, ballast = tmp_path / "bundle.tar", small_disk / "ballast"
    with Store.open(tmp_path / "store") as store:
        ingest(store, A, CHUNKS, rows=True)
        store.export_bundle([A], bundle)
    with Store.open(small_disk / "store") as store:
        os.truncate(ballast, _fill(ballast) - free_bytes)
        with pytest.raises(StoreFullError, match="make room"):
            store.import_bundle(bundle)
        assert all(video.state == "ingesting" for video in store.videos())
        ballast.unlink()
        store.import_bundle(bundle)
        assert store.video(A).state == "ready"
        assert store.digest(A) == whole[A]
        assert store.verify() == []


def _fill(path: Path) -> int:
    """Write until the disk is full; return the bytes written."""
    with path.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(4096)):
                pass
        assert os.statvfs(path).f_bavail == 0
        return file.tell()
