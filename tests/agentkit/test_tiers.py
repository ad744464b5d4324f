"""Tiers as a session keeps them: KV within a budget, tokens in 8 bits, videos in collections."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit import Session
from agentkit.errors import RemadeError, UnknownNameError, UsageError
from agentkit.noted import Noted
from agentkit.retrieval import Passage
from agentkit.testing import make_video
from agentkit.types import Answer, Tier
from agentkit_storage.errors import StoreFullError, UnknownVideoError

OpenSession = Callable[..., Session]
QUESTION = "Is there a cut?"


def without_times(answer: Answer) -> Answer:
    """Return an answer without the seconds it took, and what it was read from."""
    return replace(answer, coverage=replace(answer.coverage, seconds={}, tier=""))


def kv_of(session: Session, video_id: str) -> list[Tier]:
    return [tier for tier in session.tiers(video_id) if tier.name == "kv"]


@pytest.fixture
def short_clip(tmp_path: Path) -> Path:
    """20 s of grey: two chunks, no cut."""

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> NDArray[np.uint8]:
        return np.full((size_px[1], size_px[0], 3), 128, np.uint8)  # [H, W, 3] RGB

    return make_video(tmp_path / "short.mp4", seconds=20, fps=5, draw=draw)


def test_kv_that_went_for_the_budget_is_made_anew_and_answers_the_same(
    open_session: OpenSession, long_clip: Path, short_clip: Path
) -> None:
    session = open_session(tiers={"kv_budget_gb": 0})
    video = session.ingest(long_clip)
    assert kv_of(session, video.video_id)  # what is being ingested stays
    before = session.ask(QUESTION, video)
    other = session.ingest(short_clip)
    assert kv_of(session, video.video_id) == []
    after = session.ask(QUESTION, video)
    assert (before.coverage.tier, after.coverage.tier) == ("kv", "tokens")
    assert without_times(after) == without_times(before)
    assert kv_of(session, other.video_id) == []
    assert session._store.verify() == []


def test_pinned_kv_stays_until_it_is_unpinned(
    open_session: OpenSession, long_clip: Path, short_clip: Path
) -> None:
    session = open_session(tiers={"kv_budget_gb": 0})
    video = session.ingest(long_clip)
    session.pin(video)
    other = session.ingest(short_clip)
    (kv,) = kv_of(session, video.video_id)
    assert kv.pinned
    assert session.ask(QUESTION, video).coverage.tier == "kv"
    session.pin(video, pinned=False)
    assert session.ask("Is there motion?", other).coverage.tier == "kv"
    session._store.trim_kv(keep=[other.video_id])
    assert kv_of(session, video.video_id) == []


def test_kv_dropped_while_a_question_reads_it_changes_no_answer(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process trims between the first part that is read and the second."""
    session = open_session(ask={"context": "dense", "max_new_tokens": 4, "min_score": 0.2})
    video = session.ingest(long_clip)
    before = session.ask(QUESTION, video)
    whole, parts = session._store.kv, []

    def kv(video_id: str, fingerprint: str, index: int, *names: object) -> object:
        parts.append(index)
        if len(parts) == 2:
            session._store.trim_kv(0)
        return whole(video_id, fingerprint, index, *names)

    monkeypatch.setattr(session._store, "kv", kv)
    after = session.ask(QUESTION, video)
    assert len(parts) > 2
    assert after.coverage.tier == "tokens"
    assert without_times(after) == without_times(before)


def test_an_answer_does_not_hang_on_trimming(
    open_session: OpenSession,
    long_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = open_session()

    def full(**_keep: object) -> int:
        raise StoreFullError("the disk is full; make room")

    monkeypatch.setattr(session._store, "trim_kv", full)
    video = session.ingest(long_clip)
    assert video.state == "ready"
    assert "not kept to its budget: the disk is full" in caplog.text


def test_a_question_notes_the_use_once(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    touched: list[str] = []
    whole = session._store.touch_kv
    monkeypatch.setattr(
        session._store, "touch_kv", lambda id_, making: touched.append(id_) or whole(id_, making)
    )
    before = kv_of(session, video.video_id)[0].used_at
    session.ask(QUESTION, video)
    assert touched == [video.video_id]
    after = kv_of(session, video.video_id)[0].used_at
    assert before is not None
    assert after is not None
    assert after > before


def test_tiers_say_what_is_kept(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    tiers = session.tiers(video)
    assert [tier.name for tier in tiers] == ["notes", "vectors", "vectors", "tokens", "kv"]
    assert {tier.part for tier in tiers if tier.name == "vectors"} >= {"text"}
    assert all(tier.nbytes > 0 for tier in tiers)
    assert all(tier.fingerprint for tier in tiers if tier.name != "vectors")
    assert {tier.name: tier.dtype for tier in tiers} == {
        "notes": "",
        "vectors": "float16",
        "tokens": "int32",
        "kv": "float32",
    }
    assert (tiers[-2].chunks, tiers[-1].chunks) == (5, 5)
    (stats,) = session._store.stats().videos
    assert sum(tier.nbytes for tier in tiers) == (
        stats.notes + stats.vectors + stats.tokens + stats.kv
    )


def test_tokens_in_8_bits_are_another_making_of_rows_only(
    open_session: OpenSession, long_clip: Path, tmp_path: Path
) -> None:
    small = {"tiers": {"tokens_dtype": "int8"}}
    session = open_session(encoder="videoxl2", **small)
    video = session.ingest(long_clip)
    tokens = {tier.name: tier for tier in session.tiers(video)}["tokens"]
    assert tokens.dtype == "int8:float16"
    assert "|tokens int8" in tokens.fingerprint
    assert session.ask(QUESTION, video).coverage.tier == "kv"
    session._store.drop_kv(video.video_id)
    assert session.ask(QUESTION, video).coverage.tier == "tokens"
    lines = open_session(tmp_path / "lines", **small)
    lines.ingest(long_clip)
    plain = open_session(tmp_path / "lines")
    events: list[str] = []
    plain.ingest(long_clip, on_event=lambda event: events.append(event.event))
    assert events == ["skip"]  # lines of notes are kept as ids either way


def test_only_the_collection_that_is_named_is_looked_in(
    open_session: OpenSession, long_clip: Path, short_clip: Path
) -> None:
    session = open_session(collection="films")
    film = session.ingest(long_clip)
    other = open_session(collection="news")
    news = other.ingest(short_clip)
    assert (film.collection, news.collection) == ("films", "news")
    assert session.videos(collection="films") == [film]
    assert len(session.videos()) == 2
    assert {hit.chunk.video_id for hit in session.search("cut", collection="films")} == {
        film.video_id
    }
    assert session.search("cut", collection="news") == []
    assert session.ask(QUESTION, collection="news").supported is False
    assert session.ask(QUESTION, collection="films").supported
    with pytest.raises(UnknownNameError, match="did you mean 'films'"):
        session.search("cut", collection="film")
    with pytest.raises(UsageError, match="not in the collection 'news'"):
        session.ask(QUESTION, film, collection="news")


def test_a_video_that_is_made_anew_stays_in_its_collection(
    open_session: OpenSession, short_clip: Path
) -> None:
    open_session(collection="films").ingest(short_clip)
    again = open_session(sampling={"fps": 0.5}).ingest(short_clip)
    assert (again.collection, again.frames_seen) == ("films", 10)


# A video made anew


def test_a_video_that_is_made_anew_keeps_its_pin_and_its_tags(
    open_session: OpenSession, short_clip: Path
) -> None:
    session = open_session()
    video = session.ingest(short_clip, tags=["night"])
    session.tag(video, add=["door", "porch"], remove=["porch"])
    session.pin(video)
    again = open_session(sampling={"fps": 0.5}).ingest(short_clip, tags=["late"])
    assert again.frames_seen == 10
    assert (again.tags, again.pinned, again.domain) == (("door", "late", "night"), True, "general")


def test_a_question_during_an_ingest_with_other_settings_is_asked_again(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video is made anew after the question has read its chunks, before it reads any KV."""
    session, other = open_session(), open_session(sampling={"fps": 0.5})
    video = session.ingest(long_clip)
    passages, made = Noted.passages, []

    def slow(noted: Noted) -> list[Passage]:
        found = passages(noted)
        if not made:
            made.append(other.ingest(long_clip))
        return found

    monkeypatch.setattr(Noted, "passages", slow)
    answer = session.ask(QUESTION, video)
    assert (made[0].chunks, answer.coverage.chunks) == (3, 3)
    assert answer.coverage.frames_seen == 35
    assert without_times(answer) == without_times(other.ask(QUESTION))


def test_kv_is_never_made_of_tokens_that_came_since(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process is faster to the lock, and has made the video anew when it is free."""
    session, other = open_session(), open_session(sampling={"fps": 0.5})
    video = session.ingest(long_clip)
    session._store.drop_kv(video.video_id)
    lock, waited = session._store.ingest_lock, []

    def late(video_id: str, *arguments: object) -> object:
        if not waited:
            waited.append(other.ingest(long_clip))
        return lock(video_id, *arguments)

    monkeypatch.setattr(session._store, "ingest_lock", late)
    stored = session._kv.of(video)
    with pytest.raises(RemadeError, match="while it was asked; ask again"):
        stored.complete()
    assert session._store.kv_indices(video.video_id, stored.fingerprint) == set()


def test_a_video_that_is_removed_while_it_is_asked_is_unknown(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = open_session(), open_session()
    video = session.ingest(long_clip)
    passages = Noted.passages
    monkeypatch.setattr(
        Noted, "passages", lambda noted: (passages(noted), other.remove(video.video_id))[0]
    )
    with pytest.raises(UnknownVideoError):
        session.ask(QUESTION, video)
