"""Question to passages, on a store of hand-made ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agentkit.retrieval import TEXT_SPACE, Retrieval, RetrievalConfig, visual_space
from agentkit.types import Embedder, Filter, StoredVideo
from agentkit_storage import ChunkRecord, GroupRecord, Segment, Store
from agentkit_storage.types import Chunk

SPACE = visual_space("notes", "weights")

PASSAGES = [  # one a chunk of 16 s
    ("objects", "5 people across the picture, 1 car on the right"),
    ("speech", "we will meet at the station tomorrow"),
    ("ocr", "GRAND OPENING SALE"),
    ("objects", "2 dogs on the left"),
]


@pytest.fixture
def retrieval(tmp_path: Path, word_embedder: Embedder) -> Iterator[Retrieval]:
    with Store.open(tmp_path / "store") as store:
        for name in ("a", "b"):
            add_video(store, name * 8, word_embedder)
        config = RetrievalConfig(min_near=0.4, min_near_of_kind=0.3)
        yield Retrieval(store, word_embedder, config)


def add_video(store: Store, video_id: str, embedder: Embedder) -> None:
    store.add_video(StoredVideo(video_id, video_id, 64, 640, 64, 1, 4, "ready", ()), "f")
    store.use_space(TEXT_SPACE, embedder.fingerprint, embedder.size)
    for index, (kind, text) in enumerate(PASSAGES):
        start_s, end_s = 16.0 * index, 16.0 * (index + 1)
        visual = np.eye(4, dtype=np.float32)[index]
        store.add_chunk(
            ChunkRecord(
                Chunk(video_id, index, start_s, end_s, index, 1),
                groups=(GroupRecord(index, start_s, end_s, "t", text, (1,)),),
                segments=(Segment(start_s, end_s, kind, text, embedder.embed([text])[0]),),
                visual=visual,
                visual_space=SPACE,
            )
        )


def found(retrieval: Retrieval, question: str) -> list[tuple[str, str]]:
    passages = retrieval.passages(question, Filter(("a" * 8,)))
    return [(p.kind, p.text) for p in passages]


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("How many people are there?", PASSAGES[0]),
        ("Which vehicles are seen?", PASSAGES[0]),
        ("Where do they meet?", PASSAGES[1]),
        ("What does the speaker say?", PASSAGES[1]),
        ("What does the sign read?", PASSAGES[2]),
        ("What animals are there?", PASSAGES[3]),
    ],
)
def test_what_carries_the_question_is_first(
    retrieval: Retrieval, question: str, passage: tuple[str, str]
) -> None:
    assert found(retrieval, question)[0] == passage


@pytest.mark.parametrize(
    "question",
    [
        "Is there a submarine?",
        "How many elephants cross the picture on the right?",  # near by words, but no elephant
        "What does the speaker say about the harvest?",
        "",
    ],
)
def test_nothing_is_found_where_nothing_is(retrieval: Retrieval, question: str) -> None:
    assert found(retrieval, question) == []


def test_hits_name_each_chunk_once_with_its_span(retrieval: Retrieval) -> None:
    hits = retrieval.search("people and dogs", k=3)
    assert len({(h.chunk.video_id, h.chunk.index) for h in hits}) == len(hits) == 3
    assert all(h.span_s == (h.chunk.start_s, h.chunk.end_s) for h in hits)
    assert all(hits[i].score >= hits[i + 1].score for i in range(2))


def test_only_the_videos_named_are_searched(retrieval: Retrieval) -> None:
    assert {h.chunk.video_id for h in retrieval.search("dogs", Filter(("b" * 8,)))} == {"b" * 8}


def test_like_chunks_are_those_of_like_vectors(retrieval: Retrieval) -> None:
    best = retrieval.similar("a" * 8, 20.0, SPACE, k=2)[0]
    assert (best.chunk.video_id, best.chunk.index, best.score) == ("b" * 8, 1, 1.0)
    assert retrieval.similar("a" * 8, 20.0, visual_space("notes", "others"), k=2) == []


def test_a_filter_holds_for_what_is_like_and_for_times(retrieval: Retrieval) -> None:
    elsewhere = Filter(video_ids=("b" * 8,), start_s=32.0)
    best = retrieval.similar("a" * 8, 20.0, SPACE, k=5, where=elsewhere)
    assert {(hit.chunk.video_id, hit.chunk.index) for hit in best} == {("b" * 8, 2), ("b" * 8, 3)}
    early = retrieval.search("people and dogs", Filter(end_s=16.0))
    assert {hit.chunk.index for hit in early} == {0}


def test_what_was_removed_since_it_was_found_is_left_out(retrieval: Retrieval) -> None:
    passages = retrieval.passages("dogs")
    retrieval._store.remove_video("a" * 8)
    assert {hit.chunk.video_id for hit in retrieval.hits(passages)} == {"b" * 8}
