"""What the notes of one video say near a question: by its words, and by the times that it names.

Knows stored passages; knows no model, no prompt and no answer.
"""

from collections.abc import Collection, Sequence
from functools import cached_property

from agentkit import cues, relevance
from agentkit.note_line import named
from agentkit.retrieval import Passage, Retrieval
from agentkit.terms import content_terms
from agentkit.types import Chunk, Filter, StoredVideo

EVIDENCE_PASSAGES = 4  # lines beside a question, at most
BESIDE = 2  # of them, what else was noted in the chunk of the best one


class Noted:
    """The notes of one video, for one question; of whole chunks, those of `k` at most.

    Of `span_s`, (start, end), or of the chunks in `only`, where they are given: notes elsewhere are
    not looked at.
    """

    def __init__(
        self,
        question: str,
        video: StoredVideo,
        chunks: Sequence[Chunk],
        retrieval: Retrieval,
        k: int,
        span_s: tuple[float, float] | None = None,
        only: Collection[int] = (),
    ) -> None:
        self._question = question
        self._video = video
        self._chunks = chunks
        self._retrieval = retrieval
        self._k = k
        self._span_s = span_s
        self._only = frozenset(only)

    def passages(self) -> list[Passage]:
        """Return what is near the question, from the times that it names where it names any.

        A question that names no subject is about the times it names, or about the whole video; one
        that was asked of chunks is about them, whatever words it has.
        """
        found = self._near_passages()
        if found or not self._only or self.is_elsewhere:
            return found
        return self._of_chunks(sorted(self._only))

    def _near_passages(self) -> list[Passage]:
        if content_terms(cues.without_times(self._question)):
            found = self.near(self._question)
            inside = self.in_named_times(found) if found else []
            return inside or (self._of_named_chunks() if found else []) or found
        if self.spans_s:
            return self._of_named_chunks()
        if self.is_elsewhere:
            return []
        indices = sorted(self._only) or [chunk.index for chunk in self._chunks]
        return self._of_chunks([indices[at] for at in evenly(len(indices), self._k)])

    def near(self, text: str) -> list[Passage]:
        """Return what is near any text, best first."""
        start_s, end_s = self._span_s or (None, None)
        where = Filter((self._video.video_id,), start_s=start_s, end_s=end_s)
        found = self._retrieval.passages(text, where)
        return [p for p in found if not self._only or p.chunk_index in self._only]

    @cached_property
    def spans_s(self) -> list[tuple[float, float]]:
        """The times in the video that the question is about, (start, end): given, or named."""
        if self._span_s is not None:
            return [self._span_s]
        return cues.spans_s(self._question, self._video.duration_s)

    @property
    def is_elsewhere(self) -> bool:
        """The question names a time that is not in the video, and nothing else."""
        without = cues.without_times(self._question)
        return without != self._question and not content_terms(without) and not self.spans_s

    def in_named_times(self, passages: Sequence[Passage]) -> list[Passage]:
        """Return the passages in the times that the question names; all where it names none."""
        spans_s = self.spans_s
        return [
            p
            for p in passages
            if not spans_s or any(p.start_s < end_s and p.end_s > at_s for at_s, end_s in spans_s)
        ]

    def lines(self, passages: Sequence[Passage]) -> str:
        """Return the best passages and what stands beside the first of them, in order of time."""
        near = list({p.text: p for p in reversed(passages)}.values())[::-1]  # each text once
        beside = self._of_chunks([first.chunk_index for first in passages[:1]])
        chosen = {p.key: p for p in [*near[: EVIDENCE_PASSAGES - BESIDE], *beside[:BESIDE]]}
        return "".join(
            f"Time {p.start_s:.1f}s: {named(p.kind, p.text)}\n"
            for p in sorted(chosen.values(), key=lambda p: p.start_s)
        )

    def _of_named_chunks(self) -> list[Passage]:
        """Return all that was noted in the times that the question names."""
        hits = relevance.of_times(self._chunks, self.spans_s)[: self._k]
        return self.in_named_times(self._of_chunks([hit.chunk.index for hit in hits]))

    def _of_chunks(self, indices: Sequence[int]) -> list[Passage]:
        video_id = self._video.video_id
        return [p for index in indices for p in self._retrieval.of_chunk(video_id, index)]


def evenly(count: int, wanted: int) -> list[int]:
    """Return up to `wanted` of 0..count-1, spread evenly, both ends included."""
    if count <= wanted:
        return list(range(count))
    if wanted == 1:
        return [0]
    return sorted({round(i * (count - 1) / (wanted - 1)) for i in range(wanted)})
