"""Both searches against the slow obvious way, and the index against SQL.

test_vectors.py has the kinds of index.
"""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit_storage import ChunkRecord, Filter, Segment, Store
from agentkit_storage.errors import VectorError
from agentkit_storage.testing import TEXT_SIZE, draw_chunk, draw_vector, draw_video, ingest
from agentkit_storage.words import match_expression, terms_in

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32


def fill(store: Store, *video_ids: str, chunks: int = 3) -> None:
    for video_id in video_ids:
        ingest(store, video_id, chunks, kv=False)


def brute_force(query: NDArray[np.float32], video_ids: list[str], chunks: int = 3) -> list[float]:
    """Return all cosines to the drawn text vectors, best first, as float16 rows give them."""
    segments = [s for v in video_ids for at in range(chunks) for s in draw_chunk(v, at).segments]
    vectors = np.stack([np.asarray(s.vector, np.float16) for s in segments]).astype(np.float32)
    return sorted((vectors @ query).tolist(), reverse=True)


def scores(
    store: Store, query: NDArray[np.float32], k: int, only: list[str] | None = None
) -> list[float]:
    return [hit.score for hit in store.search_vectors("text", query, k, Filter(only))]


def query_of(seed: int) -> NDArray[np.float32]:
    return draw_vector(TEXT_SIZE, np.random.default_rng(seed))


@pytest.mark.parametrize("k", [1, 5, 1000])
@pytest.mark.parametrize("only", [None, [A], [B, C], []])
def test_search_is_brute_force(store: Store, k: int, only: list[str] | None) -> None:
    fill(store, A, B, C)
    wanted = brute_force(query_of(1), [A, B, C] if only is None else only)[:k] if only != [] else []
    np.testing.assert_allclose(scores(store, query_of(1), k, only), wanted, atol=1e-6)


def test_hits_name_their_chunk_and_text(store: Store) -> None:
    fill(store, A, B)
    for hit in store.search_vectors("text", query_of(2), 10):
        segments = draw_chunk(hit.video_id, hit.chunk_index).segments
        (same,) = [segment for segment in segments if segment.start_s == hit.start_s]
        assert (same.end_s, same.kind, same.text) == (hit.end_s, hit.kind, hit.text)
        assert hit.score == pytest.approx(float(same.vector @ query_of(2)), abs=2e-3)  # type: ignore[operator]


@pytest.mark.parametrize(
    "bad", [[np.nan] * TEXT_SIZE, [0.0] * TEXT_SIZE, [1.0], [[1.0] * TEXT_SIZE]]
)
def test_a_wrong_query_is_refused(store: Store, bad: list[float]) -> None:
    fill(store, A)
    with pytest.raises(VectorError):
        store.search_vectors("text", np.array(bad, np.float32), 3)


def test_an_empty_store_finds_nothing(store: Store) -> None:
    assert store.search_vectors("text", query_of(0), 3) == []
    assert store.search_words("car", 3) == []


def test_what_another_process_adds_and_removes_is_seen(location: str, store: Store) -> None:
    fill(store, A)
    assert len(scores(store, query_of(3), 999)) == 12
    with Store.open(location) as other:
        fill(other, B)
        np.testing.assert_allclose(
            scores(store, query_of(3), 999), brute_force(query_of(3), [A, B]), atol=1e-6
        )
        assert len(scores(other, query_of(3), 999)) == 24
        store.remove_video(A)
        np.testing.assert_allclose(
            scores(other, query_of(3), 999), brute_force(query_of(3), [B]), atol=1e-6
        )
    assert len(scores(store, query_of(3), 999)) == 12


def test_an_old_snapshot_catches_up(folder: Path) -> None:
    with Store.open(folder) as store:
        fill(store, A, B)
    old = (folder / "index" / "text.faiss").read_bytes()
    with Store.open(folder) as store:
        store.remove_video(A)
        fill(store, C)
    (folder / "index" / "text.faiss").write_bytes(old)
    with Store.open(folder) as store:
        np.testing.assert_allclose(
            scores(store, query_of(4), 999), brute_force(query_of(4), [B, C]), atol=1e-6
        )


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def _flip_header(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"last_row": ', b'"last_row": 1', 1))


def _foreign(path: Path) -> None:
    other = path.parents[2] / "other"
    with Store.open(other) as store:
        fill(store, A, B)
        store.search_vectors("text", query_of(0), 1)
    path.write_bytes((other / "index" / path.name).read_bytes())


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_bytes(b'{"store": 1}\nhello')


def _visual(path: Path) -> None:
    path.write_bytes(path.with_name("visual.faiss").read_bytes())


@pytest.mark.parametrize("damage", [_cut, _flip, _flip_header, _foreign, _empty, _text, _visual])
def test_a_damaged_or_foreign_snapshot_is_made_anew(
    folder: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(folder) as store:
        fill(store, A, B)
    damage(folder / "index" / "text.faiss")  # type: ignore[operator]
    with caplog.at_level(logging.WARNING), Store.open(folder) as store:
        found = scores(store, query_of(5), 999)
    np.testing.assert_allclose(found, brute_force(query_of(5), [A, B]), atol=1e-6)
    assert "made anew" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING), Store.open(folder) as store:
        assert scores(store, query_of(5), 999) == found
    assert caplog.text == ""


def test_a_snapshot_newer_than_the_database_is_made_anew(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(folder) as store:
        fill(store, A)
    old = (folder / "store.sqlite").read_bytes()
    with Store.open(folder) as store:
        fill(store, B)
    (folder / "store.sqlite").write_bytes(old)
    with Store.open(folder) as store:
        np.testing.assert_allclose(
            scores(store, query_of(6), 999), brute_force(query_of(6), [A]), atol=1e-6
        )
    assert "made anew" in caplog.text


def add_texts(store: Store, video_id: str, *texts: str) -> None:
    store.add_video(draw_video(video_id), "drawn")
    for index, words in enumerate(texts):
        chunk = draw_chunk(video_id, index)
        segment = Segment(chunk.chunk.start_s, chunk.chunk.end_s, "speech", words)
        store.add_chunk(ChunkRecord(chunk.chunk, groups=chunk.groups, segments=(segment,)))


def found(store: Store, query: str, only: list[str] | None = None) -> set[str]:
    return {hit.text for hit in store.search_words(query, 99, Filter(only))}


def test_words(store: Store) -> None:
    add_texts(store, A, "two runners in the park", "a parked lorry", "Café crème", "nothing at all")
    add_texts(store, B, "the gate is open", "runs the red light")
    assert found(store, "running") == {"runs the red light"}
    assert found(store, "runner") == {"two runners in the park"}
    assert found(store, "run*") == {"two runners in the park", "runs the red light"}
    assert found(store, "cafe CREME") == {"Café crème"}
    assert found(store, '"red light"') == {"runs the red light"}
    assert found(store, '"light red"') == set()
    assert found(store, "gate lorry") == {"a parked lorry", "the gate is open"}
    assert found(store, "gate lorry", [B]) == {"the gate is open"}
    assert found(store, "gate lorry", []) == set()
    assert found(store, "gate NOT open") == {"nothing at all", "the gate is open"} - {
        "nothing at all"
    }
    assert all(hit.score > 0 for hit in store.search_words("gate", 9))
    assert [hit.text for hit in store.search_words("red light lorry", 1)] == ["runs the red light"]


def test_removed_words_are_gone(store: Store) -> None:
    add_texts(store, A, "the gate is open")
    store.remove_video(A)
    assert found(store, "gate") == set()
    assert store.verify() == []


@given(st.text() | st.text(alphabet="ab \"'*()-:^+{}\0\ud800NEAROT,_"))
@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_is_a_fair_query(store: Store, query: str) -> None:
    if not store.videos():
        add_texts(store, A, "a b near not or and")
    store.search_words(query, 3)


def test_a_query_of_100_kb_is_answered(store: Store) -> None:
    add_texts(store, A, "w1 is here")
    assert found(store, " ".join(f"w{number}" for number in range(20_000))) == {"w1 is here"}


def test_operators_are_words() -> None:
    assert match_expression(terms_in('a OR "b c" d* -e col:f NEAR(g)')) == (
        '"a" OR "OR" OR "b c" OR "d"* OR "e" OR "col f" OR "NEAR g"'
    )
