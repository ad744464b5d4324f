"""One flipped byte anywhere: an error with video and time, or found by verify; never wrong."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit_storage import Store
from agentkit_storage.blob_files import LocalFiles
from agentkit_storage.blobs import Blob, BlobError, Blobs
from agentkit_storage.errors import DamagedChunkError, RecordError, StoreDamagedError, StoreError
from agentkit_storage.testing import (
    KV_FINGERPRINT,
    TEXT_SIZE,
    draw_chunk,
    draw_kv,
    draw_vector,
    draw_video,
    ingest,
)

A = "a1" * 32
OTHER = "b2" * 32


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def blob_of(folder: Path, wanted: dict[str, np.ndarray]) -> Path:
    """Return the file that holds these arrays: the store is content-addressed."""
    files = LocalFiles(folder / "blobs")
    return files.path(Blobs(files).put(wanted).sha256)


@pytest.mark.parametrize("at", [0, 3, 8, 40, 400, -1, -300])
def test_a_flipped_byte_in_kv_names_video_and_time(store: Store, folder: Path, at: int) -> None:
    ingest(store, A, 3)
    path = blob_of(folder, draw_kv(A, 2))
    flip(path, at)
    with pytest.raises(DamagedChunkError, match=r"a1a1a1a1a1a1 at 0:32\.0-0:48\.0: .*KV") as caught:
        store.kv(A, KV_FINGERPRINT, 2)
    assert (caught.value.video_id, caught.value.start_s, caught.value.end_s) == (A, 32.0, 48.0)
    (problem,) = store.verify()
    assert (problem.video_id, problem.start_s, problem.end_s) == (A, 32.0, 48.0)
    np.testing.assert_equal(store.kv(A, KV_FINGERPRINT, 1), draw_kv(A, 1))
    store.put_kv(A, KV_FINGERPRINT, 2, draw_kv(A, 2))
    np.testing.assert_equal(store.kv(A, KV_FINGERPRINT, 2), draw_kv(A, 2))
    assert store.verify() == []


def test_a_damaged_array_does_not_hide_its_neighbours(store: Store, folder: Path) -> None:
    ingest(store, A, 1)
    flip(blob_of(folder, draw_kv(A, 0)), -1)
    names = sorted(draw_kv(A, 0))
    read = {name: partial(store.kv, A, KV_FINGERPRINT, 0, [name]) for name in names}
    readable = [name for name in names if _reads(read[name])]
    assert len(readable) == len(names) - 1


def _reads(call: Callable[[], object]) -> bool:
    try:
        call()
    except DamagedChunkError:
        return False
    return True


def test_the_system_prefix_is_named_too(store: Store, folder: Path) -> None:
    ingest(store, A, 1)
    flip(blob_of(folder, draw_kv(A, -1)), -1)
    with pytest.raises(DamagedChunkError, match="at 0:00"):
        store.kv(A, KV_FINGERPRINT, -1)
    assert [problem.video_id for problem in store.verify()] == [A]


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "gone"])
def test_damaged_rows_name_video_and_time(store: Store, folder: Path, damage: str) -> None:
    ingest(store, A, 3, rows=True, kv=False)
    rows = {f"rows.{g.index}": g.rows for g in draw_chunk(A, 1, rows=True).groups}
    path = blob_of(folder, rows)  # type: ignore[arg-type]
    if damage == "flip":
        flip(path, len(path.read_bytes()) // 2)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "longer":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        path.unlink()
    with pytest.raises(DamagedChunkError, match="tokens are damaged") as caught:
        store.groups(A)
    assert 16.0 <= caught.value.start_s < 32.0
    assert len(store.groups(A, 0, 4)) == 4
    assert {problem.video_id for problem in store.verify()} == {A}


def change(folder: Path, old: bytes, new: bytes) -> None:
    """Change bytes behind SQLite's back."""
    path = folder / "store.sqlite"
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


@pytest.fixture
def closed(folder: Path) -> Path:
    """A store of one video, with nothing left in the log."""
    with Store.open(folder) as store:
        ingest(store, A, 3, kv=False)
    return folder


def test_a_flipped_byte_in_ids_names_video_and_time(closed: Path) -> None:
    ids = np.asarray(draw_chunk(A, 2).groups[1].ids, "<i4").tobytes()
    change(closed, ids, bytes([ids[0] ^ 1]) + ids[1:])
    with Store.open(closed) as store:
        with pytest.raises(DamagedChunkError) as caught:
            store.groups(A)
        assert (caught.value.video_id, caught.value.start_s) == (A, 36.0)
        assert [problem.start_s for problem in store.verify()] == [32.0]


def test_a_flipped_byte_in_a_vector_is_never_a_wrong_hit(closed: Path) -> None:
    (closed / "index" / "text.faiss").unlink()
    vector = np.asarray(draw_chunk(A, 1).segments[3].vector, "<f2").tobytes()
    change(closed, vector, bytes([vector[0] ^ 1]) + vector[1:])
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    with Store.open(closed) as store:
        with pytest.raises(DamagedChunkError, match=r"0:28\.0-0:32\.0: a stored vector"):
            store.search_vectors("text", query, 3)
        assert [problem.start_s for problem in store.verify()] == [16.0]
        store.remove_video(A)
        ingest(store, OTHER, 1, kv=False)
        assert len(store.search_vectors("text", query, 99)) == 4


@pytest.mark.parametrize("what", ["note", "sound", "segment", "line"])
def test_a_flipped_byte_in_text_names_video_and_time(folder: Path, what: str) -> None:
    with Store.open(folder) as store:
        store.add_video(draw_video(A), "drawn")
        record = draw_chunk(A, 0)
        note = replace(record.notes[0], text="unmistakable")
        segment = replace(record.segments[0], text="unmistakable")
        line = replace(record.groups[0], text="unmistakable")
        if what == "note":
            record = replace(record, notes=(note,))
        if what == "segment":
            record = replace(record, segments=(segment,))
        if what == "line":
            record = replace(record, groups=(line, *record.groups[1:]))
        store.put_sound_notes(A, [note] if what == "sound" else [])
        store.add_chunk(record)
        assert store.verify() == []
    change(folder, b"unmistakable", b"unmistakabld")
    with Store.open(folder) as store:
        reads: dict[str, Callable[[], object]] = {
            "note": lambda: store.notes(A),
            "sound": lambda: store.sound_notes(A),
            "segment": lambda: store.search_words("unmistakable", 3),
            "line": lambda: store.groups(A),
        }
        with pytest.raises(
            DamagedChunkError, match=r"0:00\.0-0:04\.0: .*checksum differs"
        ) as caught:
            reads[what]()
        assert (caught.value.video_id, caught.value.start_s) == (A, 0.0)
        problem = store.verify()[-1]
        assert (problem.video_id, problem.start_s) == (A, 0.0)


def test_a_group_that_is_gone_is_noticed(closed: Path) -> None:
    with sqlite3.connect(closed / "store.sqlite") as raw:
        raw.execute("DELETE FROM video_group WHERE number = 6")
    raw.close()
    with Store.open(closed) as store:
        with pytest.raises(DamagedChunkError, match="3 of 4 groups are left"):
            store.groups(A)
        assert len(store.groups(A, 0, 6)) == 6
        assert [problem.start_s for problem in store.verify()] == [16.0]


def test_rows_of_older_versions_have_no_seal_and_are_read(closed: Path) -> None:
    with sqlite3.connect(closed / "store.sqlite") as raw:
        for table in ("note", "segment", "video_group"):
            raw.execute(f"UPDATE {table} SET seal = NULL")
    raw.close()
    with Store.open(closed) as store:
        assert len(store.groups(A)) == len(store.notes(A)) - 2 == 12
        assert store.verify() == []


def test_a_database_that_is_none_is_one_line(closed: Path) -> None:
    path = closed / "store.sqlite"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(StoreDamagedError) as caught:
        Store.open(closed)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60), st.integers(0, 40), st.booleans())
def test_any_change_to_a_blob_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int, keep_size: bool
) -> None:
    files = LocalFiles(tmp_path_factory.mktemp("blobs"))
    folder = Blobs(files)
    blob = folder.put({"a": np.arange(6), "b": np.ones((2, 2), np.float16)})
    data = files.path(blob.sha256).read_bytes()
    changed = data[:at] + junk + data[at + (len(junk) if keep_size else 0) :]
    files.path(blob.sha256).write_bytes(changed)
    if changed == data:
        assert set(folder.read(blob)) == {"a", "b"}
        return
    assert folder.problem(blob) is not None
    with pytest.raises(BlobError):
        folder.read(blob)


ARRAYS = {
    "bool": np.array([True, False]),
    "bf16 as uint16": np.arange(6, dtype=np.uint16).reshape(2, 3),
    "empty": np.zeros((0, 4), np.float32),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "int8": np.array([-1], np.int8),
}


def test_blobs_keep_type_shape_and_order(tmp_path: Path) -> None:
    folder = Blobs(LocalFiles(tmp_path))
    found = folder.read(folder.put(ARRAYS))
    assert {name: array.dtype for name, array in found.items()} == {
        name: array.dtype for name, array in ARRAYS.items()
    }
    np.testing.assert_equal(found, ARRAYS)
    found["bf16 as uint16"][0, 0] = 7  # an own copy: nothing gets out
    np.testing.assert_equal(folder.read(folder.put(ARRAYS)), ARRAYS)


def test_a_blob_is_named_by_its_content(tmp_path: Path) -> None:
    folder = Blobs(LocalFiles(tmp_path))
    turned = dict(reversed(ARRAYS.items()))
    assert folder.put(ARRAYS) == folder.put(turned)
    assert len(list(folder.files.listed())) == 1
    with pytest.raises(BlobError, match="no array named 'x'"):
        folder.read(folder.put(ARRAYS), ["x"])
    with pytest.raises(BlobError, match="unreadable"):
        folder.read(Blob("0" * 64, 1, "0"))


def test_an_array_that_cannot_be_stored_is_refused(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    with pytest.raises(RecordError, match="dtype"):
        store.put_kv(A, "x", 0, {"k": np.array(["text"])})
    with pytest.raises(StoreError):
        store.put_kv(A, "x", -2, draw_kv(A, 0))
