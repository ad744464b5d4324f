"""One question to one stored video: evidence, prompt, answer, citations.

Knows no frame: what the store keeps is all that a question needs.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from agentkit import relevance
from agentkit.citing import CitingConfig, abstains, cite, cite_looked_at, share_words
from agentkit.config import AskSettings
from agentkit.kv_tier import KVTier
from agentkit.noted import Noted
from agentkit.plugin_manager import Domain
from agentkit.reading import Reading
from agentkit.request import Request
from agentkit.retrieval import Passage, Retrieval
from agentkit.rules import Rules, in_words
from agentkit.stages import StageClock
from agentkit.types import (
    Answer,
    ChunkHit,
    Citation,
    Coverage,
    Evidence,
    Note,
    Question,
    StoredVideo,
)
from videoxl2_model.config import GenerationSettings


@dataclass(frozen=True, slots=True)
class Asking:
    """What every question of a session is answered with."""

    settings: AskSettings
    rules: Rules
    kv: KVTier
    retrieval: Retrieval
    domain: Domain
    generation: GenerationSettings  # the model's own
    encoder: str
    engine: str
    chunk_groups: int

    def ask(self, question: Question, video: StoredVideo, request: Request) -> Answer:
        """Return the answer with what carries it.

        Raises:
            DamagedChunkError: the video's tokens had to be read, and are damaged.
            RemadeError: another process made the video anew with other settings meanwhile.
        """
        return _Asked(self, question, video, request).answer()


class _Asked:
    """One question on its way to an answer."""

    def __init__(
        self, asking: Asking, question: Question, video: StoredVideo, request: Request
    ) -> None:
        self._asking = asking
        self._settings, self._rules = asking.settings, asking.rules
        self._question = question
        self._video = video
        self._history = request.history
        self._on_text = request.on_text
        self._said = request.chunks
        self._span_s = request.span_s
        self._clock = StageClock()
        if request.frames_s is not None:
            self._clock.seconds["frames"] = request.frames_s
        # Before anything else is read: what was made anew since then is noticed by it.
        self._kv = self._reading_of(video, "kv" if request.frames_s is None else "frames")
        self._chunks = asking.kv.store.chunks(video.video_id)
        if self._said is not None:
            relevance.of_indices(self._chunks, self._said)  # an unknown one is refused first
        self._noted = Noted(
            question.text,
            video,
            self._chunks,
            asking.retrieval,
            asking.settings.k,
            request.span_s,
            self._said or (),
        )
        self._tokens = 0
        self._reading = ""  # how, in words, once it is known

    def _reading_of(self, video: StoredVideo, tier: str) -> Reading:
        asking = self._asking
        rules, settings = self._rules, self._settings
        return Reading(asking.kv, video, rules, settings, asking.chunk_groups, self._clock, tier)

    def answer(self) -> Answer:
        with self._clock.stage("search"):
            passages = self._noted.passages()
        self._kv.require_same()  # else a video that is being made anew would seem to hold nothing
        if self._has_nothing(passages):
            return self._finished("", (), (), (), supported=False, dense=())
        hits = self._relevant(passages)
        dense = self._with_ends(hits)
        text = self._generate(passages, dense)
        with self._clock.stage("cite"):
            citations, supported = self._carried(text, passages, hits)
        return self._finished(text, passages, hits, citations, supported, dense)

    def _has_nothing(self, passages: Sequence[Passage]) -> bool:
        """Say whether there is nothing to answer from: no note, and no picture either."""
        if passages:
            return False
        shown = self._rules.sees_pictures and self._settings.context != "retrieval"
        return not shown or self._noted.is_elsewhere or not self._video.chunks

    def _carried(
        self, text: str, passages: Sequence[Passage], hits: Sequence[ChunkHit]
    ) -> tuple[tuple[Citation, ...], bool | None]:
        """Return what carries the answer, and whether it does; None where no note can say."""
        config = CitingConfig(self._settings.max_citations, self._settings.max_citation_s)
        if not passages:
            return ((), False) if abstains(text) else (self._seen(hits, config), None)
        carriers = self._noted.near(f"{self._question.text} {text}")
        near = [*self._noted.in_named_times(carriers), *passages]
        citations = cite(self._question.text, text, {p.key: p for p in near}.values(), config)
        if abstains(text) or not citations:
            return citations, False
        # What the caller had read may have nothing to do with the words: then it is not judged.
        judged = self._said is None or share_words(self._question.text, text, near)
        return citations, True if judged else None

    def _seen(self, hits: Sequence[ChunkHit], config: CitingConfig) -> tuple[Citation, ...]:
        """Return where the model looked: what an answer has that no note can be held against."""
        whole = {hit.chunk.index for hit in hits}
        looked_at = [hit for hit in self._looked_at if not whole or hit.chunk.index in whole]
        return cite_looked_at(looked_at, config)

    def _relevant(self, passages: Sequence[Passage]) -> list[ChunkHit]:
        """Return the chunks that stay whole, best first, and keep in words what chose them."""
        by, hits = self._ranked(passages)
        self._reading = in_words(self._rules, self._settings, by)
        if by in ("all", "none", relevance.CALLER):
            return hits
        hits = self._asking.domain.select_chunks(self._question, hits)
        return relevance.within_budget(
            hits, self._settings, self._kv.chunk_tokens, keep_ends=self._kv.keeps_ends
        )

    def _ranked(self, passages: Sequence[Passage]) -> tuple[str, list[ChunkHit]]:
        """Return what ranks the chunks, and the chunks, best first.

        Where no note is near, search gives way to the times that the question names, then to
        where the model looks.
        """
        by, chunks = self._settings.relevance, self._chunks
        if self._said is not None:
            return relevance.CALLER, relevance.of_indices(chunks, self._said)
        if by == "all" or self._settings.context == "dense":
            return "all", relevance.of_indices(chunks, range(len(chunks)))
        if by == "none":
            return by, []
        if by == "search" and passages:
            return by, self._asking.retrieval.hits(passages)
        if by == "search" and self._noted.spans_s:
            return relevance.TIMES, relevance.of_times(chunks, self._noted.spans_s)
        return "attention", self._looked_at

    @cached_property
    def _looked_at(self) -> list[ChunkHit]:
        """All chunks, those first that the question's attention falls on."""
        scores = self._kv.scores(self._question.text)
        hits = relevance.of_scores(self._chunks, scores, self._asking.chunk_groups)
        if self._span_s is None:
            return hits
        inside = {hit.chunk for hit in relevance.of_times(self._chunks, [self._span_s])}
        return [hit for hit in hits if hit.chunk in inside]

    def _with_ends(self, hits: Sequence[ChunkHit]) -> tuple[int, ...]:
        """Return the indices of the chunks that are read whole."""
        ends = {0, self._video.chunks - 1} if self._kv.keeps_ends else set()
        return tuple(sorted({hit.chunk.index for hit in hits} | ends))

    def _generate(self, passages: Sequence[Passage], dense: tuple[int, ...]) -> str:
        model, as_read = self._asking.kv.model, self._kv.as_read
        turns = [(as_read(asked), as_read(answered)) for asked, answered in self._history]
        prompt = model.question_ids(as_read(self._prompt(passages)), turns)
        longest = self._settings.max_new_tokens
        cache = self._kv.assembled(dense, len(prompt) + longest)
        self._tokens = cache.length + len(prompt)
        settings = replace(self._asking.generation, max_new_tokens=longest)
        text = ""
        for piece in self._clock.each("generate", model.answer(cache, prompt, settings)):
            text += piece
            self._on_text(piece)
        return text.strip()

    def _prompt(self, passages: Sequence[Passage]) -> str:
        """Return what stands after the video: the evidence, then the question."""
        alone = self._settings.context == "retrieval"
        lines = self._noted.lines(passages) if alone or self._rules.evidence_lines else ""
        asking = self._asking
        return lines + asking.domain.user_prompt(self._video, self._question, asking.encoder)

    def _finished(
        self,
        text: str,
        passages: Sequence[Passage],
        hits: Sequence[ChunkHit],
        citations: tuple[Citation, ...],
        supported: bool | None,
        dense: tuple[int, ...],
    ) -> Answer:
        evidence = Evidence(
            hits=tuple(self._asking.retrieval.hits(passages) or hits),
            notes=tuple(Note(p.start_s, p.end_s, p.kind, p.text) for p in passages),
            citations=citations,
            coverage=self._coverage(dense),
            supported=supported,
        )
        domain = self._asking.domain
        answer = domain.parse_answer(self._question, text, evidence)
        answer = replace(answer, findings=tuple(domain.check_answer(answer, evidence)))
        if supported is not False:
            return answer
        return replace(answer, text=self._unsupported(answer.text))

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
        until_s = self._chunks[-1].end_s if self._chunks else 0.0
        how = f"agentkit ingest {shlex.quote(self._video.path)}"
        line = f"ingest: not finished, seen until {until_s:.0f} s; {how} goes on there"
        return (*self._video.missing, line)

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
            tier=self._kv.tier,
            reading=self._reading,
        )
