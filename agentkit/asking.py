"""One question to one stored video: evidence, prompt, answer, citations.

Knows no frame: what the store keeps is all that a question needs.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from agentkit import cues
from agentkit.citing import CitingConfig, abstains, cite
from agentkit.config import AskSettings
from agentkit.kv_tier import KVTier
from agentkit.note_line import named
from agentkit.plugin_manager import Domain
from agentkit.retrieval import Passage, Retrieval
from agentkit.stages import StageClock
from agentkit.terms import content_terms
from agentkit.types import (
    Answer,
    Citation,
    Coverage,
    Evidence,
    Note,
    OnText,
    Question,
    StoredVideo,
    Turns,
)
from agentkit_storage.errors import DamagedChunkError
from videoxl2_model.config import GenerationSettings, SparseRule
from videoxl2_model.kv_cache import VideoKV

logger = logging.getLogger(__name__)
EVIDENCE_PASSAGES = 4  # lines beside a question, at most
BESIDE = 2  # of them, what else was noted in the chunk of the best one


@dataclass(frozen=True, slots=True)
class Asking:
    """What every question of a session is answered with."""

    settings: AskSettings
    kv: KVTier
    retrieval: Retrieval
    domain: Domain
    engine: str
    chunk_groups: int

    def ask(
        self, question: Question, video: StoredVideo, history: Turns, on_text: OnText
    ) -> Answer:
        """Return the answer with what carries it; `on_text` gets its pieces as they come."""
        return _Asked(self, question, video, history, on_text).answer()


class _Asked:
    """One question on its way to an answer."""

    def __init__(
        self,
        asking: Asking,
        question: Question,
        video: StoredVideo,
        history: Turns,
        on_text: OnText,
    ) -> None:
        self._asking = asking
        self._settings = asking.settings
        self._question = question
        self._video = video
        self._history = history
        self._on_text = on_text
        self._clock = StageClock()
        self._tokens = 0
        self._tier = "kv"

    def answer(self) -> Answer:
        with self._clock.stage("search"):
            passages = self._passages()
            dense = self._dense(passages)
        if not passages:
            return self._finished("", (), (), supported=False, dense=())
        text = self._generate(passages, dense)
        with self._clock.stage("cite"):
            carriers = self._asking.retrieval.passages(f"{self._question.text} {text}", self._ids)
            citations = cite(
                self._question.text,
                text,
                {p.key: p for p in [*self._in_named_times(carriers), *passages]}.values(),
                CitingConfig(self._settings.max_citations, self._settings.max_citation_s),
            )
        supported = bool(citations) and not abstains(text)
        return self._finished(text, passages, citations, supported, dense)

    @property
    def _ids(self) -> list[str]:
        return [self._video.video_id]

    def _passages(self) -> list[Passage]:
        """Return what is near the question, from the times that it names where it names any.

        A question that names no subject is about the times it names, or about the whole video.
        """
        text = self._question.text
        if content_terms(cues.without_times(text)):
            found = self._asking.retrieval.passages(text, self._ids)
            inside = self._in_named_times(found) if found else []
            return inside or (self._of_named_chunks() if found else []) or found
        if self._spans_s:
            return self._of_named_chunks()
        if cues.without_times(text) != text:
            return []  # it names a time that is not in the video, and nothing else
        return self._of_chunks(evenly(self._video.chunks, self._settings.k))

    @property
    def _spans_s(self) -> list[tuple[float, float]]:
        return cues.spans_s(self._question.text, self._video.duration_s)

    def _in_named_times(self, passages: Sequence[Passage]) -> list[Passage]:
        """Return the passages in the times that the question names; all where it names none."""
        spans_s = self._spans_s
        return [
            p
            for p in passages
            if not spans_s or any(p.start_s < end_s and p.end_s > at_s for at_s, end_s in spans_s)
        ]

    def _of_named_chunks(self) -> list[Passage]:
        """Return all that was noted in the times that the question names, of k chunks at most."""
        chunks = self._asking.kv.store.chunks(self._video.video_id)
        spans_s = self._spans_s
        named = [c.index for c in chunks if any(c.start_s < e and c.end_s > b for b, e in spans_s)]
        return self._in_named_times(self._of_chunks(named[: self._settings.k]))

    def _of_chunks(self, indices: Sequence[int]) -> list[Passage]:
        retrieval, video_id = self._asking.retrieval, self._video.video_id
        return [p for index in indices for p in retrieval.of_chunk(video_id, index)]

    def _dense(self, passages: Sequence[Passage]) -> tuple[int, ...]:
        """Return the chunks that stay whole: all, or those that search and domain chose."""
        if self._settings.context == "dense":
            return tuple(range(self._video.chunks))
        hits = self._asking.domain.select_chunks(
            self._question, self._asking.retrieval.hits(passages)
        )
        return tuple(sorted({hit.chunk.index for hit in hits[: self._settings.k]}))

    def _generate(self, passages: Sequence[Passage], dense: tuple[int, ...]) -> str:
        settings = self._settings
        in_kv = () if settings.context == "retrieval" else dense
        with self._clock.stage("read"):
            kv = self._kv(in_kv)
        model = self._asking.kv.model
        prompt = model.question_ids(self._prompt(passages), self._history)
        self._tokens = kv.num_tokens + len(prompt)
        pieces = model.generate(
            kv,
            prompt,
            in_kv,
            chunk_groups=self._asking.chunk_groups,
            sparse=SparseRule("left_out") if settings.context == "retrieval" else self._sparse,
            keep_ends=settings.keep_ends and settings.context != "retrieval",
            settings=GenerationSettings(max_new_tokens=settings.max_new_tokens),
        )
        text = ""
        for piece in self._clock.each("generate", pieces):
            text += piece
            self._on_text(piece)
        return text.strip()

    @property
    def _sparse(self) -> SparseRule:
        return SparseRule(self._settings.sparse, self._settings.pool_step)

    def _kv(self, dense: Collection[int]) -> VideoKV:
        """Return the video's KV, read as far as this question needs it."""
        try:
            return self._stored_kv(dense)
        except DamagedChunkError as error:
            logger.warning("%s; the KV is made anew from its tokens", error)
            kv = self._asking.kv
            kv.store.drop_kv(self._video.video_id, kv.of(self._video).fingerprint)
            return self._stored_kv(dense)

    def _stored_kv(self, dense: Collection[int]) -> VideoKV:
        kv = self._asking.kv.of(self._video)
        if kv.complete():
            self._tier = "tokens"
        if self._settings.context == "retrieval":
            return kv.read(())
        if self._sparse.kind != "left_out":
            return kv.read()
        ends = {0, self._video.chunks - 1} if self._settings.keep_ends else set()
        return kv.read(set(dense) | ends)

    def _prompt(self, passages: Sequence[Passage]) -> str:
        """Return what stands after the video: the evidence, then the question."""
        alone = self._settings.context == "retrieval"
        lines = self._lines(passages) if alone or self._settings.evidence_lines else ""
        return lines + self._asking.domain.user_prompt(self._video, self._question)

    def _lines(self, passages: Sequence[Passage]) -> str:
        """Return the best passages and what stands beside the first of them, in order of time."""
        near = list({p.text: p for p in reversed(passages)}.values())[::-1]  # each text once
        beside = [
            p
            for first in passages[:1]
            for p in self._asking.retrieval.of_chunk(first.video_id, first.chunk_index)
        ]
        chosen = {p.key: p for p in [*near[: EVIDENCE_PASSAGES - BESIDE], *beside[:BESIDE]]}
        return "".join(
            f"Time {p.start_s:.1f}s: {named(p.kind, p.text)}\n"
            for p in sorted(chosen.values(), key=lambda p: p.start_s)
        )

    def _finished(
        self,
        text: str,
        passages: Sequence[Passage],
        citations: tuple[Citation, ...],
        supported: bool,
        dense: tuple[int, ...],
    ) -> Answer:
        evidence = Evidence(
            hits=tuple(self._asking.retrieval.hits(passages)),
            notes=tuple(Note(p.start_s, p.end_s, p.kind, p.text) for p in passages),
            citations=citations,
            coverage=self._coverage(dense),
            supported=supported,
        )
        answer = self._asking.domain.parse_answer(self._question, text, evidence)
        return answer if supported else replace(answer, text=self._unsupported(answer.text))

    def _unsupported(self, text: str) -> str:
        """Return the text with the plain word that nothing in the store carries it."""
        looked = (
            f"Nothing in the notes of this video supports an answer "
            f"({self._frames_seen} frames looked at, one every {self._video.step_s:.1f} s)."
        )
        added = f" {looked}" if text else looked
        self._on_text(added)
        return f"{text}{added}"

    @property
    def _frames_seen(self) -> int:
        """Frames of the chunks that are stored by now."""
        chunk_frames = 4 * self._asking.chunk_groups
        return min(self._video.frames_seen, self._video.chunks * chunk_frames)

    @property
    def _missing(self) -> tuple[str, ...]:
        if self._video.state == "ready":
            return self._video.missing
        chunks = self._asking.kv.store.chunks(self._video.video_id)
        until_s = chunks[-1].end_s if chunks else 0.0
        return (*self._video.missing, f"ingest: not finished, seen until {until_s:.0f} s")

    def _coverage(self, dense: tuple[int, ...]) -> Coverage:
        video = self._video
        return Coverage(
            engine=self._asking.engine,
            frames_seen=self._frames_seen,
            frames_in_file=video.frames_in_file,
            step_s=round(video.step_s, 3),
            dense_chunks=dense,
            chunks=video.chunks,
            tokens=self._tokens,
            instruments=video.instruments,
            missing=self._missing,
            seconds={name: round(spent, 3) for name, spent in self._clock.seconds.items()},
            tier=self._tier,
        )


def evenly(count: int, wanted: int) -> list[int]:
    """Return up to `wanted` of 0..count-1, spread evenly, both ends included."""
    if count <= wanted:
        return list(range(count))
    if wanted == 1:
        return [0]
    return sorted({round(i * (count - 1) / (wanted - 1)) for i in range(wanted)})
