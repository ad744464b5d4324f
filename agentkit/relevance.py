"""Which chunks of a video a question reads whole, best first, and how many of them.

Knows chunks, times, scores and a budget; knows no text and no store.
"""

from collections.abc import Callable, Collection, Sequence

from agentkit.config import AskSettings
from agentkit.types import Chunk, ChunkHit
from videoxl2_model.config import Budget
from videoxl2_model.errors import UnknownChunkError
from videoxl2_model.relevance import by_chunk, choose

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


def of_scores(
    chunks: Sequence[Chunk], group_scores: Sequence[float], chunk_groups: int
) -> list[ChunkHit]:
    """Return all of `chunks`, the one with the best group first; later groups do not count."""
    known = group_scores[: sum(chunk.num_groups for chunk in chunks)]
    scored = zip(chunks, by_chunk(known, chunk_groups), strict=True)
    hits = [ChunkHit(chunk, round(score, 4), LOOKED_AT) for chunk, score in scored]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.index))


def within_budget(
    hits: Sequence[ChunkHit],
    ask: AskSettings,
    tokens: Callable[[], Sequence[int]],
    *,
    keep_ends: bool,
) -> list[ChunkHit]:
    """Return the hits that there is room for, best first: `k` of them, or up to the budget.

    `tokens` gives how many every chunk of the video has; it is asked where the budget is one of
    tokens. The ends, where they are kept, are paid for by such a budget and do not count in `k`.
    """
    if ask.budget_tokens is None and ask.budget_share is None:
        return list(hits[: ask.k])
    sizes = tokens()
    rank = {hit.chunk.index: -place for place, hit in enumerate(hits)}
    scores = [rank.get(index, -len(hits)) for index in range(len(sizes))]
    budget = Budget(tokens=ask.budget_tokens, share=ask.budget_share)
    chosen = choose(scores, sizes, budget, keep_ends=keep_ends)
    return [hit for hit in hits if hit.chunk.index in chosen]
