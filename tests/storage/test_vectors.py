"""Every kind of vector index against brute force, and the switches from one kind to another."""

import functools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit_storage import ChunkRecord, Filter, Segment, Store, index_rows, reader
from agentkit_storage.errors import StoreFullError, VectorError
from agentkit_storage.index import SpaceIndex
from agentkit_storage.testing import TEXT_SIZE, draw_chunk, draw_vector, draw_video, ingest
from agentkit_storage.vector_kinds import IndexSettings, Kind
from agentkit_storage.vectors import VectorIndex

A, B, C, D = "a1" * 32, "b2" * 32, "c3" * 32, "d4" * 32
ALL_KINDS = st.sampled_from(Kind)
TRAINED = [Kind.SQ8, Kind.IVF_SQ8]
Floats = NDArray[np.float32]

# A drawn chunk has 4 text vectors: a video of 3 chunks is flat, two are SQ8, three IVF-SQ8.
TINY = IndexSettings(sq8_from=20, ivf_from=36, probes=1, sample=16, sample_per_list=4)


def clustered(count: int, size: int, clusters: int, seed: int = 0) -> Floats:
    """Return unit vectors [count, size] around some centres, as embeddings of like things are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, size))
    drawn = centres[random.integers(0, clusters, count)] + 0.5 * random.normal(size=(count, size))
    unit: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def made(kind: Kind, ids: NDArray[np.int64], vectors: Floats) -> VectorIndex:
    index = VectorIndex(vectors.shape[1], kind, len(ids), vectors)
    index.add(ids, vectors)
    return index


# One index


@given(
    kind=ALL_KINDS,
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    size=st.integers(1, 9),
    k=st.integers(0, 70),
    probes=st.integers(1, 9),
    data=st.data(),
)
@settings(deadline=None, max_examples=90)
def test_every_kind_finds_only_what_is_there(
    kind: Kind, seed: int, count: int, size: int, k: int, probes: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    vectors = np.stack([draw_vector(size, random) for _ in range(count)])
    ids = np.cumsum(random.integers(1, 9, count)).astype(np.int64)
    index = made(kind, ids, vectors)
    gone = np.array(data.draw(st.lists(st.sampled_from(ids.tolist()), unique=True)), np.int64)
    only = data.draw(st.none() | st.lists(st.sampled_from(ids.tolist()), unique=True))
    index.probes = probes
    index.remove(gone)
    if data.draw(st.booleans()):
        index = VectorIndex.load(index.dump(), index.made_for, probes)
    assert (index.kind, sorted(index.ids)) == (kind, sorted(set(ids.tolist()) - set(gone.tolist())))
    left = ~np.isin(ids, gone) & (True if only is None else np.isin(ids, only))
    query = draw_vector(size, random)
    found = index.search(query, k, None if only is None else np.array(only, np.int64))
    assert len({id_ for id_, _ in found}) == len(found) == min(k, int(left.sum()))
    assert {id_ for id_, _ in found} <= set(ids[left].tolist())
    assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
    exact = {int(id_): float(v @ query) for id_, v in zip(ids, vectors, strict=True)}
    for id_, score in found:
        assert score == pytest.approx(exact[id_], abs=1e-6 if index.exact else 0.02 * size**0.5)
    if index.exact:
        wanted = np.sort(vectors[left] @ query)[::-1][:k]
        np.testing.assert_allclose([score for _, score in found], wanted, atol=1e-6)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_refuses_what_would_make_it_wrong(kind: Kind) -> None:
    index = made(kind, np.array([2, 4]), np.eye(2, dtype=np.float32))
    for ids, vectors in (
        ([4], [[1, 0]]),
        ([5, 5], [[1, 0], [0, 1]]),
        ([5], [[np.nan, 0]]),
        ([5], [[1, 0, 0]]),
    ):
        with pytest.raises(VectorError):
            index.add(np.array(ids), np.array(vectors, np.float32))
    assert sorted(index.ids) == [2, 4]


@pytest.mark.parametrize("kind", TRAINED)
def test_a_trained_kind_without_a_sample_is_refused(kind: Kind) -> None:
    for sample in (None, np.empty((0, 4), np.float32)):
        with pytest.raises(VectorError, match="trained"):
            VectorIndex(4, kind, 100, sample)


@pytest.mark.parametrize(("kind", "least"), [(Kind.SQ8, 0.95), (Kind.IVF_SQ8, 0.93)])
def test_recall_on_clustered_vectors(kind: Kind, least: float) -> None:
    vectors, ids = clustered(6000, 48, 60), np.arange(1, 6001, dtype=np.int64)
    flat, index = made(Kind.FLAT, ids, vectors), made(kind, ids, vectors)
    queries = clustered(6100, 48, 60)[6000:]
    index.tune(vectors[::60], 0.97)
    hit = 0
    for query in queries:
        wanted = {id_ for id_, _ in flat.search(query, 10)}
        hit += len(wanted & {id_ for id_, _ in index.search(query, 10)})
    assert hit / (10 * len(queries)) >= least
    assert len(index.dump()) < 0.5 * len(flat.dump())


def test_as_many_lists_are_read_as_the_data_asks_for() -> None:
    probes, recalls = [], []
    for clusters in (10, 1000):
        vectors, ids = clustered(5000, 64, clusters), np.arange(1, 5001, dtype=np.int64)
        index = made(Kind.IVF_SQ8, ids, vectors)
        index.tune(vectors[::50], 0.97)
        queries = vectors[25::50]
        truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10] + 1
        found = [{id_ for id_, _ in index.search(query, 10)} for query in queries]
        hits = [len(mine & set(best)) for mine, best in zip(found, truth.tolist(), strict=True)]
        recalls.append(sum(hits) / (10 * len(queries)))
        probes.append(index.probes)
    assert min(recalls) >= 0.93
    assert probes[0] < probes[1] < 141  # 2 * sqrt(5000) lists


def test_a_vector_that_finds_itself_says_nothing_of_the_lists() -> None:
    vectors, ids = clustered(2000, 48, 100_000), np.arange(1, 2001, dtype=np.int64)
    index = made(Kind.IVF_SQ8, ids, vectors)
    index.tune(vectors[::10], 0.5, k=1)
    assert index.probes > 1
    index.tune(vectors[::10], 0.0, least=7)
    assert index.probes == 7


def test_a_search_reads_more_lists_where_a_filter_leaves_less_in_each() -> None:
    vectors, ids = clustered(4000, 24, 4000), np.arange(1, 4001, dtype=np.int64)
    index = made(Kind.IVF_SQ8, ids, vectors)
    index.probes = 4
    wanted, hit = ids[::20], 0
    for query in clustered(4040, 24, 4000)[4000:]:
        best = wanted[np.argsort(-(vectors[wanted - 1] @ query))[:3]]
        hit += len(set(best.tolist()) & {id_ for id_, _ in index.search(query, 3, wanted)})
    assert hit / 120 >= 0.85


# Which kind a space gets


@given(count=st.integers(0, 5_000_000), steps=st.lists(st.floats(0.3, 3.0), max_size=8))
def test_a_new_index_fits_and_a_border_is_not_crossed_twice(count: int, steps: list[float]) -> None:
    rules = IndexSettings()
    kind, made_for = rules.kind_for(count), count
    for step in steps:
        assert rules.fits(kind, made_for, count)
        before, count = count, round(count * step)
        if not rules.fits(kind, made_for, count):
            kind, made_for = rules.kind_for(count), count
            # Back again is no reason for the smaller kind, unless it is half of it or less.
            if count < before <= 2 * count and kind is not rules.kind_for(before):
                raise AssertionError((before, count, kind))


def test_the_documented_sizes() -> None:
    rules = IndexSettings()
    sizes = (0, 20_000, 20_001, 999_999, 1_000_000)
    kinds = [Kind.FLAT, Kind.FLAT, Kind.SQ8, Kind.SQ8, Kind.IVF_SQ8]
    assert [rules.kind_for(count) for count in sizes] == kinds
    assert [rules.first_kind_for(count) for count in sizes] == [*kinds[:4], Kind.SQ8]
    assert rules.sample_size(Kind.FLAT, 20_000) == 0
    assert rules.sample_size(Kind.SQ8, 1_000_000) == 20_000
    assert rules.sample_size(Kind.IVF_SQ8, 1_000_000) == 100_000


# A space in a store. FAISS is for the stores of SQLite.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder) as store:
        yield store


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stores switch kinds at a handful of vectors."""
    monkeypatch.setattr(reader, "SpaceIndex", functools.partial(SpaceIndex, settings=TINY))


def fill(store: Store, *video_ids: str, chunks: int = 3) -> None:
    for video_id in video_ids:
        ingest(store, video_id, chunks, kv=False)


def brute_force(query: Floats, *video_ids: str, chunks: int = 3) -> list[float]:
    """Return all cosines to the drawn text vectors, best first, as float16 rows give them."""
    segments = [s for v in video_ids for at in range(chunks) for s in draw_chunk(v, at).segments]
    vectors = np.stack([np.asarray(s.vector, np.float16) for s in segments]).astype(np.float32)
    return sorted((vectors @ query).tolist(), reverse=True)


def scores(store: Store, query: Floats, k: int, only: list[str] | None = None) -> list[float]:
    return [hit.score for hit in store.search_vectors("text", query, k, Filter(only))]


def query_of(seed: int) -> Floats:
    return draw_vector(TEXT_SIZE, np.random.default_rng(seed))


def kind_in(store: Store) -> Kind | None:
    """Return the kind that a search leads to, once it is made."""
    store.search_vectors("text", query_of(0), 1)
    store._index("text").wait()
    return store._index("text").kind


def index_in(store: Store) -> VectorIndex:
    held = store._index("text")._held
    assert held is not None
    return held.index


@pytest.mark.usefixtures("tiny")
def test_a_space_gets_its_kind_by_its_size_and_keeps_its_scores(folder: Path) -> None:
    there: list[str] = []
    with Store.open(folder) as store, Store.open(folder) as other:
        for video_id, kind in ((A, Kind.FLAT), (B, Kind.SQ8), (C, Kind.IVF_SQ8), (D, Kind.IVF_SQ8)):
            fill(store, video_id)
            there.append(video_id)
            for each in (store, other):  # one stored it, the other follows
                wanted = brute_force(query_of(1), *there)
                np.testing.assert_allclose(scores(each, query_of(1), 999), wanted, atol=1e-6)
                assert kind_in(each) is kind
                np.testing.assert_allclose(scores(each, query_of(1), 999), wanted, atol=1e-6)
        for video_id, kind in ((B, Kind.IVF_SQ8), (C, Kind.IVF_SQ8), (D, Kind.FLAT)):
            other.remove_video(video_id)
            there.remove(video_id)
            assert scores(store, query_of(2), 999, [video_id]) == []
            np.testing.assert_allclose(
                scores(store, query_of(2), 999), brute_force(query_of(2), *there), atol=1e-6
            )
            assert kind_in(store) is kind


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("videos", [[A], [A, B], [A, B, C]])
def test_filters_are_the_same_for_every_kind(store: Store, videos: list[str]) -> None:
    fill(store, *videos)
    for only in ([A], [D], [], [*videos[-1:], D], videos):
        held = [video_id for video_id in only if video_id in videos]
        wanted = brute_force(query_of(3), *held) if held else []
        np.testing.assert_allclose(scores(store, query_of(3), 999, only), wanted, atol=1e-6)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("videos", [[A, B], [A, B, C]])
def test_the_best_hits_carry_exact_cosines(store: Store, videos: list[str]) -> None:
    fill(store, *videos)
    for seed in range(20):
        found = scores(store, query_of(seed), 3)
        everything = brute_force(query_of(seed), *videos)
        assert len(found) == 3
        assert all(np.isclose(score, everything, rtol=0, atol=1e-6).any() for score in found)


@pytest.mark.usefixtures("tiny")
def test_more_candidates_than_hits_undo_what_a_byte_a_number_confuses(store: Store) -> None:
    random = np.random.default_rng(0)
    near = query_of(0) + 0.01 * random.normal(size=(14, TEXT_SIZE)).astype(np.float32)
    segments = [Segment(0.0, 1.0, "objects", str(at), v) for at, v in enumerate([*near, *-near])]
    chunk = draw_chunk(A, 0)
    store.add_video(draw_video(A), "drawn")
    store.add_chunk(ChunkRecord(chunk.chunk, groups=chunk.groups, segments=tuple(segments)))
    unit = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float16)
    for seed in range(9):
        query = draw_vector(TEXT_SIZE, np.random.default_rng(seed)) + 2 * query_of(0)
        wanted = np.argsort(-(unit.astype(np.float32) @ query))[:3].tolist()
        assert [int(hit.text) for hit in store.search_vectors("text", query, 3)] == wanted
    assert kind_in(store) is Kind.SQ8


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("videos", "kind"), [([A, B], Kind.SQ8), ([A, B, C], Kind.IVF_SQ8)])
def test_a_snapshot_keeps_its_kind_and_is_used(
    folder: Path, videos: list[str], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(folder) as store:
        fill(store, *videos)
        held = index_in(store).probes
    assert f'"kind": "{kind}"'.encode() in (folder / "index" / "text.faiss").read_bytes()
    assert (held > 1) == (kind is Kind.IVF_SQ8)
    monkeypatch.setattr(index_rows, "make", _not_wanted)
    with Store.open(folder) as store:
        assert (kind_in(store), index_in(store).probes) == (kind, held)
        np.testing.assert_allclose(
            scores(store, query_of(4), 999), brute_force(query_of(4), *videos), atol=1e-6
        )


def _not_wanted(*_: object) -> None:
    raise AssertionError("made anew")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("videos", [[A, B], [A, B, C]])
def test_a_trained_kind_is_made_anew_where_its_snapshot_is_damaged(
    folder: Path, videos: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(folder) as store:
        fill(store, *videos)
        wanted = scores(store, query_of(5), 999)
    path = folder / "index" / "text.faiss"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING), Store.open(folder) as store:
        assert scores(store, query_of(5), 999) == wanted
    assert "made anew" in caplog.text


@pytest.mark.usefixtures("tiny")
def test_what_took_a_training_is_on_disk_before_the_store_is_closed(folder: Path) -> None:
    path = folder / "index" / "text.faiss"
    with Store.open(folder) as store:
        fill(store, A, B)
    path.unlink()
    with Store.open(folder) as store:
        scores(store, query_of(0), 1)
        assert b'"kind": "sq8"' in path.read_bytes()


@pytest.mark.usefixtures("tiny")
def test_a_store_that_cannot_keep_a_snapshot_is_searched_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(folder) as store:
        fill(store, A, B)
    (folder / "index" / "text.faiss").unlink()

    def full(*_: object) -> None:
        raise StoreFullError("the disk is full")

    monkeypatch.setattr("agentkit_storage.index_file.write_whole", full)
    with Store.open(folder) as store:
        assert kind_in(store) is Kind.SQ8
        np.testing.assert_allclose(
            scores(store, query_of(6), 999), brute_force(query_of(6), A, B), atol=1e-6
        )
    assert "no snapshot of the index" in caplog.text


def test_the_same_rows_train_the_same_index(folder: Path) -> None:
    rules = replace(TINY, sample=12, sample_per_list=1)  # fewer than there are: a choice
    with Store.open(folder) as store:
        fill(store, A, B, C)
    dumps = []
    for name in ("one", "two"):
        with Store.open(folder) as store:
            index = SpaceIndex(folder / name, "store", "text", store._db.read, rules)
            index.rebuild()
            index.save()
        dumps.append((folder / name).read_bytes())
    assert dumps[0] == dumps[1]
    assert b'"kind": "ivf-sq8"' in dumps[0]


@pytest.mark.usefixtures("tiny")
def test_an_index_trained_on_few_is_trained_again_on_many(folder: Path, store: Store) -> None:
    with Store.open(folder) as other:
        made_for = []
        for video_id, chunks in ((A, 9), (B, 26), (C, 2)):
            fill(other, video_id, chunks=chunks)
            kind_in(store)
            made_for.append(index_in(store).made_for)
    assert made_for == [36, 36, 148]
