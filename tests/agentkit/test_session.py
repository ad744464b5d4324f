"""A session from file to answer on tiny parts: what is kept, what is done again, what survives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agentkit import Session
from agentkit.errors import StaleVideoError, UsageError, VideoError
from agentkit.noted import Noted
from agentkit.retrieval import Passage
from agentkit.testing import make_video
from agentkit.types import IngestEvent, Note, SamplingPlan
from agentkit_storage import segments
from agentkit_storage.errors import UnknownVideoError

OpenSession = Callable[..., Session]

# An ingest in a process of its own, so that a fault point of the store may kill it.
INGEST = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("parts", sys.argv[1])
parts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parts)
from agentkit import Session
from agentkit.engine import Engine
Engine.embedder = parts.WordEmbedder()
settings = parts.tiny_settings(Path(sys.argv[2]), Path(sys.argv[3]), **json.loads(sys.argv[5]))
with Session.open(settings) as session:
    session.ingest(sys.argv[4])
"""


def stored_kv(session: Session, video_id: str) -> dict[int, dict[str, np.ndarray]]:
    """Return all stored KV of a video, by chunk."""
    store, kv = session._store, session._kv.of(session.video(video_id))
    indices = store.kv_indices(video_id, kv.fingerprint)
    return {i: dict(store.kv(video_id, kv.fingerprint, i)) for i in indices}


def test_ingest_tells_what_it_did(open_session: OpenSession, long_clip: Path) -> None:
    events: list[IngestEvent] = []
    video = open_session().ingest(long_clip, on_event=events.append)
    assert (video.state, video.chunks, video.frames_seen) == ("ready", 5, 70)
    assert video.tiers == ("notes", "vectors", "tokens", "kv")
    done = [(e.event, e.chunk, e.of) for e in events if e.event != "stage"]
    assert done == [("start", 0, 5), *[("chunk", i, 5) for i in range(1, 6)], ("done", 5, 5)]


def test_same_content_is_ingested_once(
    open_session: OpenSession, long_clip: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(long_clip.read_bytes())
    session, events = open_session(), []
    first = session.ingest(long_clip)
    again = session.ingest(copy, on_event=events.append)
    assert again.video_id == first.video_id
    assert [event.event for event in events] == ["skip"]
    assert len(session.videos()) == 1


def test_other_settings_make_it_anew(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session()
    session.ingest(long_clip)
    again = session.ingest(long_clip, SamplingPlan(fps=0.5))
    assert (again.frames_seen, again.chunks, again.state) == (35, 3, "ready")


def test_second_question_decodes_and_encodes_nothing(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    session.ask("Is there a cut?", video)
    calls: list[str] = []
    for module, name in (
        ("agentkit.pipeline", "probe"),
        ("agentkit.observing", "sample"),
        ("agentkit.video", "open_container"),
        ("agentkit.encoders.NotesEncoder", "encode"),
        ("videoxl2_model.prefill.Prefill", "add"),
    ):
        monkeypatch.setattr(f"{module}.{name}", lambda *a, _n=name, **k: calls.append(_n))
    answer = session.ask("Is there much motion?", video)
    assert calls == []
    assert answer.coverage.tier == "kv"
    assert "generate" in answer.coverage.seconds


@pytest.mark.parametrize("context", ["dense", "bilevel", "retrieval"])
@pytest.mark.parametrize("sparse", ["pooled", "time_only", "left_out"])
def test_every_context_answers_with_citations_inside_the_video(
    open_session: OpenSession, long_clip: Path, context: str, sparse: str
) -> None:
    ask = {"context": context, "sparse": sparse, "k": 2, "max_new_tokens": 4, "min_score": 0.2}
    session = open_session(ask=ask)
    video = session.ingest(long_clip)
    pieces: list[str] = []
    answer = session.ask("Is there a cut?", video, on_text=pieces.append)
    assert "".join(pieces).strip() == answer.text
    assert 0 < len(answer.citations) <= 3
    for cite in answer.citations:
        assert 0 <= cite.start_s < cite.end_s <= video.duration_s
        assert cite.end_s - cite.start_s <= 32
    expected = 5 if context == "dense" else 2
    assert len(answer.coverage.dense_chunks) == expected


@pytest.mark.parametrize("encoder", ["notes", "videoxl2"])
def test_killed_ingest_goes_on_and_gives_the_same_store(
    open_session: OpenSession,
    long_clip: Path,
    tiny_model: Path,
    tiny_videoxl2: Path,
    tmp_path: Path,
    encoder: str,
) -> None:
    """After SIGKILL at the third chunk's commit: equal notes and tokens, KV within 1e-5."""
    store = tmp_path / "killed"
    exact = {"encoder": encoder, "prefill": {"kv_dtype": "float32"}}
    settings = json.dumps({**exact, "videoxl2_path": str(tiny_videoxl2)})
    command = [sys.executable, "-c", INGEST, str(Path(__file__).parent / "conftest.py")]
    command += [str(store), str(tiny_model), str(long_clip), settings]
    environment = {**os.environ, "AGENTKIT_HOME": str(tmp_path / "home")}
    fault = {"AGENTKIT_STORE_FAULT": "chunk.commit:3"}
    killed = subprocess.run(command, env=environment | fault, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    events: list[IngestEvent] = []
    resumed, whole = open_session(store, **exact), open_session(tmp_path / "whole", **exact)
    assert 0 < resumed.videos()[0].chunks < 5
    video = resumed.ingest(long_clip, on_event=events.append)
    assert events[0].event == "start"
    assert events[0].chunk > 0
    whole.ingest(long_clip)
    assert resumed._store.digest(video.video_id) == whole._store.digest(video.video_id)
    one, other = stored_kv(resumed, video.video_id), stored_kv(whole, video.video_id)
    assert one.keys() == other.keys() == {-1, 0, 1, 2, 3, 4}
    for index, part in one.items():
        assert part.keys() == other[index].keys()
        for name, array in part.items():
            np.testing.assert_allclose(array, other[index][name], atol=1e-5, rtol=0)


def test_dropped_kv_is_made_again_from_tokens(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    before = session.ask("Is there a cut?", video)
    session._store.drop_kv(video.video_id)
    after = session.ask("Is there a cut?", video)
    assert (before.coverage.tier, after.coverage.tier) == ("kv", "tokens")
    assert after.text == before.text
    assert session.ask("Is there a cut?", video).coverage.tier == "kv"


def test_damaged_kv_is_made_anew_and_answers_as_before(
    open_session: OpenSession, long_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_session(ask={"context": "dense", "max_new_tokens": 4, "min_score": 0.2})
    video = session.ingest(long_clip)
    before = session.ask("Is there a cut?", video)
    for blob in (Path(session._settings.store) / "blobs").rglob("*.safetensors"):
        data = bytearray(blob.read_bytes())
        data[-5] ^= 1
        blob.write_bytes(data)
    after = session.ask("Is there a cut?", video)
    assert after.text == before.text
    assert after.coverage.tier == "tokens"
    assert video.video_id[:8] in caplog.text
    assert "the KV is made anew" in caplog.text


def test_ingesting_again_makes_the_kv_that_is_missing(
    open_session: OpenSession, long_clip: Path
) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    whole = stored_kv(session, video.video_id)
    session._store.drop_kv(video.video_id)
    events: list[IngestEvent] = []
    session.ingest(long_clip, on_event=events.append)
    assert [(event.event, event.stage) for event in events] == [("stage", "prefill"), ("skip", "")]
    again = stored_kv(session, video.video_id)
    assert again.keys() == whole.keys()
    np.testing.assert_allclose(again[3]["keys"], whole[3]["keys"], atol=1e-5, rtol=0)
    assert session.ask("Is there a cut?", video).coverage.tier == "kv"


def test_a_plan_that_is_refused_removes_nothing(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    with pytest.raises(UsageError):
        session.ingest(long_clip, SamplingPlan(mode="uniform"))
    assert session.videos() == [video]


def test_a_question_about_a_time_is_answered_from_there(
    open_session: OpenSession, long_clip: Path
) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    answer = session.ask("What happens at 0:20?", video)
    assert answer.coverage.dense_chunks == (1,)
    motion = session.ask("How much motion is there at 0:20?", video)
    for cite in (*answer.citations, *motion.citations):
        assert cite.start_s < 24  # 16 to 24 s are asked for
        assert cite.end_s > 16
    assert motion.citations
    assert session.ask("What happens at 1:30?", video).supported is False  # 70 s long


def test_an_unfinished_video_says_how_far_it_was_seen(
    open_session: OpenSession, long_clip: Path
) -> None:
    session = open_session()

    def stop(event: IngestEvent) -> None:
        if event.event == "chunk" and event.chunk == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.ingest(long_clip, on_event=stop)
    coverage = session.ask("Is there a submarine?").coverage
    assert coverage.frames_seen == 32
    (line,) = coverage.missing
    assert line == (
        f"ingest: not finished, seen until 32 s; agentkit ingest {long_clip} goes on there"
    )


@pytest.mark.parametrize("chunks", [0, 2])
def test_a_video_that_is_half_made_anew_is_said_to_be_so(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    """Asked again, for its making is the same and most of its chunks are gone."""
    session, other = open_session(), open_session()
    session.ingest(long_clip)
    passages = Noted.passages

    def stop(event: IngestEvent) -> None:
        if event.event in ("start", "chunk") and event.chunk == chunks:
            raise KeyboardInterrupt

    def search(noted: Noted) -> list[Passage]:
        monkeypatch.setattr(Noted, "passages", passages)
        with pytest.raises(KeyboardInterrupt):
            other.ingest(long_clip, on_event=stop, anew=True)
        return noted.passages()

    monkeypatch.setattr(Noted, "passages", search)
    coverage = session.ask("Is there a cut?").coverage
    assert coverage.chunks == chunks
    assert f"not finished, seen until {16 * chunks} s" in coverage.missing[0]


def test_another_model_of_another_width_shares_the_store(
    open_session: OpenSession, long_clip: Path, tmp_path: Path
) -> None:
    from videoxl2_model.testing import write_tiny_checkpoint

    wide = write_tiny_checkpoint(tmp_path / "wide", hidden_size=64)
    video = open_session().ingest(long_clip)
    other = open_session(language_model=str(wide))
    answer = other.ask("Is there a cut?", video)
    assert answer.coverage.tier == "tokens"
    short = other.ingest(make_video(tmp_path / "short.mp4", seconds=6))
    assert short.state == "ready"


def test_nothing_found_is_said_and_not_supported(
    open_session: OpenSession, long_clip: Path
) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    answer = session.ask("Where is the submarine?", video)
    assert answer.supported is False
    assert answer.citations == ()
    assert "Nothing in the notes of this video supports an answer" in answer.text
    assert session.search("submarine") == []


def test_chunks_that_are_named_are_read_whatever_the_question_says(
    open_session: OpenSession, asked_stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(asked_stores["notes"])
    read: list[Passage] = []
    lines = Noted.lines
    monkeypatch.setattr(
        Noted, "lines", lambda self, found: (read.extend(found), lines(self, found))[1]
    )
    answer = session.ask("Which submarine is it?", chunks=[1, 3])
    assert answer.coverage.dense_chunks == (1, 3)
    assert {passage.chunk_index for passage in read} == {1, 3}
    assert answer.supported is None  # no word of it is in the notes that were read


def test_evidence_comes_from_the_chunks_that_are_named(
    open_session: OpenSession, asked_stores: dict[str, Path]
) -> None:
    session = open_session(asked_stores["notes"])
    (video,) = session.videos()
    for chunk in session.chunks(video):
        for cite in session.ask("Is there a cut?", video, chunks=[chunk.index]).citations:
            assert chunk.start_s <= cite.start_s <= cite.end_s <= chunk.end_s


def test_an_ingest_alone_says_who_made_the_vectors(
    open_session: OpenSession, tmp_path: Path
) -> None:
    session = open_session()
    session.ingest(make_video(tmp_path / "short.mp4", seconds=6))
    with session._store._db.read() as conn:
        assert segments.space(conn, "text") == segments.Space("words", 1024)


def test_what_is_heard_is_noted_once(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    spoken = Note(3.0, 5.0, "speech", "Hello there.")
    session._store.put_sound_notes(video.video_id, [spoken, spoken])
    assert [note for note in session.notes(video) if note.kind == "speech"] == [spoken]


def test_search_finds_the_chunks_with_a_cut(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    hits = session.search("cut", k=3)
    assert hits
    assert all(hit.chunk.video_id == video.video_id for hit in hits)
    cuts_s = [note.start_s for note in session.notes(video) if note.kind == "shot"]
    assert cuts_s == [9.0 * i for i in range(1, 8)]
    assert all(any(h.start_s <= s <= h.end_s for s in cuts_s) for h in hits)


def test_similar_chunks_leave_out_the_one_asked_about(
    open_session: OpenSession, long_clip: Path
) -> None:
    session = open_session()
    video = session.ingest(long_clip)
    hits = session.similar(video, 20.0, k=10)
    assert sorted(hit.chunk.index for hit in hits) == [0, 2, 3, 4]


def test_of_several_videos_the_one_with_evidence_answers(
    open_session: OpenSession, long_clip: Path, tmp_path: Path
) -> None:
    session = open_session()
    still = session.ingest(make_video(tmp_path / "still.mp4", seconds=6, draw=grey))
    moving = session.ingest(long_clip)
    answer = session.ask("Is there a cut?")
    assert {cite.video_id for cite in answer.citations} == {moving.video_id}
    each = session.ask_many("Is there a cut?", [still, moving])
    assert [answer.supported for answer in each] == [False, each[1].supported]


def grey(number: int, time_s: float, size_px: tuple[int, int]) -> np.ndarray:
    return np.full((size_px[1], size_px[0], 3), 128, np.uint8)


def test_replaced_file_is_stale(open_session: OpenSession, long_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.mp4"
    path.write_bytes(long_clip.read_bytes())
    session = open_session()
    video = session.ingest(path)
    assert session.frames(video, [1.0])[0].shape == (96, 128, 3)
    make_video(path, seconds=6, draw=grey)
    with pytest.raises(StaleVideoError, match="ingest it again"):
        session.frames(video, [1.0])
    assert session.ask("Is there a cut?", video).citations  # what was seen is still answered


def test_names_and_errors(open_session: OpenSession, long_clip: Path, tmp_path: Path) -> None:
    session = open_session()
    with pytest.raises(UsageError, match="holds no video"):
        session.ask("Is there a cut?")
    with pytest.raises(VideoError):
        session.ingest(tmp_path / "none.mp4")
    assert session.videos() == []
    video = session.ingest(long_clip)
    assert session.video(video.video_id[:10]) == session.video(str(long_clip)) == video
    with pytest.raises(UnknownVideoError):
        session.ask("Is there a cut?", "nothing-like-it")
    session.remove(video)
    assert session.videos() == []
    assert session.search("cut") == []
