"""Both encoders through the same session, store and citations; what differs is one setting."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from agentkit import Session, Settings, room
from agentkit.cli import main
from agentkit.encoders import VideoXL2Encoder
from agentkit.engine import Engine
from agentkit.errors import OtherEncoderError, UsageError
from agentkit.kv_tier import StoredKV
from agentkit.reading import Reading
from agentkit.relevance import of_scores
from agentkit.rules import OF_ENCODER, Rules, rules_of
from agentkit.stages import StageClock
from agentkit.testing import make_video
from agentkit.types import Chunk, FrameBatch, SamplingPlan
from agentkit.video import probe, sample
from agentkit_storage import Store
from videoxl2_model import memory
from videoxl2_model.config import TOKENS_PER_GROUP
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.errors import CheckpointError, RoomError, UnknownChunkError
from videoxl2_model.model import LanguageModel
from videoxl2_model.testing import write_tiny_checkpoint, write_tiny_videoxl2
from videoxl2_model.videoxl2 import VideoXL2

OpenSession = Callable[..., Session]
ENCODERS = ("notes", "videoxl2")
ASK = {"max_new_tokens": 4, "min_score": 0.2, "k": 2}
NO_NOTES = {"instruments": ()}


def kv_of(session: Session, video_id: str) -> dict[int, dict[str, np.ndarray]]:
    """Return all stored KV of a video, by chunk."""
    store, kv = session._store, session._kv.of(session.video(video_id))
    indices = store.kv_indices(video_id, kv.fingerprint)
    return {i: dict(store.kv(video_id, kv.fingerprint, i)) for i in indices}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the model say this, whatever it computes."""

    def let(text: str) -> None:
        def answer(*_: object) -> Iterator[str]:
            yield text

        monkeypatch.setattr(LanguageModel, "answer", answer)

    return let


# One flow, two encoders


@pytest.mark.parametrize("encoder", ENCODERS)
def test_from_file_to_cited_answer(
    open_session: OpenSession, long_clip: Path, encoder: str
) -> None:
    session = open_session(encoder=encoder)
    video = session.ingest(long_clip)
    assert (video.state, video.chunks, video.frames_seen) == ("ready", 5, 70)
    assert video.tiers == ("notes", "vectors", "tokens", "kv")
    answer = session.ask("Is there a cut?", video)
    assert answer.coverage.engine.startswith(f"{encoder}/")
    assert answer.coverage.tier == "kv"
    assert 0 < len(answer.citations) <= 3
    cuts_s = [note.start_s for note in session.notes(video) if note.kind == "shot"]
    for cite in answer.citations:
        assert any(cite.start_s <= at_s <= cite.end_s for at_s in cuts_s)
    assert session.search("cut", k=1)
    similar = session.similar(video, 20.0)
    assert sorted(hit.chunk.index for hit in similar) == [0, 2, 3, 4]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_second_question_decodes_and_encodes_nothing(
    open_session: OpenSession,
    asked_stores: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
) -> None:
    session = open_session(asked_stores[encoder], encoder=encoder)
    calls: list[str] = []
    for name in (
        "agentkit.pipeline.probe",
        "agentkit.observing.sample",
        "agentkit.encoders.NotesEncoder.encode",
        "agentkit.encoders.VideoXL2Encoder.encode",
        "videoxl2_model.videoxl2.VideoXL2.encode_rows",
        "videoxl2_model.prefill.Prefill.add",
    ):
        monkeypatch.setattr(name, lambda *a, _name=name, **k: calls.append(_name))
    assert session.ask("Is there much motion?").coverage.tier == "kv"
    assert session.ask("Where is the submarine?").coverage.tier == "kv"
    assert calls == []


@pytest.mark.parametrize("encoder", ENCODERS)
def test_of_several_videos_the_one_with_evidence_answers(
    open_session: OpenSession, long_clip: Path, tmp_path: Path, encoder: str
) -> None:
    def grey(number: int, time_s: float, size_px: tuple[int, int]) -> np.ndarray:
        return np.full((size_px[1], size_px[0], 3), 128, np.uint8)

    session = open_session(encoder=encoder)
    still = session.ingest(make_video(tmp_path / "still.mp4", seconds=6, draw=grey))
    moving = session.ingest(long_clip)
    answer = session.ask("Is there a cut?")
    assert {cite.video_id for cite in answer.citations} == {moving.video_id}
    each = session.ask_many("Is there a cut?", [still, moving])
    assert {cite.video_id for cite in each[0].citations} <= {still.video_id}


def test_one_setting_switches_and_the_other_encoders_data_go(
    open_session: OpenSession, long_clip: Path
) -> None:
    """The same store and settings but for `encoder`: the video is made anew, once."""
    notes, pictures = open_session(encoder="notes"), open_session(encoder="videoxl2")
    changed = {
        name
        for name, value in notes._settings.model_dump().items()
        if value != pictures._settings.model_dump()[name]
    }
    assert changed == {"encoder"}
    video = notes.ingest(long_clip)
    with pytest.raises(OtherEncoderError, match=r"ingested with another encoder .* than videoxl2"):
        pictures.ask("Is there a cut?", video)
    pictures.ingest(long_clip)
    groups = pictures._store.groups(video.video_id)
    assert len(groups) == 18
    assert all(group.rows is not None and group.ids is None for group in groups)
    with pytest.raises(OtherEncoderError, match="than notes; `agentkit ingest --encoder notes`"):
        notes.ask("Is there a cut?", video)
    assert pictures.ask("Is there a cut?", video).citations


def test_rows_are_for_the_weights_that_made_them(
    open_session: OpenSession, asked_stores: dict[str, Path], tmp_path: Path
) -> None:
    """The file is gone: what is there is then never replaced."""
    store = shutil.copytree(asked_stores["videoxl2"], tmp_path / "store")
    with Store.open(store) as kept:
        kept.update_video(kept.videos()[0].video_id, path=str(tmp_path / "gone.mp4"))
    other = write_tiny_videoxl2(tmp_path / "other", seed=5)
    with pytest.raises(OtherEncoderError, match="other weights"):
        open_session(store, encoder="videoxl2", videoxl2_path=other).ask("Is there a cut?")


def test_packed_weights_read_the_same_rows(open_session: OpenSession, long_clip: Path) -> None:
    """Packing is of the language model: pictures are not looked at again, the KV is made anew."""
    whole = open_session(encoder="videoxl2")
    video = whole.ingest(long_clip)
    packed = open_session(encoder="videoxl2", videoxl2_weights="int8")
    assert whole._kv.of(video).fingerprint != packed._kv.of(video).fingerprint
    assert packed.ask("Is there a cut?", video).coverage.tier == "tokens"
    found = whole.similar(video, 20.0)
    assert found
    assert packed.similar(video, 20.0) == found
    packed.remove(video)
    packed.ingest(long_clip)
    assert whole.similar(video, 20.0) == found


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_set_wins_over_the_encoders_own(encoder: str) -> None:
    own = OF_ENCODER[encoder]
    assert rules_of(encoder, Settings.load(encoder=encoder)) == own
    said = Settings.load(
        ask={"sparse": "time_only", "keep_ends": True, "evidence_lines": False},
        prefill={"max_segment_positions": 0, "kv_dtype": "int8"},
    )
    kept = ("beyond_native", "sees_pictures", "kept_pool_step")
    rest = {name: getattr(own, name) for name in kept}
    assert rules_of(encoder, said) == Rules("time_only", True, False, 0, "int8", **rest)
    assert rules_of(encoder, Settings.load(ask={"keep_ends": False})).keep_ends is False


# What is stored


class Rows:
    """A video model that gives the same number everywhere, the number of the group added."""

    def __init__(self, number: float) -> None:
        self.number = number
        self.seen: tuple[int, ...] = ()

    def encode_rows(self, images: np.ndarray) -> torch.Tensor:
        self.seen = images.shape
        groups = -(-len(images) // 4)
        return self.number + torch.arange(groups).float()[:, None, None].expand(groups, 144, 6)


def frames_of(index: int, count: int) -> FrameBatch:
    images = np.zeros((count, 8, 8, 3), np.uint8)
    return FrameBatch(index, images, 4.0 * index + np.arange(count), 4.0 * index + count)


@pytest.mark.parametrize(("number", "kept"), [(0.5, np.float16), (1e6, np.float32)])
def test_a_chunk_is_encoded_at_once_and_kept_in_16_bits_where_they_hold(
    number: float, kept: type
) -> None:
    model = Rows(number)
    encoder = VideoXL2Encoder(model, "f")
    groups = encoder.encode([frames_of(6, 4), frames_of(7, 4), frames_of(8, 2)], [[], [], []])
    assert model.seen == (10, 8, 8, 3)
    assert [group.time_text for group in groups] == ["Time 24.0s:", "Time 28.0s:", "Time 32.0s:"]
    assert [(group.start_s, group.end_s) for group in groups] == [(24, 28), (28, 32), (32, 34)]
    for index, group in enumerate(groups):
        assert group.rows is not None
        assert (group.rows.dtype, group.rows.shape) == (kept, (144, 6))
        assert (group.rows == number + index).all()
    np.testing.assert_allclose(encoder.pooled(groups), np.full(6, 6**-0.5), rtol=1e-6)
    for sizes in ((4, 2, 4), (5,)):
        with pytest.raises(UsageError, match="groups of 4 frames"):
            encoder.encode([frames_of(i, n) for i, n in enumerate(sizes)], [[]] * len(sizes))


def test_the_stored_kv_is_that_of_the_model_alone(
    open_session: OpenSession, long_clip: Path, tiny_videoxl2: Path
) -> None:
    """Rows in 16 bits, a store between, chunk by chunk: KV as frames in one go give it."""
    session = open_session(encoder="videoxl2", prefill={"kv_dtype": "float32"})
    video = session.ingest(long_clip)
    model = VideoXL2.from_pretrained(tiny_videoxl2, device="cpu")
    batches = list(sample(probe(long_clip), SamplingPlan()))
    frames = [
        (image, float(time_s))
        for batch in batches
        for image, time_s in zip(batch.images, batch.times_s, strict=True)
    ]
    kv = model.prefill(model.encode_stream(frames))
    assert kv.num_groups == 18
    assert kv.segments == 1
    stored = kv_of(session, video.video_id)
    assert stored.keys() == {-1, 0, 1, 2, 3, 4}
    for index in range(5):
        span = (4 * index, min(4 * index + 4, 18))
        pooled = kv.pooled_part(*span, 4)
        alone = kv.part(*span) | {f"pooled.{name}": array for name, array in pooled.items()}
        assert stored[index].keys() == alone.keys()
        for name, array in stored[index].items():
            expected = alone[name].numpy()
            atol = 2e-3 * np.abs(expected).max() if name.endswith(("keys", "values")) else 0
            np.testing.assert_allclose(array, expected, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("kv_dtype", "stored"),
    [(None, np.float16), ("float32", np.float32), ("int8", np.int8)],
)
def test_kv_is_kept_in_the_type_of_the_settings(
    open_session: OpenSession, long_clip: Path, kv_dtype: str | None, stored: type
) -> None:
    prefill = {"kv_dtype": kv_dtype} if kv_dtype else {}
    session = open_session(encoder="videoxl2", prefill=prefill)
    video = session.ingest(long_clip)
    part = kv_of(session, video.video_id)[2]
    assert part["keys"].dtype == part["values"].dtype == stored
    assert ("key_scales" in part) is (stored is np.int8)
    again = open_session(encoder="videoxl2", prefill=prefill).ask("Is there a cut?", video)
    assert again.coverage.tier == "kv"
    assert again.text == session.ask("Is there a cut?", video).text


def test_eight_bits_are_near_sixteen(
    open_session: OpenSession, asked_stores: dict[str, Path], long_clip: Path
) -> None:
    session = open_session(asked_stores["videoxl2"], encoder="videoxl2")
    packed = open_session(encoder="videoxl2", prefill={"kv_dtype": "int8"})
    video = packed.ingest(long_clip)
    half = session._kv.of(video).read().part(8, 12, torch.float32)
    eight = packed._kv.of(video).read().part(8, 12, torch.float32)
    for name in ("keys", "values"):
        assert not torch.equal(eight[name], half[name])
        torch.testing.assert_close(
            eight[name], half[name], atol=0.05 * float(half[name].abs().max()), rtol=0
        )


# Which chunks are read whole


@pytest.mark.parametrize(
    ("ask", "dense", "reading"),
    [
        ({}, {0, 4}, "chunks by search and both ends whole, the others pooled by 4"),
        ({"relevance": "all"}, {0, 1, 2, 3, 4}, "every chunk whole"),
        ({"context": "dense"}, {0, 1, 2, 3, 4}, "every chunk whole"),
        ({"relevance": "none"}, {0, 4}, "no chunk and both ends whole, the others pooled by 4"),
        (
            {"relevance": "attention", "keep_ends": False, "sparse": "time_only"},
            set(),
            "chunks by attention whole, the others as their times alone",
        ),
    ],
)
def test_settings_choose_what_is_read_whole(
    open_session: OpenSession,
    asked_stores: dict[str, Path],
    ask: dict[str, object],
    dense: set[int],
    reading: str,
) -> None:
    store = asked_stores["videoxl2"]
    session = open_session(store, encoder="videoxl2", ask={**ASK, **ask})
    coverage = session.ask("Is there a cut?").coverage
    assert coverage.reading == reading
    assert dense <= set(coverage.dense_chunks)
    chosen = set(coverage.dense_chunks) - dense
    assert len(chosen) <= (0 if ask.get("relevance") in ("all", "none") else 2)
    assert len(coverage.dense_chunks) < 5 or reading == "every chunk whole"


def test_the_caller_may_name_the_chunks(
    open_session: OpenSession, asked_stores: dict[str, Path]
) -> None:
    session = open_session(
        asked_stores["videoxl2"], encoder="videoxl2", ask={**ASK, "keep_ends": False}
    )
    answer = session.ask("Is there a cut?", chunks=[3, 1, 3])
    assert answer.coverage.dense_chunks == (1, 3)
    assert answer.coverage.reading == "chunks by the caller whole, the others pooled by 4"
    with pytest.raises(UnknownChunkError, match="no chunk 5: the video has chunks 0 to 4"):
        session.ask("Is there a cut?", chunks=[5])


def test_tokens_are_those_of_the_mixed_cache(
    open_session: OpenSession, asked_stores: dict[str, Path]
) -> None:
    """System text and dense chunks whole, 36 of 144 rows of the other groups, the question."""
    session = open_session(asked_stores["videoxl2"], encoder="videoxl2", ask=ASK)
    (video,) = session.videos()
    coverage = session.ask("Is there a cut?", chunks=[1]).coverage
    assert coverage.dense_chunks == (0, 1, 4)
    model = session._engine.model
    expected = len(model.system_ids("You are a helpful assistant."))
    for group in session._store.groups(video.video_id, rows=False):
        whole = group.index // 4 in coverage.dense_chunks
        expected += len(model.encode(group.time_text))
        expected += TOKENS_PER_GROUP if whole else TOKENS_PER_GROUP // 4
    assert coverage.tokens == expected + len(model.question_ids("Is there a cut?"))


@pytest.mark.parametrize("relevance", ["search", "attention"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_budget_of_tokens_is_kept(
    open_session: OpenSession, asked_stores: dict[str, Path], encoder: str, relevance: str
) -> None:
    asked = {name: value for name, value in ASK.items() if name != "k"}
    asked |= {"relevance": relevance, "keep_ends": False}
    store = asked_stores[encoder]
    session = open_session(store, encoder=encoder)
    (video,) = session.videos()
    sizes = session._kv.of(video).tokens()
    kv = session._kv.of(video).read()
    assert sizes == [
        sum(len(kv.group(g).rows) for g in range(4 * c, min(4 * c + 4, 18)))  # type: ignore[union-attr]  # all were read
        for c in range(5)
    ]
    few = 0
    for budget in ({"budget_tokens": sum(sizes[:2])}, {"budget_share": 0.5}, {"budget_share": 1.0}):
        of_budget = open_session(store, encoder=encoder, ask={**asked, **budget})
        dense = of_budget.ask("Is there a cut?").coverage.dense_chunks
        limit = budget.get("budget_tokens") or budget["budget_share"] * sum(sizes)
        assert 0 < sum(sizes[index] for index in dense) <= limit
        assert len(dense) >= few
        few = len(dense)


def test_only_one_budget_may_be_given() -> None:
    with pytest.raises(UsageError, match="give one of k, budget_tokens and budget_share"):
        Settings.load(ask={"budget_tokens": 100, "budget_share": 0.5})
    with pytest.raises(UsageError, match="give one of k"):
        Settings.load(ask={"k": 3, "budget_share": 0.5})
    assert Settings.load(ask={"budget_share": 0.5}).ask.k == 4


def test_chunks_that_came_since_are_no_part_of_the_ranking() -> None:
    chunks = [Chunk("v", i, 16.0 * i, 16.0 * i + 16, 4 * i, 4) for i in range(2)]
    hits = of_scores(chunks, [0.1, 0.2, 0.3, 0.0, 0.1, 0.5, 0.1, 0.1, 9.0, 9.0], 4)
    assert [(hit.chunk.index, hit.score) for hit in hits] == [(1, 0.5), (0, 0.3)]


# Answers that no note can be held against


def test_without_notes_it_answers_from_the_pictures(
    open_session: OpenSession, asked_stores: dict[str, Path], says: Callable[[str], None]
) -> None:
    says("A white square moves.")
    ask = {**ASK, "max_citations": 2}
    session = open_session(asked_stores["pictures"], encoder="videoxl2", ask=ask)
    (video,) = session.videos()
    assert session.notes(video) == []
    answer = session.ask("What is moving?")
    assert (answer.text, answer.supported) == ("A white square moves.", None)
    assert len(answer.citations) == 2
    starts_s = {chunk.start_s for chunk in session._store.chunks(video.video_id)}
    for cite in answer.citations:
        assert cite.why == "seen: the model looks here for this question; no note says it"
        assert cite.start_s in starts_s
        assert round(cite.start_s / 16) in answer.coverage.dense_chunks
    assert answer.coverage.reading.startswith("chunks by attention")


def test_what_the_notes_lack_is_not_called_supported(
    open_session: OpenSession, asked_stores: dict[str, Path], says: Callable[[str], None]
) -> None:
    session = open_session(asked_stores["videoxl2"], encoder="videoxl2", ask=ASK)
    says("It is behind the square.")
    assert session.ask("Where is the submarine?").supported is None
    says("The video does not mention it.")
    refused = session.ask("Where is the submarine?")
    assert (refused.supported, refused.citations) == (False, ())
    assert "Nothing in the notes of this video supports an answer" in refused.text


def test_a_time_without_notes_is_looked_at(
    open_session: OpenSession, asked_stores: dict[str, Path], says: Callable[[str], None]
) -> None:
    says("A square.")
    ask = {**ASK, "keep_ends": False}
    session = open_session(asked_stores["pictures"], encoder="videoxl2", ask=ask)
    answer = session.ask("What happens at 0:20?")
    assert answer.coverage.dense_chunks == (1,)
    assert [cite.start_s for cite in answer.citations] == [16.0]
    outside = session.ask("What happens at 1:30?")  # 70 s long
    assert (outside.supported, outside.citations) == (False, ())


def test_the_video_model_reads_times_in_seconds(
    open_session: OpenSession, asked_stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, list[tuple[str, str]]]] = []
    real = LanguageModel.question_ids

    def question_ids(self: LanguageModel, text: str, history: list[tuple[str, str]]) -> list[int]:
        asked.append((text, list(history)))
        return real(self, text, history)

    monkeypatch.setattr(LanguageModel, "question_ids", question_ids)
    for encoder in ENCODERS:
        session = open_session(asked_stores[encoder], encoder=encoder)
        session.ask("Is there a cut at 00:20?", history=[("At 00:10?", "A cut.")])
    (lines, before), (bare, turns) = asked
    assert lines.endswith("Question: Is there a cut at 00:20?")
    assert before == [("At 00:10?", "A cut.")]
    assert bare == "Is there a cut at 20 seconds?"  # no instruction, no lines: it sees
    assert turns == [("At 10 seconds?", "A cut.")]


def test_the_next_question_reads_no_cache_again(
    open_session: OpenSession, asked_stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(asked_stores["videoxl2"], encoder="videoxl2")
    first = session.ask("Is there a cut?")
    read = reads(monkeypatch)
    assert session.ask("Is there a cut?").text == first.text
    assert read == []
    session._kv.last.forget()
    assert session.ask("Is there a cut?").text == first.text
    assert [index for index, _ in read] == [-1, 0, 1, 2, 3, 4]


def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Return what will list the parts that are read: index, and whether it is the pooled form."""
    read: list[tuple[int, bool]] = []
    real = StoredKV._read

    def listed(self: StoredKV, index: int, names: Sequence[str] | None) -> dict[str, torch.Tensor]:
        read.append((index, any(name.startswith("pooled.") for name in names or ())))
        return real(self, index, names)

    monkeypatch.setattr(StoredKV, "_read", listed)
    return read


@pytest.mark.parametrize("kv_dtype", ["float32", "float16", "int8"])
def test_a_question_reads_what_it_looks_at_whole_and_the_rest_pooled(
    open_session: OpenSession, long_clip: Path, monkeypatch: pytest.MonkeyPatch, kv_dtype: str
) -> None:
    session = open_session(
        encoder="videoxl2", prefill={"kv_dtype": kv_dtype}, ask={"max_new_tokens": 4}
    )
    video = session.ingest(long_clip)

    def assembled(dense: tuple[int, ...]) -> DecodeCache:
        engine = session._engine
        given = (session._kv, video, engine.rules, session._settings.ask, 4, StageClock())
        return Reading(*given).assembled(dense, room=1)

    read = reads(monkeypatch)
    got = assembled((1, 3))
    whole = [(index, False) for index in (1, 3)]
    system = (-1, False)
    assert sorted(read) == sorted([system, *((i, True) for i in range(5)), system, *whole])
    read.clear()
    assembled((2,))  # the averages are in memory by now
    assert sorted(read) == [system, (2, False)]
    monkeypatch.setattr(Reading, "_is_kept_pooled", lambda self, dense: False)
    read.clear()
    wanted = assembled((1, 3))
    assert not any(is_pooled for _, is_pooled in read)
    near = {"float32": 1e-5, "float16": 2**-10, "int8": 3 / 127}[kv_dtype]
    for layer in range(2):
        for name in ("keys", "values"):
            ours, theirs = getattr(got, name)(layer), getattr(wanted, name)(layer)
            atol = near * float(theirs.abs().max())
            torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


def test_another_step_than_the_kept_one_reads_all_whole(
    open_session: OpenSession, asked_stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(
        asked_stores["videoxl2"], encoder="videoxl2", ask={"pool_step": 8, "k": 1, "min_score": 0.2}
    )
    read = reads(monkeypatch)
    assert session.ask("Is there a cut?").coverage.tier == "kv"
    assert not any(is_pooled for _, is_pooled in read)


# What may be wrong


def test_beyond_its_range_the_video_model_warns_and_runs(
    open_session: OpenSession,
    long_clip: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As the reference does; a model that reads notes was never meant for it."""
    short = write_tiny_videoxl2(tmp_path / "short", max_position_embeddings=512)
    session = open_session(encoder="videoxl2", videoxl2_path=short)
    session.ingest(long_clip)
    assert session.ask("Is there a cut?").coverage.tokens > 512
    assert "are more than the 512 that the language model was trained for" in caplog.text
    few = write_tiny_checkpoint(tmp_path / "few", max_position_embeddings=512)
    notes = open_session(language_model=str(few), ask={**ASK, "context": "dense"})
    notes.ingest(long_clip)
    with pytest.raises(RoomError, match="positions of 512"):
        notes.ask("Is there a cut?")


@pytest.mark.parametrize(
    ("settings", "would_do"),
    [
        ({}, "videoxl2_weights = 'model' with prefill.kv_dtype = 'int8' would do; "),
        ({"prefill": {"kv_dtype": "int8"}}, ""),
    ],
)
def test_a_video_that_the_gpu_cannot_hold_is_refused_before_work_starts(
    open_session: OpenSession,
    long_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    would_do: str,
) -> None:
    session = open_session(encoder="videoxl2", **settings)
    config = session._engine.video_model.config
    load = room.workload(session._settings, session._engine.rules, probe(long_clip), 70)
    kinds = ("int8", "model") if would_do else ("int8",)
    needs = [
        memory.plan_of(config, memory.Setting("model", kv, batch_frames=16), load, 0).peak_bytes
        for kv in kinds
    ]
    between = sum(needs) // 2 if would_do else needs[0] - 1
    monkeypatch.setattr(Engine, "_device_bytes", between)
    with pytest.raises(RoomError, match="more tokens than memory allows") as error:
        session.ingest(long_clip)
    assert str(error.value).startswith(str(long_clip))
    assert f"{would_do}`--max-frames` looks at fewer" in str(error.value)
    assert session.videos() == []
    monkeypatch.setattr(Engine, "_device_bytes", max(needs))
    assert session.ingest(long_clip).state == "ready"


def test_groups_of_another_size_are_refused(open_session: OpenSession, long_clip: Path) -> None:
    session = open_session(encoder="videoxl2")
    with pytest.raises(UsageError, match="videoxl2 takes groups of 4 frames"):
        session.ingest(long_clip, SamplingPlan(frames_per_group=3))


def test_a_broken_checkpoint_is_said_before_anything_is_stored(
    open_session: OpenSession, long_clip: Path, tmp_path: Path
) -> None:
    folder = write_tiny_videoxl2(tmp_path / "cut")
    (weights,) = folder.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    session = open_session(encoder="videoxl2", videoxl2_path=folder)
    with pytest.raises(CheckpointError):
        session.ingest(long_clip)
    assert session.videos() == []


# The command line


@pytest.fixture
def command(
    tmp_path: Path, tiny_videoxl2: Path, word_embedder: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run a command line on a settings file that names both models."""
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("agentkit.engine.Engine.embedder", word_embedder)
    file = tmp_path / "agentkit.toml"
    file.write_text(
        f'videoxl2_path = "{tiny_videoxl2}"\nstore = "store"\n'
        '[notes]\ninstruments = ["shots", "motion"]\n[ask]\nmax_new_tokens = 4\nmin_score = 0.2\n'
    )
    return lambda *words: main(["--config", str(file), *words])


def test_ask_encoder_videoxl2_prints_a_cited_answer(
    command: Callable[..., int], long_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("ingest", str(long_clip), "--encoder", "videoxl2") == 0
    capsys.readouterr()
    assert command("ask", "Is there a cut?", "--encoder", "videoxl2", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["question"] == "Is there a cut?"
    assert answer["citations"]
    assert answer["coverage"]["engine"].startswith(
        "videoxl2/its own (asked for; its weights are in"
    )
    assert answer["coverage"]["reading"].startswith("chunks by search and both ends whole")
    assert answer["coverage"]["tier"] == "kv"
    assert command("ask", "Is there a cut?", "--encoder", "videoxl2") == 0
    said = capsys.readouterr()
    assert "[long.mp4 00:" in said.out
    assert "read: chunks by search and both ends whole, the others pooled by 4\n" in said.err
    assert command("ask", "Is there a cut?", "--encoder", "notes") == 1
    refused = capsys.readouterr().err
    assert refused.startswith("error: ")
    assert "ingested with another encoder or other weights than notes" in refused
    assert refused.count("\n") == 1


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no Video-XL-2 here (no config.json)"),
        (lambda folder: (folder / "config.json").write_text("{}"), "model_type"),
        (
            lambda folder: next(folder.glob("*.safetensors")).write_bytes(b"short"),
            "safetensors",
        ),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_one_line(
    command: Callable[..., int],
    long_clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Path], object],
    says: str,
) -> None:
    folder = write_tiny_videoxl2(tmp_path / "broken")
    break_it(folder)
    file = tmp_path / "agentkit.toml"
    file.write_text(f'videoxl2_path = "{folder}"\n{file.read_text().split(chr(10), 1)[1]}')
    assert command("ingest", str(long_clip), "--encoder", "videoxl2") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said
    command("doctor", "--encoder", "videoxl2", "--json")
    checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    bad = checks.get("videoxl2 checkpoint", checks["encoder"])
    assert bad["ok"] is False
    assert says in bad["detail"]
    assert bad["remedy"]


def test_doctor_says_what_runs(
    command: Callable[..., int], tiny_videoxl2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for encoder in ENCODERS:
        command("doctor", "--encoder", encoder, "--json")
        checks = json.loads(capsys.readouterr().out)["checks"]
        found[encoder] = {each["name"]: each["detail"] for each in checks}
    notes, pictures = found["notes"], found["videoxl2"]
    assert pictures["encoder"] == f"videoxl2 (asked for; its weights are in {tiny_videoxl2})"
    assert pictures["language model"] == "videoxl2's own"
    assert pictures["videoxl2 checkpoint"].startswith(f"{tiny_videoxl2}: ")
    assert pictures["reading"] == (
        "chunks by search and both ends whole, the others pooled by 4; KV kept in float16"
    )
    assert notes["reading"] == (
        "chunks by search whole, the others left out; note lines beside the question;"
        " KV kept in float32"
    )
