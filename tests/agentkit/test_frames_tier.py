"""The dearest tier: tokens that cannot be read are made again from the video's own file."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from agentkit import Session
from agentkit.errors import OtherEncoderError
from agentkit.making import plan_of, sampling_text
from agentkit.plugin_manager import Domain
from agentkit.types import Answer, IngestEvent, SamplingPlan, StoredVideo
from agentkit_storage import GroupRecord
from agentkit_storage.errors import DamagedChunkError
from agentkit_storage.schema import GroupRow
from videoxl2_model.testing import write_tiny_videoxl2

OpenSession = Callable[..., Session]
ENCODERS = ("notes", "videoxl2")
QUESTION = "Is there a cut?"


@pytest.fixture
def clip(long_clip: Path, tmp_path: Path) -> Path:
    """A file of the test's own, which may go or change."""
    return Path(shutil.copyfile(long_clip, tmp_path / "mine.mp4"))


def said(answer: Answer) -> Answer:
    """Return an answer without the seconds it took, and what it was read from."""
    return replace(answer, coverage=replace(answer.coverage, seconds={}, tier=""))


def hashes(groups: list[GroupRecord]) -> list[str]:
    """Return the SHA-256 of each group's tokens."""
    arrays = [np.asarray(group.ids if group.rows is None else group.rows) for group in groups]
    return [sha256(f"{a.dtype}{a.shape}".encode() + a.tobytes()).hexdigest() for a in arrays]


def damage_tokens(session: Session, video: StoredVideo) -> None:
    """Flip a bit in the tokens of one group, and drop the KV that would spare reading them."""
    store = session._store
    store.drop_kv(video.video_id)
    store.gc()
    for blob in (Path(session._settings.store) / "blobs").rglob("*.safetensors"):
        data = bytearray(blob.read_bytes())
        data[-5] ^= 1
        blob.write_bytes(data)
    with store._db.write("test") as conn:
        mine = (GroupRow.video_id == video.video_id) & (GroupRow.number == 6)
        ids = conn.scalar(sa.select(GroupRow.ids).where(mine))
        if ids is not None:
            flipped = ids[:-1] + bytes([ids[-1] ^ 1])
            conn.execute(sa.update(GroupRow).where(mine).values(ids=flipped))


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_kv_tokens_and_frames_give_one_answer(
    open_session: OpenSession, clip: Path, caplog: pytest.LogCaptureFixture, encoder: str
) -> None:
    """Damaged tokens: made again as they were, to the bit, with one warning and its events."""
    session = open_session(encoder=encoder)
    video = session.ingest(clip, tags=["mine"])
    stored = hashes(session._store.groups(video.video_id))
    from_kv = session.ask(QUESTION, video)
    session._store.drop_kv(video.video_id)
    from_tokens = session.ask(QUESTION, video)
    damage_tokens(session, video)
    assert any("tokens are damaged" in problem.what for problem in session._store.verify())
    caplog.clear()
    events: list[IngestEvent] = []
    from_frames = session.ask(QUESTION, video, on_event=events.append)
    answers = (from_kv, from_tokens, from_frames)
    assert [answer.coverage.tier for answer in answers] == ["kv", "tokens", "frames"]
    assert said(from_kv) == said(from_tokens) == said(from_frames)
    assert from_frames.coverage.seconds["frames"] > 0
    assert hashes(session._store.groups(video.video_id)) == stored
    (warning,) = warnings_of(caplog)
    damaged = {"notes": "from 16 to 32 s", "videoxl2": "from 0 to 16 s"}[encoder]
    assert warning == f"{video.video_id[:12]}: its tokens are damaged {damaged}; made anew"
    assert [event.event for event in events if event.event != "stage"] == [
        *("start", *["chunk"] * 5, "done"),
    ]
    assert session.video(video.video_id) == video
    assert session.ask(QUESTION, video).coverage.tier == "kv"


@pytest.mark.parametrize("encoder", ENCODERS)
def test_stored_tokens_are_those_of_a_fresh_encode(
    open_session: OpenSession, clip: Path, tmp_path: Path, encoder: str
) -> None:
    """Equal by SHA-256, and so is the answer that a model makes of them, piece by piece."""
    kept = open_session(encoder=encoder, ask={"context": "dense", "max_new_tokens": 8})
    video = kept.ingest(clip)
    kept._store.drop_kv(video.video_id)
    fresh = open_session(
        tmp_path / "fresh", encoder=encoder, ask={"context": "dense", "max_new_tokens": 8}
    )
    fresh.ingest(clip)
    assert hashes(kept._store.groups(video.video_id)) == hashes(fresh._store.groups(video.video_id))
    pieces: dict[str, list[str]] = {"tokens": [], "kv": []}
    for session, tier in ((kept, "tokens"), (fresh, "kv")):
        answer = session.ask(QUESTION, on_text=pieces[tier].append)
        assert answer.coverage.tier == tier
    assert pieces["tokens"] == pieces["kv"]
    assert len(pieces["kv"]) > 1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_tokens_that_stayed_behind_are_made_from_the_file_if_it_is_there(
    open_session: OpenSession, clip: Path, tmp_path: Path, encoder: str
) -> None:
    whole = open_session(encoder=encoder)
    video = whole.ingest(clip)
    bundle = tmp_path / "thin.tar"
    whole._store.export_bundle([video.video_id], bundle, tiers=("notes", "vectors"))
    thin = open_session(tmp_path / "thin", encoder=encoder)
    thin._store.import_bundle(bundle)
    thin.tag(video.video_id, add=["imported"])
    with pytest.raises(OtherEncoderError, match="import a bundle with tokens"):
        thin.ask(QUESTION)  # its file is elsewhere
    thin._store.update_video(video.video_id, path=str(clip))
    answer = thin.ask(QUESTION)
    assert answer.coverage.tier == "frames"
    assert said(answer) == said(whole.ask(QUESTION))
    assert thin.video(video.video_id).tags == ("imported",)


def other_weights(tmp_path: Path, tiny_model: Path, encoder: str) -> dict[str, object]:
    """Return settings with the same encoder of other weights; of notes, of another tokenizer."""
    if encoder == "videoxl2":
        return {"videoxl2_path": write_tiny_videoxl2(tmp_path / "other", seed=5)}
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    words = json.loads((other / "tokenizer.json").read_text())
    (other / "tokenizer.json").write_text(json.dumps(words, indent=3))
    return {"language_model": str(other)}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_tokens_for_other_weights_are_made_again(
    open_session: OpenSession,
    clip: Path,
    tmp_path: Path,
    tiny_model: Path,
    caplog: pytest.LogCaptureFixture,
    encoder: str,
) -> None:
    video = open_session(encoder=encoder).ingest(clip, SamplingPlan(fps=0.5))
    settings = other_weights(tmp_path, tiny_model, encoder)
    session = open_session(encoder=encoder, **settings)
    answer = session.ask(QUESTION)
    assert answer.coverage.tier == "frames"
    assert answer.coverage.frames_seen == video.frames_seen == 35  # sampled as before
    (warning,) = warnings_of(caplog)
    assert "its tokens are missing, or for other weights; made anew" in warning
    fresh = open_session(tmp_path / "fresh", encoder=encoder, **settings)
    fresh.ingest(clip, SamplingPlan(fps=0.5))
    assert said(fresh.ask(QUESTION)) == said(answer)
    assert session.ask(QUESTION).coverage.tier == "kv"


def test_what_another_encoder_made_is_never_replaced_unasked(
    open_session: OpenSession, clip: Path
) -> None:
    made, other = open_session(encoder="notes"), open_session(encoder="videoxl2")
    video = made.ingest(clip)
    before = made._store.digest(video.video_id)
    with pytest.raises(OtherEncoderError, match="another encoder"):
        other.ask(QUESTION)
    assert made._store.digest(video.video_id) == before


def gone(clip: Path) -> None:
    clip.unlink()


def changed(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes() + b"\0")


@pytest.mark.parametrize("becomes", [gone, changed])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_without_the_file_the_error_names_the_remedy(
    open_session: OpenSession, clip: Path, encoder: str, becomes: Callable[[Path], None]
) -> None:
    """And nothing that is stored is touched."""
    session = open_session(encoder=encoder)
    video = session.ingest(clip)
    damage_tokens(session, video)
    becomes(clip)
    for _ in range(2):
        with pytest.raises(DamagedChunkError, match="ingest it again"):
            session.ask(QUESTION)
    assert session.videos() == [replace(video, tiers=("notes", "vectors", "tokens"))]
    assert session.search("cut")


def test_a_video_of_another_domain_is_not_made_again_without_it(
    open_session: OpenSession, clip: Path
) -> None:
    session = open_session()
    video = session.ingest(clip)
    damage_tokens(session, video)
    session._store.update_video(video.video_id, domain="media")
    with pytest.raises(DamagedChunkError, match="ingest it again"):
        session.ask(QUESTION)
    session._domain = Domain("media")
    del session.__dict__["_again"]
    assert session.ask(QUESTION).coverage.tier == "frames"


def test_what_another_process_made_again_is_taken_as_it_is(
    open_session: OpenSession, clip: Path
) -> None:
    """Two questions find the same damage; the second comes to the lock when all is well."""
    session = open_session()
    video = session.ingest(clip)
    damage_tokens(session, video)
    session.ask(QUESTION)
    events: list[IngestEvent] = []
    session._again.make(video, DamagedChunkError(video.video_id, 0, 1, "", ""), events.append)
    assert [event.event for event in events] == ["skip"]


@pytest.mark.parametrize(
    "plan",
    [
        SamplingPlan(),
        SamplingPlan("uniform", 0.25, 100, None, 4),
        SamplingPlan("reference", 1.5, None, 2.5, 8),
    ],
)
def test_a_fingerprint_says_how_a_video_was_sampled(plan: SamplingPlan) -> None:
    assert plan_of(f"{sampling_text(plan)}|chunk 4|notes/1/x/25") == plan


@pytest.mark.parametrize("making", ["", "f", "a/b/c/d/e|x", "fps/x/None/None/4|", "fps/1/None/4|"])
def test_any_other_text_says_no_sampling(making: str) -> None:
    assert plan_of(making) is None
