"""What goes in comes out, once, by any of a video's names."""

import dataclasses
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from agentkit_storage import Chunk, Filter, GroupRecord, Note, Store
from agentkit_storage.errors import (
    AmbiguousVideoError,
    IncompatibleError,
    RecordError,
    StoreError,
    UnknownVideoError,
    VectorError,
)
from agentkit_storage.records import ChunkRecord, Segment, all_finite
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


def filled(store: Store, video_id: str = A, chunks: int = 3, rows: bool = False) -> Store:
    ingest(store, video_id, chunks, rows)
    return store


def assert_same_groups(found: list[GroupRecord], drawn: list[GroupRecord]) -> None:
    for got, wanted in zip(found, drawn, strict=True):
        assert dataclasses.replace(got, rows=None) == dataclasses.replace(wanted, rows=None)
        np.testing.assert_array_equal(got.rows, wanted.rows)


def drawn_groups(chunks: int, rows: bool) -> list[GroupRecord]:
    return [group for at in range(chunks) for group in draw_chunk(A, at, rows).groups]


@pytest.mark.parametrize("rows", [False, True])
def test_what_goes_in_comes_out_after_reopening(location: str, rows: bool) -> None:
    with Store.open(location) as store:
        filled(store, rows=rows)
    with Store.open(location) as store:
        assert store.chunks(A) == [draw_chunk(A, at).chunk for at in range(3)]
        assert_same_groups(store.groups(A), drawn_groups(3, rows))
        assert_same_groups(store.groups(A, 5, 7), drawn_groups(3, rows)[5:7])
        assert store.sound_notes(A) == tuple(draw_sound())
        assert store.kv_indices(A, KV_FINGERPRINT) == {-1, 0, 1, 2}
        for index in (-1, 2):
            np.testing.assert_equal(store.kv(A, KV_FINGERPRINT, index), draw_kv(A, index))
        assert store.verify() == []


def test_groups_without_rows_read_no_blob(store: Store, folder: Path) -> None:
    filled(store, rows=True)
    for blob in (folder / "blobs").glob("??/*"):
        blob.unlink()
    assert [group.text for group in store.groups(A, rows=False)] == [
        group.text for group in drawn_groups(3, True)
    ]


def test_part_of_a_cache_is_read_alone(store: Store) -> None:
    filled(store)
    assert set(store.kv(A, KV_FINGERPRINT, 0, ["k.1"])) == {"k.1"}
    np.testing.assert_array_equal(
        store.kv(A, KV_FINGERPRINT, 0, ["k.1"])["k.1"], draw_kv(A, 0)["k.1"]
    )


def test_add_twice_is_add_once(store: Store) -> None:
    filled(store, rows=True)
    before, digest = store.stats(), store.digest(A)
    store.add_video(draw_video(A, "/elsewhere.mp4"), "drawn")
    for index in range(3):
        store.add_chunk(draw_chunk(A, index, rows=True))
        store.put_kv(A, KV_FINGERPRINT, index, draw_kv(A, index))
    after = store.stats()
    assert (after.videos, after.blobs, store.digest(A)) == (before.videos, before.blobs, digest)
    assert store.video(A).path == "/films/drawn.mp4"


def test_another_fingerprint_is_refused(store: Store) -> None:
    filled(store)
    with pytest.raises(IncompatibleError, match="remove it"):
        store.add_video(draw_video(A), "another encoder")
    assert store.fingerprint(A) == "drawn"
    assert store.fingerprint(B) is None


def test_only_chunks_without_a_gap_count(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    for index in (0, 1, 3):
        store.add_chunk(draw_chunk(A, index))
    assert store.num_chunks(A) == store.video(A).chunks == 2
    assert [chunk.index for chunk in store.chunks(A)] == [0, 1]


def test_not_listened_is_not_silence(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    assert store.sound_notes(A) is None
    store.put_sound_notes(A, [])
    assert store.sound_notes(A) == ()
    store.put_sound_notes(A, draw_sound())
    store.put_sound_notes(A, draw_sound())
    assert store.sound_notes(A) == tuple(draw_sound())


def test_notes_by_time_and_kind(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    notes = [Note(0, 2, "x", "a"), Note(2, 2, "y", "b"), Note(2, 5, "x", "c"), Note(6, 7, "x", "d")]
    store.put_sound_notes(A, notes)
    assert [note.text for note in store.notes(A, 2, 6)] == ["b", "c"]
    assert [note.text for note in store.notes(A, 1, 2)] == ["a"]
    assert [note.text for note in store.notes(A, kinds=["x"])] == ["a", "c", "d"]
    assert store.notes(A, 7, math.inf) == []


def test_a_video_by_each_of_its_names(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "match.mp4"
    store.add_video(draw_video(A, str(path)), "drawn")
    store.add_video(draw_video(B, "/films/other.mp4"), "drawn")
    for name in (A, A[:4], str(path), path, "match.mp4", os.path.relpath(path)):
        assert store.video(name).video_id == A


@pytest.mark.parametrize("name", ["", "a1a", "%", "a_%", "match.mp5", "\0", "\ud800", "x" * 5000])
def test_an_unknown_name_is_one_line_with_the_nearest(store: Store, name: str) -> None:
    store.add_video(draw_video(A, "/films/match.mp4"), "drawn")
    with pytest.raises(UnknownVideoError) as caught:
        store.video(name)
    assert "\n" not in str(caught.value)
    if name == "match.mp5":
        assert "did you mean 'match.mp4'?" in str(caught.value)


def test_what_was_not_ingested_is_to_be_ingested(store: Store, tmp_path: Path) -> None:
    film = tmp_path / "match.mp4"
    film.touch()
    for name, said in (
        (str(film), "agentkit ingest it first"),
        ("none", "this store has none yet"),
    ):
        with pytest.raises(UnknownVideoError, match=said):
            store.video(name)


def test_an_ambiguous_name_lists_the_ids(store: Store) -> None:
    store.add_video(draw_video("abcd" + "1" * 60, "/one/film.mp4"), "drawn")
    store.add_video(draw_video("abcd" + "2" * 60, "/two/film.mp4"), "drawn")
    for name in ("abcd", "film.mp4"):
        with pytest.raises(AmbiguousVideoError, match="abcd11111111, abcd22222222"):
            store.video(name)


def test_paths_that_are_not_utf8(store: Store) -> None:
    path = os.fsdecode(b"/films/caf\xe9.mp4")
    store.add_video(draw_video(A, path), "drawn")
    assert store.video(path).path == path


def test_text_that_no_database_takes_is_cleaned(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    store.put_sound_notes(A, [Note(0, 1, "speech", "a\0b\ud800c")])
    assert store.sound_notes(A) == (Note(0, 1, "speech", "ab?c"),)
    assert store.verify() == []


def test_update_changes_what_it_names(store: Store) -> None:
    filled(store)
    store.update_video(A, state="ready", missing=("ocr: not installed",), frames_seen=7)
    video = store.video(A)
    assert (video.state, video.missing, video.frames_seen) == ("ready", ("ocr: not installed",), 7)
    assert video.tiers == ("notes", "vectors", "tokens", "kv")
    with pytest.raises(TypeError, match="colour"):
        store.update_video(A, colour="red")  # type: ignore[call-arg]


def test_a_removed_video_is_gone_from_every_tier_and_its_bytes_at_gc(store: Store) -> None:
    filled(store, A, rows=True)
    filled(store, B, rows=True)
    store.remove_video(A)
    assert [video.video_id for video in store.videos()] == [B]
    assert store.fingerprint(A) is None
    assert store.kv_indices(A, KV_FINGERPRINT) == set()
    assert {hit.video_id for hit in store.search_words("car OR dog gate woman", 99)} == {B}
    with pytest.raises(UnknownVideoError):
        store.groups(A)
    unreferenced = store.stats().unreferenced
    assert store.gc() == unreferenced > 0
    assert store.stats().unreferenced == 0
    assert store.verify() == []
    filled(store, A, rows=True)
    assert_same_groups(store.groups(A), drawn_groups(3, True))


def test_dropped_kv_is_gone_and_can_come_back(store: Store) -> None:
    filled(store)
    store.put_kv(A, "other", 0, draw_kv(A, 0))
    store.drop_kv(A, KV_FINGERPRINT)
    assert store.kv_indices(A, KV_FINGERPRINT) == set()
    assert store.kv_indices(A, "other") == {0}
    store.gc()
    np.testing.assert_equal(store.kv(A, "other", 0), draw_kv(A, 0))
    with pytest.raises(StoreError, match="no KV"):
        store.kv(A, KV_FINGERPRINT, 0)
    store.drop_kv(A)
    assert store.video(A).tiers == ("notes", "vectors", "tokens")


def test_gc_leaves_unfinished_files_their_grace(store: Store, folder: Path) -> None:
    filled(store)
    tmp = folder / "blobs" / "ab" / "abc.safetensors.1.tmp"
    tmp.parent.mkdir(exist_ok=True)
    tmp.write_bytes(b"12345")
    assert store.gc() == 0
    assert store.gc(grace_s=0) == 5
    assert store.verify() == []


def test_stats_count_every_tier(store: Store) -> None:
    filled(store, rows=True)
    (video,) = store.stats().videos
    floats = sum(group.rows.size for group in drawn_groups(3, True) if group.rows is not None)
    assert video.tokens > 4 * floats
    assert video.vectors == 3 * (4 * (2 * TEXT_SIZE + 8) + 2 * 8 + 8)
    assert video.kv + video.tokens == store.stats().blobs


def broken(**changes: object) -> ChunkRecord:
    return dataclasses.replace(draw_chunk(A, 0, rows=True), **changes)  # type: ignore[arg-type]


def with_vector(vector: np.ndarray) -> ChunkRecord:
    return broken(segments=(*draw_chunk(A, 0).segments, Segment(0, 1, "x", "x", vector)))


NAN = np.full(TEXT_SIZE, np.nan, np.float32)


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (with_vector(NAN), VectorError),
        (with_vector(np.full(TEXT_SIZE, np.inf, np.float32)), VectorError),
        (with_vector(np.zeros(TEXT_SIZE, np.float32)), VectorError),
        (with_vector(np.ones(TEXT_SIZE + 1, np.float32)), VectorError),
        (with_vector(np.ones((1, TEXT_SIZE), np.float32)), VectorError),
        (broken(visual=NAN), VectorError),
        (broken(groups=draw_chunk(A, 1).groups), RecordError),
        (broken(groups=()), RecordError),
        (broken(notes=(Note(math.nan, 1, "x", "x"),)), RecordError),
        (broken(notes=(Note(0, 1, "x", "x", math.nan),)), RecordError),
        (broken(notes=(Note(2, 1, "x", "x"),)), RecordError),
        (broken(chunk=Chunk(A, -1, 0, 16, 0, 4)), RecordError),
        (broken(chunk=Chunk(A, 0, 0, 16, 0, 2**40)), RecordError),  # more than fits a list
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(
    store: Store, folder: Path, record: ChunkRecord, error: type[StoreError]
) -> None:
    store.add_video(draw_video(A), "drawn")
    with pytest.raises(error):
        store.add_chunk(record)
    assert store.num_chunks(A) == 0
    assert not (folder / "blobs").exists()


@pytest.mark.parametrize("rows", [np.full((2, 3), np.nan, np.float32), np.empty((0, 3))])
def test_rows_with_nan_and_no_rows_are_refused(store: Store, rows: np.ndarray) -> None:
    store.add_video(draw_video(A), "drawn")
    group = GroupRecord(0, 0, 4, "Time 0.0s:", rows=rows)
    with pytest.raises(RecordError, match="group 0"):
        store.add_chunk(ChunkRecord(Chunk(A, 0, 0, 4, 0, 1), groups=(group,)))


def test_a_later_vector_of_another_size_is_refused(store: Store) -> None:
    filled(store, chunks=1)
    record = draw_chunk(A, 1)
    segment = dataclasses.replace(record.segments[0], vector=np.ones(3, np.float32))
    with pytest.raises(VectorError, match="3 numbers"):
        store.add_chunk(dataclasses.replace(record, segments=(segment,)))
    assert store.num_chunks(A) == 1


def test_another_embedder_is_refused(store: Store) -> None:
    store.use_space("text", "minilm", TEXT_SIZE)
    store.use_space("text", "minilm", TEXT_SIZE)
    for fingerprint, size in (("bge", TEXT_SIZE), ("minilm", 3)):
        with pytest.raises(IncompatibleError, match="made by minilm"):
            store.use_space("text", fingerprint, size)


def test_a_chunk_of_an_unknown_video_is_refused(store: Store) -> None:
    with pytest.raises(UnknownVideoError):
        store.add_chunk(draw_chunk(A, 0))


@pytest.mark.parametrize("video_id", ["", "../../etc", "a b", "x" * 65])
def test_an_id_that_is_none_is_refused(store: Store, video_id: str) -> None:
    with pytest.raises(RecordError):
        store.add_video(draw_video(video_id), "drawn")
    with pytest.raises(RecordError), store.ingest_lock(video_id):
        pass


def test_settings_are_kept(store: Store) -> None:
    assert store.setting("x") is None
    store.set_setting("x", "1")
    store.set_setting("x", "2")
    assert store.setting("x") == "2"


def test_the_digest_covers_notes_and_tokens(store: Store) -> None:
    filled(store, A, rows=True)
    digest = store.digest(A)
    store.drop_kv(A)
    assert store.digest(A) == digest
    store.put_sound_notes(A, [])
    assert store.digest(A) != digest


def test_chunk_vectors(store: Store) -> None:
    filled(store)
    record = draw_chunk(A, 1)
    found = store.chunk_vector(A, 1, "visual")
    assert found is not None
    np.testing.assert_allclose(found, record.visual, atol=2e-3)
    mean = np.mean([segment.vector for segment in record.segments], axis=0)
    text = store.chunk_vector(A, 1, "text")
    assert text is not None
    np.testing.assert_allclose(text, mean / np.linalg.norm(mean), atol=2e-3)
    assert store.chunk_vector(A, 9, "text") is None


def test_segments_of_a_chunk(store: Store) -> None:
    filled(store)
    drawn = draw_chunk(A, 2).segments
    assert [(hit.start_s, hit.text) for hit in store.segments(A, 2)] == [
        (segment.start_s, segment.text) for segment in drawn
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("postgresql://me:secret@localhost/db", r"//me:\*\*\*@localhost/db: say where .* are"),
        ("postgresql://localhost/db?blobs=here", "as a full path"),
        ("mysql://localhost/db?blobs=/b", "only a folder or PostgreSQL"),
        ("postgresql://me@127.0.0.1:1/db?blobs=/tmp/none", "cannot be reached .* is it running"),
        ("://", "no URL"),
    ],
)
def test_a_url_that_is_no_store_is_one_line(name: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(name)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def in_collections(store: Store) -> Store:
    """A is in films, B in news."""
    for video_id, collection in ((A, "films"), (B, "news")):
        store.add_video(dataclasses.replace(draw_video(video_id), collection=collection), "drawn")
        filled(store, video_id, chunks=1)
    return store


def test_videos_and_searches_keep_to_a_collection(store: Store) -> None:
    in_collections(store)
    assert store.collections() == ["films", "news"]
    assert [video.video_id for video in store.videos(Filter(collection="news"))] == [B]
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    wanted: list[tuple[str | None, list[str] | None, set[str]]] = [
        (None, None, {A, B}),
        ("films", None, {A}),
        ("films", [A, B], {A}),
        ("films", [B], set()),
        ("other", None, set()),
    ]
    for collection, only, found in wanted:
        by_vector = store.search_vectors("text", query, 99, Filter(only, collection))
        by_words = store.search_words(
            "car woman dog gate bicycle lorry",
            99,
            Filter(only, collection),
        )
        assert {hit.video_id for hit in by_vector} == found
        assert {hit.video_id for hit in by_words} == found


def test_a_video_changes_its_collection(store: Store) -> None:
    in_collections(store)
    store.update_video(A, collection="news")
    assert store.videos(Filter(collection="films")) == []
    assert {
        hit.video_id
        for hit in store.search_words(
            "car woman dog gate bicycle lorry", 99, Filter(collection="news")
        )
    } == {A, B}


@pytest.mark.parametrize("name", ["", ".", "../x", "a b", "x" * 65, "ä"])
def test_a_collection_that_is_none_is_refused(store: Store, name: str) -> None:
    with pytest.raises(RecordError, match="collection"):
        store.add_video(dataclasses.replace(draw_video(A), collection=name), "drawn")
    store.add_video(draw_video(A), "drawn")
    with pytest.raises(RecordError, match="collection"):
        store.update_video(A, collection=name)


def plans(store: Store, search: Callable[[], object]) -> list[str]:
    """Return how SQLite does what a search asks of it: a line a step."""
    asked: list[tuple[str, Any]] = []
    seen = "before_cursor_execute"

    def listen(_conn: Any, _cursor: Any, sql: str, parameters: Any, *_more: Any) -> None:
        asked.append((sql, parameters))

    sa.event.listen(store._db._engine, seen, listen)
    search()
    sa.event.remove(store._db._engine, seen, listen)
    with store._db.read() as conn:
        return [
            row[-1]
            for sql, parameters in asked
            if sql.lstrip().startswith("SELECT")
            for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        ]


@pytest.mark.sqlite
def test_a_search_in_a_collection_reads_no_table_whole(store: Store) -> None:
    in_collections(store)
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    store.search_vectors("text", query, 1)  # the index is in memory now
    searches: list[Callable[[], object]] = [
        lambda: store.search_vectors("text", query, 9, Filter(collection="films")),
        lambda: store.search_words("car", 9, Filter(collection="films")),
    ]
    for search in searches:
        steps = plans(store, search)
        assert any("ix_video_collection" in step for step in steps)
        whole = [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
        assert set(whole) <= {"SCAN space", "SCAN CONSTANT ROW"}


def test_a_vector_is_found_by_itself(store: Store) -> None:
    filled(store)
    random = np.random.default_rng(0)
    vector = draw_chunk(A, 1).segments[2].vector
    assert vector is not None
    assert (
        store.search_vectors("text", vector, 1)[0].start_s == draw_chunk(A, 1).segments[2].start_s
    )
    assert len(store.search_vectors("text", draw_vector(TEXT_SIZE, random), 5)) == 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_no_number_is_seen_in_every_type(dtype: type[np.floating[Any]]) -> None:
    bits = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(dtype)
    assert [all_finite(bits[at : at + 1]) for at in range(0, 2**16, 7)] == [
        bool(np.isfinite(bits[at])) for at in range(0, 2**16, 7)
    ]
    assert not all_finite(bits[::2])
    assert all_finite(bits[np.isfinite(bits)])
