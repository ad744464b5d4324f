"""Question to chunks: vectors and exact words over what the store keeps, fused by rank.

Knows the store and the embedder; knows no language model and no frame.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkit import cues
from agentkit.terms import content_terms, words
from agentkit.types import Chunk, ChunkHit, Embedder, Filter
from agentkit_storage import Hit, Store
from agentkit_storage.errors import UnknownVideoError

# Reciprocal rank fusion's usual constant (Cormack, Clarke and Buettcher, SIGIR 2009).
RRF_CONSTANT = 60
TEXT_SPACE = "text"
EVERYWHERE = Filter()
SEEN = ("objects", "colours")  # kinds of passages that name things

PassageKey = tuple[str, int, float, float, str, str]


def visual_space(encoder: str, weights: str) -> str:
    """Return the space of pooled chunk vectors; those of two encoders or models never meet."""
    return f"visual-{encoder}-{weights[:8]}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored piece of text near a question; `near` is its cosine, `words` the share it holds."""

    video_id: str
    chunk_index: int
    start_s: float
    end_s: float
    kind: str
    text: str
    near: float = 0.0
    words: float = 0.0
    score: float = 1.0  # fused, 0..1: 1 is first in both lists

    @property
    def key(self) -> PassageKey:
        """What makes two passages the same one."""
        return (self.video_id, self.chunk_index, self.start_s, self.end_s, self.kind, self.text)


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """What is near enough to be evidence; chosen by docs/answers.md.

    `min_near`: the cosine that a passage needs on its own; `min_near_of_kind`: the same for what
    the question points at, speech, text on screen or a thing that it names; `min_near_of_topic`:
    the same where the question is about something that the passage does not name; `min_words`:
    the share of the question's terms that lets a passage in whatever its cosine.
    """

    min_near: float = 0.33
    min_near_of_kind: float = 0.25
    min_near_of_topic: float = 0.5
    min_words: float = 0.5
    pool: int = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question points at."""

    kinds: frozenset[str]
    subjects: tuple[str, ...]
    things: tuple[str, ...]
    topic: tuple[str, ...]  # what stands after "about": "what does she say about the harvest?"

    @classmethod
    def of(cls, text: str) -> "Asked":
        text = cues.without_times(text)
        terms = content_terms(text)
        terms += ["who"] if "who" in words(text) else []
        subjects = cues.subjects(terms)
        topic = content_terms(text.partition(" about ")[2]) if cues.kinds(terms) else []
        return cls(cues.kinds(terms), tuple(subjects), tuple(cues.things(subjects)), tuple(topic))

    @property
    def query(self) -> str:
        """The words to look for, with the names under which notes would have them."""
        return " ".join(sorted({name for term in self.subjects for name in cues.reported_as(term)}))

    def rules_out(self, passage: Hit) -> bool:
        """Say whether what is seen cannot be evidence: it has none of the things asked for.

        A thing that the object detector knows and did not report is not there, however near the
        sentences are: "how many elephants cross the road" is near to any street.
        """
        return (
            passage.kind in SEEN
            and bool(self.things)
            and not cues.may_show(self.things, passage.text)
        )

    def is_for(self, kind: str) -> bool:
        """Say whether the question is about all of a kind: "what does the speaker say?"."""
        return kind in self.kinds and not set(self.subjects) - set(self.things)


class Retrieval:
    """Searches one store with one embedder."""

    def __init__(self, store: Store, embedder: Embedder, config: RetrievalConfig) -> None:
        self._store = store
        self._embedder = embedder
        self._config = config
        store.use_space(TEXT_SPACE, embedder.fingerprint, embedder.size)

    def passages(self, text: str, where: Filter = EVERYWHERE) -> list[Passage]:
        """Return the passages near enough to `text`, best first; none where nothing is."""
        asked = Asked.of(text)
        vector = self._embedder.embed([text])[0]
        near = self._store.search_vectors(TEXT_SPACE, vector, self._config.pool, where)
        exact = self._store.search_words(asked.query, self._config.pool, where)
        cosine = {_key(hit): hit.score for hit in near}
        scores = _fuse([_key(hit) for hit in near], [_key(hit) for hit in exact])
        found = {_key(hit): hit for hit in [*near, *exact] if not asked.rules_out(hit)}
        passages = [
            Passage(*key, cosine.get(key, 0.0), cues.share(asked.subjects, hit.text), scores[key])
            for key, hit in found.items()
        ]
        kept = [passage for passage in passages if self._is_evidence(passage, asked)]
        return sorted(kept, key=lambda p: (-p.score, p.video_id, p.start_s))

    def search(self, text: str, where: Filter = EVERYWHERE, k: int = 10) -> list[ChunkHit]:
        """Return up to `k` chunks with the passage that brought each, best first."""
        return self.hits(self.passages(text, where))[:k]

    def hits(self, passages: Sequence[Passage]) -> list[ChunkHit]:
        """Return each chunk once, with its best passage, in the order of `passages`."""
        best: dict[tuple[str, int], Passage] = {}
        for passage in passages:
            best.setdefault((passage.video_id, passage.chunk_index), passage)
        chunks = self._chunks({video for video, _ in best})
        return [
            ChunkHit(
                chunk,
                round(passage.score, 4),
                f"{passage.kind}: {passage.text}",
                (passage.start_s, passage.end_s),
            )
            for key, passage in best.items()
            if (chunk := chunks.get(key)) is not None
        ]

    def _chunks(self, video_ids: Iterable[str]) -> dict[tuple[str, int], Chunk]:
        """Return the chunks of videos; none of one that was removed since it was found."""
        chunks: dict[tuple[str, int], Chunk] = {}
        for video_id in video_ids:
            with contextlib.suppress(UnknownVideoError):
                chunks |= {(video_id, each.index): each for each in self._store.chunks(video_id)}
        return chunks

    def of_chunk(self, video_id: str, index: int) -> list[Passage]:
        """Return all passages of one chunk, for a question about the whole video."""
        return [Passage(*_key(hit)) for hit in self._store.segments(video_id, index)]

    def similar(
        self, video_id: str, at_s: float, space: str, k: int, where: Filter = EVERYWHERE
    ) -> list[ChunkHit]:
        """Return the chunks whose pooled vector is nearest to that of the chunk at a time."""
        chunks = self._store.chunks(video_id)
        if not chunks:
            return []
        here = next((c for c in chunks if c.start_s <= at_s < c.end_s), chunks[-1])
        vector = self._store.chunk_vector(video_id, here.index, space)
        if vector is None:
            return []
        found = self._store.search_vectors(space, vector, k + 1, where)
        others = [h for h in found if (h.video_id, h.chunk_index) != (video_id, here.index)]
        known = self._chunks({hit.video_id for hit in others})
        return [
            ChunkHit(
                chunk,
                round(hit.score, 4),
                "like the chunk asked about",
                (hit.start_s, hit.end_s),
            )
            for hit in others[:k]
            if (chunk := known.get((hit.video_id, hit.chunk_index))) is not None
        ]

    def _is_evidence(self, passage: Passage, asked: Asked) -> bool:
        config = self._config
        if asked.topic and not cues.share(asked.topic, passage.text):
            return passage.near >= config.min_near_of_topic
        if asked.is_for(passage.kind):
            return True
        shown = passage.kind in SEEN and cues.may_show(asked.things, passage.text)
        if passage.kind == "colours" and not (shown or passage.words):
            return False  # two words are too few for a cosine to mean anything
        pointed_at = shown or passage.kind in asked.kinds
        enough = config.min_near_of_kind if pointed_at else config.min_near
        return passage.near >= enough or passage.words >= config.min_words


def _key(hit: Hit) -> PassageKey:
    return (hit.video_id, hit.chunk_index, hit.start_s, hit.end_s, hit.kind, hit.text)


def _fuse(*rankings: Sequence[PassageKey]) -> dict[PassageKey, float]:
    """Return reciprocal rank fusion scores, 1 for first in every ranking that is not empty."""
    used = [ranking for ranking in rankings if ranking]
    scores: dict[PassageKey, float] = defaultdict(float)
    for ranking in used:
        for rank, key in enumerate(ranking):
            scores[key] += (RRF_CONSTANT + 1) / (RRF_CONSTANT + 1 + rank) / len(used)
    return scores
