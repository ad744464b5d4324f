"""Which chunks of a video a question reads whole, best first, and how many of them.

Knows chunks, times, scores and a budget; knows no text, no model and no store.
"""

from collections.abc import Callable, Collection, Sequence

from agentkit.config import AskSettings
from agentkit.types import Chunk, ChunkHit
from videoxl2_model.errors import UnknownChunkError

CALLER, TIMES = "the caller", "the times named"  # what may choose chunks, besides the settings
LOOKED_AT = "the model looks here for this question"


def of_indices(chunks: Sequence[Chunk], indices: Collection[int]) -> list[ChunkHit]:
    """Return the chunks of these indices, each once.

    Raises:
        UnknownChunkError: the video has no such chunk.
    """
    for index in indices:
        if not 0 <= index < len(chunks):
            raise UnknownChunkError(
                f"no chunk {index}: the video has chunks 0 to {len(chunks) - 1}"
            )
    return [ChunkHit(chunks[index], 1.0, "asked for") for index in dict.fromkeys(indices)]


def of_times(chunks: Sequence[Chunk], spans_s: Sequence[tuple[float, float]]) -> list[ChunkHit]:
    """Return the chunks that touch one of the spans (start, end), in order of time."""
    return [
        ChunkHit(chunk, 1.0, "the question names this time")
        for chunk in chunks
        if any(chunk.start_s < end_s and chunk.end_s > start_s for start_s, end_s in spans_s)
    ]


def of_scores(chunks: Sequence[Chunk], scores: Sequence[float]) -> list[ChunkHit]:
    """Return all chunks, the one with the best group first; `scores` has one entry a group."""
    best = [max(scores[c.first_group : c.first_group + c.num_groups]) for c in chunks]
    hits = [ChunkHit(c, round(s, 4), LOOKED_AT) for c, s in zip(chunks, best, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.index))


def within_budget(
    hits: Sequence[ChunkHit], settings: AskSettings, tokens: Callable[[], Sequence[int]]
) -> list[ChunkHit]:
    """Return the hits that the settings have room for, best first.

    `tokens` gives how many every chunk of the video has; it is asked where a budget of tokens
    needs it. A chunk that does not fit is passed over, a smaller one after it is taken.
    """
    if settings.budget_tokens is None and settings.budget_share is None:
        return list(hits[: settings.k])
    sizes = tokens()
    room = settings.budget_tokens or int((settings.budget_share or 0.0) * sum(sizes))
    chosen: list[ChunkHit] = []
    for hit in hits:
        size = sizes[hit.chunk.index]
        if size <= room:
            chosen.append(hit)
            room -= size
    return chosen
