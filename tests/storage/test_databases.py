"""SQLite and PostgreSQL answer alike; what only PostgreSQL does; who holds a lock; filters."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit_storage import ChunkRecord, Filter, Segment, Store, blob_marker, owners
from agentkit_storage.errors import StoreBusyError, StoreError
from agentkit_storage.postgres_search import PgVectors, words_in
from agentkit_storage.testing import (
    TEXT_SIZE,
    draw_chunk,
    draw_vector,
    draw_video,
    ingest,
)
from agentkit_storage.vector_kinds import IndexSettings

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
StartWorker = Callable[..., Any]  # see conftest
WORDS = (
    "car",
    "cars",
    "red",
    "running",
    "runs",
    "naïve",
    "Naive",
    "14,2015",
    "U-turn",
    "the",
    "a_b",
)


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Store]:
    """A store on SQLite, beside the one on PostgreSQL."""
    with Store.open(tmp_path / "beside") as store:
        yield store


def add_texts(store: Store, texts: list[str]) -> None:
    """Put each text in a chunk of its own."""
    store.add_video(draw_video(A), "drawn")
    for index, text in enumerate(texts):
        record = draw_chunk(A, index)
        segment = Segment(record.chunk.start_s, record.chunk.end_s, "objects", text)
        store.add_chunk(dataclasses.replace(record, segments=(segment,), visual=None))


def by_words(store: Store, query: str) -> list[tuple[int, float]]:
    return [(hit.chunk_index, hit.score) for hit in store.search_words(query, 99)]


@pytest.mark.postgresql
@settings(max_examples=25)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), max_size=6),
    st.lists(st.sampled_from([*WORDS, "ru*", '"red car"', '"a b"', "nothing"]), max_size=3),
)
def test_words_are_found_and_ranked_alike(
    store: Store, beside: Store, texts: list[str], query: list[str]
) -> None:
    """A phrase counts once where FTS5 counts how often; all else is the same number."""
    for each in (store, beside):
        for video in each.videos():
            each.remove_video(video.video_id)
        add_texts(each, texts)
    found, wanted = by_words(store, " ".join(query)), by_words(beside, " ".join(query))
    assert {index for index, _ in found} == {index for index, _ in wanted}
    if not any('"' in term for term in query):
        assert dict(found) == pytest.approx(dict(wanted), rel=1e-6)


def test_words_are_cut_as_they_are_searched() -> None:
    assert words_in("Ünder_score U-turn 14,2015 東京!") == ["under", "score", "u", "turn", "14",
                                                          "2015", "東京"]  # fmt: skip


@pytest.mark.postgresql
def test_vectors_are_found_alike(store: Store, beside: Store) -> None:
    for each in (store, beside):
        for video_id in (A, B):
            ingest(each, video_id, 4, kv=False)
    for seed in range(4):
        query = draw_vector(TEXT_SIZE, np.random.default_rng(seed))
        for where in (Filter(), Filter((A,)), Filter(start_s=20.0, end_s=40.0)):
            found = store.search_vectors("text", query, 5, where)
            wanted = beside.search_vectors("text", query, 5, where)
            assert [dataclasses.replace(hit, score=0) for hit in found] == [
                dataclasses.replace(hit, score=0) for hit in wanted
            ]
            scores = [[hit.score for hit in hits] for hits in (found, wanted)]
            np.testing.assert_allclose(*scores, atol=1e-6)


@pytest.mark.postgresql
def test_a_space_that_is_large_gets_an_index_and_answers_as_before(store: Store) -> None:
    for video_id in (A, B):
        ingest(store, video_id, 6, kv=False)
    rules = IndexSettings(sq8_from=10)
    query = draw_vector(TEXT_SIZE, np.random.default_rng(1))
    all_looked_at = PgVectors(store._db, "text")  # type: ignore[arg-type]
    indexed = PgVectors(store._db, "text", rules)  # type: ignore[arg-type]
    with store._db.read() as conn:
        wanted = all_looked_at.search(conn, query, 10, Filter())
    indexed.save()
    with store._db.read() as conn:
        conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
        conn.execute(sa.text("SET LOCAL enable_sort = off"))
        assert indexed.search(conn, query, 10, Filter()) == wanted
        few = indexed.search(conn, query, 48, Filter((A,)))
        assert len(few) == 24
        plan = "\n".join(conn.scalars(sa.text(f"EXPLAIN {_nearest(indexed, query)}")))
        assert "ix_near_text" in plan
    store.rebuild()
    with store._db.read() as conn:
        assert indexed.search(conn, query, 10, Filter()) == wanted


def _nearest(index: PgVectors, query: Any) -> str:
    return str(
        index._nearest(TEXT_SIZE, query).limit(10).compile(compile_kwargs={"literal_binds": True})
    )


@pytest.mark.postgresql
def test_what_searches_read_goes_with_the_video(store: Store) -> None:
    ingest(store, A, 2, kv=False)
    store.remove_video(A)
    with store._db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM segment_search")) == 0
        assert conn.execute(sa.text("SELECT texts, words FROM word_total")).one() == (0, 0)


def test_all_that_searches_read_can_be_made_anew(store: Store) -> None:
    for video_id in (A, B):
        ingest(store, video_id, 3, kv=False)
    query = draw_vector(TEXT_SIZE, np.random.default_rng(1))
    before = store.search_words("red car", 9), store.search_vectors("text", query, 9)
    store.rebuild()
    assert (store.search_words("red car", 9), store.search_vectors("text", query, 9)) == before
    assert store.verify() == []


def test_a_hasty_writer_waits_for_nobody(store: Store, location: str) -> None:
    with Store.open(location) as other, other._db.write("hold"):
        with (
            pytest.raises(StoreBusyError, match="another process is writing"),
            store._db.write("late", wait=False),
        ):
            pytest.fail("two writers at once")
        assert store.videos() == []  # a reader waits for nobody either
    with store._db.write("late", wait=False):
        pass


def test_who_holds_a_lock_is_said(store: Store, start_worker: StartWorker) -> None:
    assert store.owner(A) is None
    worker = start_worker("chunk.rows:2", "locked_ingest", A, 3)
    code, _ = worker.finish()
    assert code is not None
    assert code < 0
    with store._db.read() as conn:
        said = owners.select(conn, A)
    assert said is not None
    assert said.pid == worker.process.pid
    assert said.since <= said.beat_at
    while store.owner(A) is not None:  # it was killed: a server hears of it a moment later
        pass
    with store.ingest_lock(A):
        pass
    with store._db.read() as conn:
        assert owners.select(conn, A) is None


def test_the_owner_is_seen_from_another_process(store: Store, location: str) -> None:
    with store.ingest_lock(A) as held, Store.open(location) as other:
        assert held
        owner = other.owner(A)
        assert owner is not None
        assert owner.host
        with other.ingest_lock(A, wait=False) as second:
            assert second is False
    assert store.owner(A) is None


def test_an_owner_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "BEAT_S", 0.0)
    with store.ingest_lock(A):
        first = store.owner(A)
        while (now := store.owner(A)) == first:
            pass
        assert first is not None
        assert now is not None
        assert (now.since, now.beat_at > first.beat_at) == (first.since, True)


@pytest.fixture
def filtered(store: Store) -> Store:
    """A and B are media, C is not; A and C have tags; each has 3 chunks of 16 s."""
    for video_id, domain, tags in (
        (A, "media", ("goal", "night")),
        (B, "media", ()),
        (C, "", ("goal",)),
    ):
        video = dataclasses.replace(draw_video(video_id), domain=domain, tags=tags)
        store.add_video(video, "drawn")
        for index in range(3):
            store.add_chunk(draw_chunk(video_id, index))
    return store


@pytest.mark.parametrize(
    ("where", "videos", "spans"),
    [
        (Filter(), {A, B, C}, (0, 48)),
        (Filter(domain="media"), {A, B}, (0, 48)),
        (Filter(domain=""), {C}, (0, 48)),
        (Filter(tags=("goal",)), {A, C}, (0, 48)),
        (Filter(tags=("goal", "night")), {A}, (0, 48)),
        (Filter(tags=("goal",), domain="media"), {A}, (0, 48)),
        (Filter((B, C), tags=("goal",)), {C}, (0, 48)),
        (Filter(start_s=30.0), {A, B, C}, (28, 48)),
        (Filter(end_s=16.0), {A, B, C}, (0, 16)),
        (Filter((A,), start_s=17.0, end_s=21.0), {A}, (16, 24)),
        (Filter(tags=("none",)), set(), None),
        (Filter(()), set(), None),
        (Filter(start_s=48.0), set(), None),
    ],
)
def test_a_filter_lets_through_what_it_says(
    filtered: Store, where: Filter, videos: set[str], spans: tuple[float, float] | None
) -> None:
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    for hits in (
        filtered.search_vectors("text", query, 99, where),
        filtered.search_words("car woman dog gate bicycle lorry", 99, where),
    ):
        assert {hit.video_id for hit in hits} == videos
        if spans:
            times = (min(h.start_s for h in hits), max(h.end_s for h in hits))
            assert times == spans
    kept = {
        v.video_id for v in filtered.videos(dataclasses.replace(where, start_s=None, end_s=None))
    }
    assert videos in (kept, set())


def test_tags_come_and_go(filtered: Store) -> None:
    assert filtered.video(A).tags == ("goal", "night")
    filtered.tag_video(A, add=["extra", "goal"], remove=["night", "never"])
    assert filtered.video(A).tags == ("extra", "goal")
    filtered.remove_video(A)
    assert [video.tags for video in filtered.videos()] == [(), ("goal",)]
    for name in ("", " a", "a,b", "x" * 65, "a\nb"):
        with pytest.raises(StoreError, match="is no tag"):
            filtered.tag_video(B, add=[name])


def test_a_filter_takes_any_number_of_videos(filtered: Store) -> None:
    many = tuple(f"{number:064x}" for number in range(70_000))
    assert {
        hit.video_id for hit in filtered.search_words("car dog gate", 99, Filter((*many, A)))
    } == {A}


def test_a_chunk_with_the_same_ids_in_two_records_is_one(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    record: ChunkRecord = draw_chunk(A, 0)
    store.add_chunk(record)
    store.add_chunk(record)
    assert len(store.segments(A, 0)) == len(record.segments)


def test_jobs_count_attempts_and_end_with_the_chunk(store: Store) -> None:
    store.add_video(draw_video(A), "drawn")
    assert [store.start_job(A, 0, worker) for worker in ("one", "two")] == [1, 2]
    store.fail_job(A, 0, "killed")
    (job,) = store.jobs(A)
    assert (job.chunk, job.attempts, job.worker, job.error) == (0, 2, "two", "killed")
    store.add_chunk(draw_chunk(A, 0))
    assert store.jobs(A) == []
    store.start_job(A, 0, "late")
    assert store.jobs(A) == []
    store.start_job(A, 1, "one")
    store.remove_video(A)
    store.add_video(draw_video(A), "drawn")
    assert store.jobs(A) == []


@pytest.mark.postgresql
def test_a_database_is_opened_with_its_own_blobs_only(
    store: Store, location: str, folder: Path, tmp_path: Path
) -> None:
    ingest(store, A, 1, rows=True)
    store.close()
    url = sa.make_url(location).update_query_dict({"blobs": str(tmp_path / "elsewhere")})
    elsewhere = url.render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="large files are not here"):
        Store.open(elsewhere)
    (folder / blob_marker.NAME).write_text("0" * 32)
    with pytest.raises(StoreError, match="of another store"):
        Store.open(location)


def test_an_error_under_a_lock_is_the_callers_own(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="mine"), store.ingest_lock(A):
        raise FileNotFoundError("mine")
    with store.ingest_lock(A, wait=False) as held:
        assert held


@pytest.mark.postgresql
def test_a_lost_connection_is_made_anew(store: Store, postgres: sa.Engine) -> None:
    ingest(store, A, 1)
    database = store._db._engine.url.database
    with store.ingest_lock(B):
        with postgres.connect() as server:
            lost = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            assert len(server.execute(sa.text(lost), {"name": database}).all()) >= 2
        assert len(store.videos()) == 1
        store.put_sound_notes(A, [])
    with store.ingest_lock(B, wait=False) as held:
        assert held


@pytest.mark.parametrize("fault", ["video.rows:1", "video.commit:1"])
def test_a_video_is_replaced_in_one_step(
    location: str, start_worker: StartWorker, fault: str
) -> None:
    with Store.open(location) as store:
        ingest(store, A, 2)
        store.tag_video(A, add=["goal"])
        digest, anew = store.digest(A), dataclasses.replace(store.video(A), pinned=True)
    code, _ = start_worker(fault, "add_video", anew, "another making", True).finish()
    assert code is not None
    assert code < 0
    with Store.open(location) as store:
        video = store.video(A)
        assert video.tags == ("goal",)
        if fault == "video.rows:1":
            assert (video.chunks, video.pinned, store.digest(A)) == (2, False, digest)
        else:
            assert (video.chunks, video.pinned, store.fingerprint(A)) == (0, True, "another making")
            assert store.search_words("car dog gate lorry woman bicycle", 9) == []
        assert store.verify() == []


@pytest.mark.postgresql
def test_what_no_search_finds_is_found_by_verify_and_mended(store: Store) -> None:
    ingest(store, A, 2)
    with store._db.write("harm") as conn:
        conn.execute(sa.text("DELETE FROM segment_search WHERE segment_id % 3 = 0"))
    (problem,) = store.verify()
    assert "agentkit store rebuild" in problem.what
    store.rebuild()
    assert store.verify() == []


@pytest.mark.postgresql
def test_a_database_that_is_not_there_is_to_be_created(location: str) -> None:
    nowhere = sa.make_url(location).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match=r"does not exist.*; create it first"):
        Store.open(nowhere)
