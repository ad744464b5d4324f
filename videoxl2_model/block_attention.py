"""Attention of a run of blocks: over its own rows, and over what it reads from the cache.

Knows which rows see what, because a plan says so; knows no group and no text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from videoxl2_model.attention import Partial, attend, merge
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.pages import Place


@dataclass(frozen=True, slots=True)
class Tile:
    positions: range | Tensor
    places: list[Place]
    cuts: list[tuple[int, slice]]  # which part of the run sees which of its rows


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run of rows sees. Its parts are the blocks it has rows of."""

    own: range  # positions of the rows that run
    first_row: int  # of the cache
    parts: list[slice]  # rows of each part
    near: list[int]  # from which row of the run each part sees all
    times: Tensor  # which of the rows are timestamps, if any part hides keys from the others
    part_times: list[Tensor]  # the same, counted from the start of each part
    context: list[Tile]  # seen by all rows of a part
    before: list[Tile]  # seen by timestamps instead: everything before the run

    @classmethod
    def of_system(cls, length: int) -> "Plan":
        none = torch.empty(0, dtype=torch.int64)
        return cls(range(length), 0, [slice(0, length)], [0], none, [none], [], [])


class BlockAttention:
    """Writes a run's keys and values to the cache and attends to what the plan names.

    Launches a layer on CUDA, with elementwise functions fused, for b blocks in a run, p pages and
    t tiles of older rows: about 20 for products, norms and writing, 2 b for own keys, (p + 3) t to
    read and rotate, 2 to 3 b t to attend and merge, the same once more for the timestamps.
    """

    def __init__(self, kv: VideoKV, plan: Plan) -> None:
        self._kv = kv
        self._plan = plan

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        self._kv.pages.write(layer, self._plan.first_row, key, value)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.keep(layer, key, value)
        plan = self._plan
        query = self._kv.rotary.rotate(query, plan.own)
        key = self._kv.rotary.rotate(key, plan.own)
        parts = [query[:, rows].contiguous() for rows in plan.parts]
        states = [
            attend(part, key[:, rows], value[:, rows], causal=True)
            for part, rows in zip(parts, plan.parts, strict=True)
        ]
        if not len(plan.times):
            return self._all_rows(layer, parts, states, key, value)
        times = self._timestamps(layer, parts, states, key, value)
        out = self._all_rows(layer, parts, states, key, value)
        out[:, plan.times] = times
        return out

    def _all_rows(
        self, layer: int, parts: list[Tensor], states: list[Partial], key: Tensor, value: Tensor
    ) -> Tensor:
        """Add what all rows of a part see before it, in this run and in the cache."""
        states = list(states)
        for index, (near, rows) in enumerate(zip(self._plan.near, self._plan.parts, strict=True)):
            states[index] = _over(parts[index], states[index], key, value, slice(near, rows.start))
        for tile in self._plan.context:
            old_key, old_value = self._read(layer, tile, key.dtype)
            for index, cut in tile.cuts:
                states[index] = _over(parts[index], states[index], old_key, old_value, cut)
        return states[0].out if len(states) == 1 else torch.cat([each.out for each in states], 1)

    def _timestamps(
        self, layer: int, parts: list[Tensor], states: list[Partial], key: Tensor, value: Tensor
    ) -> Tensor:
        """Return the timestamp rows' attention, [H_q, n, D]: over everything before them."""
        plan = self._plan
        queries = [part[:, times] for part, times in zip(parts, plan.part_times, strict=True)]
        seen = []  # by each part's timestamps, in this run
        for index, (rows, times) in enumerate(zip(plan.parts, plan.part_times, strict=True)):
            own = Partial(states[index].out[:, times], states[index].log_weight[:, times])
            seen.append(_over(queries[index], own, key, value, slice(0, rows.start)))
        query = torch.cat(queries, dim=1)
        state = Partial(*(torch.cat(each, dim=1) for each in zip(*seen, strict=True)))
        for tile in plan.before:
            old_key, old_value = self._read(layer, tile, key.dtype)
            state = merge(state, attend(query, old_key, old_value))
        return state.out

    def _read(self, layer: int, tile: Tile, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        key, value = self._kv.pages.read(layer, tile.places)
        return self._kv.rotary.rotate(key, tile.positions).to(dtype), value.to(dtype)


def _over(query: Tensor, state: Partial, key: Tensor, value: Tensor, rows: slice) -> Partial:
    """Add the attention over some rows of key and value, if there are any."""
    if rows.start >= rows.stop:
        return state
    return merge(state, attend(query, key[:, rows], value[:, rows]))
