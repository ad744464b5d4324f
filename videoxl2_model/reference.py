"""The public reference's own selection rules, for comparison with it; the product uses chunks."""

import math
from collections.abc import Sequence

from videoxl2_model.assembly import Piece
from videoxl2_model.config import SparseRule
from videoxl2_model.kv_cache import VideoKV


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
