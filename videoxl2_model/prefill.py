"""Group after group into the cache: never all groups at once, never a mask of L x L.

A block's rows see [system | older timestamps | last blocks | own block]; its timestamp rows see
everything before them. Both are gathered from the cache tile by tile, rotated, and merged by
their log weights, so that nothing but the cache itself grows with the video.

Some blocks may run together: layer by layer each sees what the others wrote, so that the result is
that of one after another, while products have more rows and a tile is read once for all of them.
That is how a GPU is kept busy (launches are counted in `BlockAttention`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from torch import Tensor

from videoxl2_model.block_attention import BlockAttention, Plan, Tile
from videoxl2_model.config import PrefillConfig
from videoxl2_model.cuda import by_device, upload
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import SettingError
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.layout import GroupSpan, SegmentLayout, joined, tiled

TILE_ROWS = {"cpu": 1024, "cuda": 16384}  # rows of keys read and rotated at a time
# Whole blocks wait for as many rows before they run. None on a CPU: memory counts there.
RUN_ROWS = {"cpu": 0, "cuda": 4096}


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """One group as it enters the model: a time text's ids, then ids or embedding rows."""

    time_ids: tuple[int, ...]
    ids: tuple[int, ...] | None = None
    rows: Tensor | None = None  # [n, hidden]

    def __post_init__(self) -> None:
        if not self.time_ids:
            raise SettingError("a group needs at least one token of time text")
        if (self.ids is None) == (self.rows is None):
            raise SettingError("a group has either ids or rows")

    @property
    def token_length(self) -> int:
        return len(self.ids) if self.ids is not None else len(self.rows)  # type: ignore[arg-type]  # one of both is set

    @property
    def length(self) -> int:
        return len(self.time_ids) + self.token_length


Observer = Callable[[int, Tensor], None]


class Prefill:
    """Runs a video's groups into a `VideoKV`.

    Give `kv` to go on after its groups; the settings must be those it was made with. A new one
    holds `kv_dtype` (int8 as well), by default the decoder's type.
    `observe(first position, hidden [n, hidden])` is called with every run's normed last states
    and costs the last layer's output, which is left out otherwise.

    Raises:
        SettingError: `kv` was made with another system text.
        AbsentGroupsError: `kv` lacks groups.
    """

    def __init__(
        self,
        decoder: Decoder,
        system_ids: Sequence[int],
        config: PrefillConfig | None = None,
        kv: VideoKV | None = None,
        *,
        kv_dtype: torch.dtype | None = None,
        observe: Observer | None = None,
    ) -> None:
        self.config = config or PrefillConfig()
        self._decoder = decoder
        self._observe = observe
        self._pending: list[tuple[TokenGroup, GroupSpan]] = []
        if kv is not None and kv.system_ids != tuple(system_ids):
            raise SettingError("the cache was made with another system text; prefill anew")
        self.kv = kv if kv is not None else self._start(system_ids, kv_dtype)
        self.kv.resident()
        self._segment = self.kv.segments - 1
        self._layout = self._restore()

    def _start(self, system_ids: Sequence[int], dtype: torch.dtype | None) -> VideoKV:
        decoder = self._decoder
        dtype = dtype or decoder.dtype
        kv = VideoKV(
            decoder.spec,
            system_ids,
            dtype=dtype,
            device=decoder.device,
            compute_dtype=decoder.dtype,
        )
        if system_ids:
            self._forward(kv, decoder.embed(system_ids), Plan.of_system(len(system_ids)))
        return kv

    def _restore(self) -> SegmentLayout:
        """Lay out again what the cache holds of its last segment, so that blocks go on."""
        layout = SegmentLayout(len(self.kv.system_ids), self.config)
        entries = self.kv.entries()
        first = layout.system_length
        for entry in (each for each in entries if each.segment == self._segment):
            if not layout.spans:
                first = entry.row
            layout.add(entry.time_length, entry.token_length)
        self._shift = first - layout.system_length  # cache row less position
        return layout

    def add(self, group: TokenGroup) -> None:
        """Add a group; it runs once its block is full (on CUDA: some blocks), or at `flush`."""
        self._check(group)
        limit = self.config.max_segment_positions
        if limit is not None and self._layout.stop + group.length > limit and self._layout.spans:
            self._open_segment()
        span = self._layout.add(len(group.time_ids), group.token_length)
        self._pending.append((group, span))
        waiting = span.stop - self._pending[0][1].start
        if self._layout.block_closed and waiting >= by_device(RUN_ROWS, self._decoder.device):
            self.flush()

    def _check(self, group: TokenGroup) -> None:
        limit = self.config.max_segment_positions
        if limit is not None and len(self.kv.system_ids) + group.length > limit:
            raise SettingError(
                f"a group of {group.length} tokens does not fit a segment of {limit} positions"
            )
        if group.rows is not None and group.rows.shape[1:] != (self._decoder.hidden_size,):
            raise SettingError(
                f"rows must be [n, {self._decoder.hidden_size}], not {list(group.rows.shape)}"
            )

    def _open_segment(self) -> None:
        self.flush()
        self._segment += 1
        self._layout = SegmentLayout(len(self.kv.system_ids), self.config)
        self._shift = self.kv.num_tokens - self._layout.system_length

    def flush(self) -> None:
        """Run what is pending now, also in the middle of a block. Splits change no result."""
        if not self._pending:
            return
        rows = torch.cat([self._rows(group) for group, _ in self._pending])
        spans = [span for _, span in self._pending]
        for span in spans:
            self.kv.append(self._segment, span.time_length, span.token_length)
        self._pending = []
        self._forward(self.kv, rows, self._plan(spans))

    def _rows(self, group: TokenGroup) -> Tensor:
        time = self._decoder.embed(group.time_ids)
        if group.rows is None:
            return torch.cat((time, self._decoder.embed(group.ids or ())))
        return torch.cat((time, group.rows.to(time)))

    def _forward(self, kv: VideoKV, rows: Tensor, plan: Plan) -> None:
        attention = BlockAttention(kv, plan)
        hidden = self._decoder.forward(rows, attention, hidden=self._observe is not None)
        if self._observe is not None:
            self._observe(plan.own.start, hidden)

    def _plan(self, spans: Sequence[GroupSpan]) -> Plan:
        layout = self._layout
        own = range(spans[0].start, spans[-1].stop)
        first = len(layout.spans) - len(spans)
        blocks = range(layout.block_of(first), layout.block_of(len(layout.spans) - 1) + 1)
        starts = [max(layout.block_start(block), own.start) for block in blocks]
        bounds = [each - own.start for each in (*starts, own.stop)]
        seen_from = [layout.seen_from(block) for block in blocks]
        always = layout.always(blocks[-1])  # those of earlier blocks are its first rows
        counts = [sum(map(len, layout.always(block))) for block in blocks]
        hides = layout.hides(blocks[-1])
        times = [row - own.start for span in spans for row in span.time] if hides else []
        return Plan(
            own=own,
            first_row=own.start + self._shift,
            parts=[slice(start, stop) for start, stop in pairwise(bounds)],
            near=[max(each - own.start, 0) for each in seen_from],
            times=upload(times, self.kv.device),
            part_times=[
                upload([row - start for row in times if start <= row < stop], self.kv.device)
                for start, stop in pairwise(bounds)
            ],
            context=[
                *self._tiles(always, [range(count) for count in counts]),
                *self._tiles(
                    [range(min(seen_from), own.start)],
                    [range(each - min(seen_from), own.stop) for each in seen_from],
                ),
            ],
            before=self._tiles([range(own.start)], []) if hides else [],
        )

    def _tiles(self, ranges: Sequence[range], seen: Sequence[range]) -> list[Tile]:
        """Cut ranges of positions into tiles; `seen` are the parts' rows of them, in order."""
        ranges = joined(ranges)
        if ranges:
            self.kv.rotary.reserve(ranges[-1].stop, self.kv.device)
        tiles, first = [], 0
        for tile in tiled(ranges, by_device(TILE_ROWS, self.kv.device)):
            stop = first + sum(map(len, tile))
            cuts = [range(max(each.start, first), min(each.stop, stop)) for each in seen]
            tiles.append(
                Tile(
                    _positions(tile, self.kv.device),
                    self.kv.pages.locate(self._cache_rows(tile)),
                    [(i, slice(c.start - first, c.stop - first)) for i, c in enumerate(cuts) if c],
                )
            )
            first = stop
        return tiles

    def _cache_rows(self, positions: Sequence[range]) -> list[range]:
        """Positions of this segment to rows of the cache; the system text is kept once."""
        system = self._layout.system_length
        out = []
        for each in positions:
            out.append(range(each.start, min(each.stop, system)))
            out.append(range(max(each.start, system) + self._shift, each.stop + self._shift))
        return [each for each in out if each]


def _positions(tile: Sequence[range], device: torch.device) -> range | Tensor:
    if len(tile) == 1:
        return tile[0]
    return upload(list(chain.from_iterable(tile)), device)
