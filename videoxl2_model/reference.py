"""The public reference's own rules where the product has others, for comparison with it."""

import math
from collections.abc import Sequence

from videoxl2_model.assembly import Piece
from videoxl2_model.config import FRAMES_PER_GROUP, TOKENS_PER_GROUP, SparseRule
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.prompting import time_text

VIDEO = -200  # stands for the whole video in the list of prompt ids
PLACEHOLDER = 151654  # stands for a picture token in the list of time ids
_IDS = {"T": 1462, " ": 220, ".": 13, "s": 82, ":": 25, **{str(n): 15 + n for n in range(10)}}


def time_text_ids(time_s: float) -> list[int]:
    """Return the Qwen2.5 ids of a group's time text: `Time` is one, digits stand alone."""
    return [_IDS[each] for each in time_text(time_s).replace("Time", "T")]


def time_ids(times_s: Sequence[float]) -> list[int]:
    """Return the ids of all groups: each one's text, then a placeholder per picture token."""
    texts = (time_text_ids(first_s) for first_s in times_s[::FRAMES_PER_GROUP])
    return [each for text in texts for each in (*text, *[PLACEHOLDER] * TOKENS_PER_GROUP)]


def group_bounds(ids: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return where each group's text starts, its placeholders start, and it ends."""
    is_text = [each != PLACEHOLDER for each in ids]
    edges = [at for at in range(1, len(ids)) if is_text[at] != is_text[at - 1]]
    starts = [0, *edges[1::2]]
    return list(zip(starts, edges[::2], [*starts[1:], len(ids)], strict=True))


def select_units(
    kv: VideoKV, units: Sequence[int] | None, chunk_groups: int, step: int
) -> list[Piece]:
    """Return the pieces of the mixed cache for a list of selected units of 8 frames.

    Unit u lies in chunk floor(u / (K / 2)), K / 2 a real number; a unit beyond the end selects
    nothing. An empty list keeps every chunk whole, and so does None, whose prefill has no chunk
    mask (`lookback_blocks=None`) either. The last `n % step` tokens of a group are dropped.
    """
    chunks = range(math.ceil(kv.num_groups / chunk_groups))
    chosen = {math.floor(unit / (chunk_groups / 2)) for unit in units or ()}
    dense = chosen.intersection(chunks) if units else set(chunks)
    rule = SparseRule("pooled", step, keep_remainder=False)
    return kv.select(dense, chunk_groups=chunk_groups, sparse=rule)
