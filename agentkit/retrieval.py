"""Question to chunks: vectors and exact words over what the store keeps, fused by rank.

Knows the store and the embedder; knows no language model and no frame.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.note_line import searchable
from agentkit.terms import content_terms, overlap
from agentkit.types import ChunkHit, Embedder
from agentkit_storage import Hit, Store

# Reciprocal rank fusion's usual constant (Cormack, Clarke and Buettcher, SIGIR 2009).
RRF_CONSTANT = 60
TEXT_SPACE = "text"


def visual_space(encoder: str) -> str:
    """Return the space of an encoder's pooled chunk vectors; those of two encoders never meet."""
    return f"visual-{encoder}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored piece of text near a question; `near` is its cosine, `words` the share it holds."""

    video_id: str
    chunk_index: int
    start_s: float
    end_s: float
    kind: str
    text: str
    near: float
    words: float
    score: float  # fused, 0..1: 1 is first in both lists

    @property
    def key(self) -> tuple[str, int, float, float, str, str]:
        """What makes two passages the same one."""
        return (self.video_id, self.chunk_index, self.start_s, self.end_s, self.kind, self.text)


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """`min_near`: cosine below which a passage is not near enough on its own.

    `min_words`: share of the question's terms that lets a passage in whatever its cosine.
    """

    min_near: float = 0.35
    min_words: float = 0.5
    pool: int = 40


class Retrieval:
    """Searches one store with one embedder."""

    def __init__(self, store: Store, embedder: Embedder, config: RetrievalConfig) -> None:
        self._store = store
        self._embedder = embedder
        store.use_space(TEXT_SPACE, embedder.fingerprint, embedder.size)
        self._config = config

    def passages(self, text: str, video_ids: Sequence[str] = ()) -> list[Passage]:
        """Return the passages near enough to `text`, best first; none where nothing is."""
        terms = content_terms(text)
        vector = self._embedder.embed([text])[0]
        wanted = list(video_ids) or None
        near = self._store.search_vectors(TEXT_SPACE, vector, self._config.pool, wanted)
        exact = (
            self._store.search_words(" ".join(terms), self._config.pool, wanted) if terms else []
        )
        cosine = {_key(hit): hit.score for hit in near}
        ranks = _fuse([_key(hit) for hit in near], [_key(hit) for hit in exact])
        found = {_key(hit): hit for hit in [*near, *exact]}
        passages = [
            Passage(
                *key, near=cosine.get(key, 0.0), words=overlap(terms, hit.text), score=ranks[key]
            )
            for key, hit in found.items()
        ]
        kept = [passage for passage in passages if self._near_enough(passage)]
        return sorted(kept, key=lambda p: (-p.score, p.video_id, p.start_s))

    def search(self, text: str, video_ids: Sequence[str] = (), k: int = 10) -> list[ChunkHit]:
        """Return up to `k` chunks with the passage that brought each, best first."""
        return self.hits(self.passages(text, video_ids))[:k]

    def hits(self, passages: Sequence[Passage]) -> list[ChunkHit]:
        """Return each chunk once, with its best passage, in the order of `passages`."""
        best: dict[tuple[str, int], Passage] = {}
        for passage in passages:
            best.setdefault((passage.video_id, passage.chunk_index), passage)
        return [self._hit(passage) for passage in best.values()]

    def of_chunk(self, video_id: str, index: int) -> list[Passage]:
        """Return all passages of one chunk, as near as can be, for a question about the whole."""
        chunk = self._store.chunks(video_id)[index]
        notes = searchable(self._store.notes(video_id, chunk.start_s, chunk.end_s))
        return [
            Passage(video_id, index, n.start_s, n.end_s, n.kind, n.text, 0.0, 0.0, 1.0)
            for n in notes
        ]

    def similar(self, video_id: str, at_s: float, encoder: str, k: int) -> list[ChunkHit]:
        """Return the chunks whose pooled vector is nearest to that of the chunk at a time."""
        chunks = self._store.chunks(video_id)
        here = next((c for c in chunks if c.start_s <= at_s < c.end_s), chunks[-1])
        space = visual_space(encoder)
        vector = self._store.chunk_vector(video_id, here.index, space)
        if vector is None:
            return []
        hits = self._store.search_vectors(space, vector, k + 1)
        others = [h for h in hits if (h.video_id, h.chunk_index) != (video_id, here.index)]
        return [
            ChunkHit(
                self._store.chunks(hit.video_id)[hit.chunk_index],
                round(hit.score, 4),
                "like the chunk asked about",
                (hit.start_s, hit.end_s),
            )
            for hit in others[:k]
        ]

    def _near_enough(self, passage: Passage) -> bool:
        return passage.near >= self._config.min_near or passage.words >= self._config.min_words

    def _hit(self, passage: Passage) -> ChunkHit:
        chunk = self._store.chunks(passage.video_id)[passage.chunk_index]
        return ChunkHit(
            chunk,
            round(passage.score, 4),
            f"{passage.kind}: {passage.text}",
            (passage.start_s, passage.end_s),
        )


_Key = tuple[str, int, float, float, str, str]


def _key(hit: Hit) -> _Key:
    return (hit.video_id, hit.chunk_index, hit.start_s, hit.end_s, hit.kind, hit.text)


def _fuse(*rankings: Sequence[_Key]) -> dict[_Key, float]:
    """Return reciprocal rank fusion scores, 1 for first in every ranking that is not empty."""
    used = [ranking for ranking in rankings if ranking]
    scores: dict[_Key, float] = defaultdict(float)
    for ranking in used:
        for rank, key in enumerate(ranking):
            scores[key] += (RRF_CONSTANT + 1) / (RRF_CONSTANT + 1 + rank) / len(used)
    return scores
