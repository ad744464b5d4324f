"""Rows of keys and values in pages that never move: growing copies nothing. Knows no groups.

A page holds floats, or 8-bit integers with scales: keys one scale per channel and block of 64 rows
(a few channels of keys are far larger than the others, on every row), values one per row and head.
Reads give floats either way. Pages may lie in host memory while reads go to the compute device.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from videoxl2_model.cuda import move, upload

PAGE_ROWS = 512
PAGE_ROWS_CUDA = 8192  # a read costs a kernel a page and layer; 448 MiB at full size in 16 bit
BLOCK_ROWS = 64  # rows of keys that share scales
SCALE = torch.bfloat16
# Scales are rounded to bfloat16, by 2 ** -9 at most; so much larger, no value exceeds 127 steps.
STEPS = 127 / (1 + 2**-8)


@dataclass(frozen=True, slots=True)
class KVSpec:
    """What a language model's keys and values look like."""

    layers: int
    kv_heads: int
    head_dim: int
    rope_base: float

    def row_nbytes(self, dtype: torch.dtype) -> int:
        """Return the bytes of one token: keys and values of all layers, without scales of int8."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize

    def nbytes(self, rows: int, dtype: torch.dtype) -> int:
        """Return the bytes of `rows` tokens, the scales of int8 included."""
        if dtype != torch.int8:
            return rows * self.row_nbytes(dtype)
        scales = rows + -(-rows // BLOCK_ROWS) * self.head_dim
        heads = self.layers * self.kv_heads
        return rows * self.row_nbytes(dtype) + heads * scales * SCALE.itemsize


class Place(NamedTuple):
    """Some rows of a page, and for scattered ones the blocks that they lie in."""

    page: int
    rows: slice | Tensor
    blocks: Tensor | None = None


Layers = int | slice  # an index of the first axis: one layer without that axis, or some with it


class RowPages:
    """Un-rotated keys and values, row after row.

    `dtype` is what pages hold, `compute_dtype` what reads give (the same, for floats). `device` is
    where reads go; the pages lie there too unless `move` put them elsewhere.
    """

    def __init__(
        self,
        spec: KVSpec,
        dtype: torch.dtype,
        device: torch.device,
        *,
        compute_dtype: torch.dtype | None = None,
        page_rows: int | None = None,
    ) -> None:
        self.spec = spec
        self.dtype = dtype
        self.device = device
        self.storage = device
        if compute_dtype is None:
            on_cpu = torch.float32 if device.type == "cpu" else torch.bfloat16
            compute_dtype = dtype if dtype.is_floating_point else on_cpu
        self.compute_dtype = compute_dtype
        self.page_rows = page_rows or (PAGE_ROWS if device.type == "cpu" else PAGE_ROWS_CUDA)
        self.length = 0
        self._pages: list[_FloatPage | _Int8Page] = []
        self._starts = [0]  # each page's first row, then the first beyond all pages

    @property
    def nbytes(self) -> int:
        """Bytes of the rows held, scales included."""
        return self.spec.nbytes(self.length, self.dtype)

    def append(self, rows: int) -> int:
        """Make room for more rows; return the index of the first. They are to be written."""
        first = self.length
        self.length += rows
        while self._starts[-1] < self.length:
            self._add_page(self.page_rows)
        return first

    def reserve(self, rows: int) -> None:
        """Make room for `rows` more in one page, where the length is known before.

        Scattered rows are then read by one kernel, whatever the length.
        """
        missing = self.length + rows - self._starts[-1]
        if missing > 0:
            self._add_page(missing)

    def _add_page(self, rows: int) -> None:
        kind = _Int8Page if self.dtype == torch.int8 else _FloatPage
        page = kind(self.spec, rows, self.dtype, self.storage)
        self._pages.append(page)
        self._starts.append(self._starts[-1] + page.rows)

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> None:
        """Write one layer's rows, keys and values [H_kv, n, D], at rows first..first + n."""
        self._write(layer, first, keys, values)

    def write_all(self, first: int, rows: Tensor) -> None:
        """Write rows [layers, 2, H_kv, n, D] of all layers."""
        self._write(slice(None), first, rows[:, 0], rows[:, 1])

    def _write(self, layers: Layers, first: int, keys: Tensor, values: Tensor) -> None:
        done = 0
        for page, rows in self._runs(range(first, first + keys.shape[-2])):
            part = slice(done, done + len(rows))
            self._pages[page].write(layers, rows, keys[..., part, :], values[..., part, :])
            done += len(rows)

    def _runs(self, rows: range) -> list[tuple[int, range]]:
        """Cut a range at the borders of pages: (page, rows of it)."""
        out = []
        start = rows.start
        while start < rows.stop:
            page = bisect_right(self._starts, start) - 1
            stop = min(rows.stop, self._starts[page + 1])
            out.append((page, range(start - self._starts[page], stop - self._starts[page])))
            start = stop
        return out

    def locate(self, ranges: Sequence[range]) -> list[Place]:
        """Turn ascending row ranges into places, once for all layers."""
        by_page: dict[int, list[range]] = {}
        for each in ranges:
            for page, rows in self._runs(each):
                by_page.setdefault(page, []).append(rows)
        return [self._place(page, parts) for page, parts in by_page.items()]

    def _place(self, page: int, parts: Sequence[range]) -> Place:
        if all(one.stop == other.start for one, other in pairwise(parts)):
            return Place(page, slice(parts[0].start, parts[-1].stop))
        rows = upload([row for part in parts for row in part], self.storage)
        return Place(page, rows, rows // BLOCK_ROWS if self.dtype == torch.int8 else None)

    def read(self, layer: int, places: Sequence[Place]) -> tuple[Tensor, Tensor]:
        """Return one layer's keys and values at the places, each [H_kv, n, D]."""
        both = self._read(layer, places, self.compute_dtype)
        return both[0], both[1]

    def read_all(
        self,
        rows: range | Sequence[range],
        layers: slice = slice(None),
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Return rows of some layers, [layers, 2, H_kv, n, D]; a view where one page holds them.

        `rows` is one range, or several ascending ones.
        """
        places = self.locate([rows] if isinstance(rows, range) else rows)
        dtype = dtype or self.compute_dtype
        if places:
            return self._read(layers, places, dtype)
        spec = self.spec
        shape = (len(range(spec.layers)[layers]), 2, spec.kv_heads, 0, spec.head_dim)
        return torch.empty(shape, dtype=dtype, device=self.device)

    def _read(self, layers: Layers, places: Sequence[Place], dtype: torch.dtype) -> Tensor:
        parts = [self._pages[each.page].read(layers, each, self.device, dtype) for each in places]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)

    def move(self, device: torch.device) -> None:
        """Let the pages lie on another device, one after the other; reads go where they went."""
        for page in self._pages if device != self.storage else ():
            page.move(device)
        self.storage = device


class _FloatPage:
    def __init__(self, spec: KVSpec, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        self.rows = rows
        shape = (spec.layers, 2, spec.kv_heads, rows, spec.head_dim)
        self._both = torch.empty(shape, dtype=dtype, device=device)

    def write(self, layers: Layers, rows: range, keys: Tensor, values: Tensor) -> None:
        target = self._both[layers][..., rows.start : rows.stop, :]
        target[..., 0, :, :, :].copy_(keys)
        target[..., 1, :, :, :].copy_(values)

    def read(self, layers: Layers, at: Place, device: torch.device, dtype: torch.dtype) -> Tensor:
        return move(_select(self._both[layers], at.rows), device).to(dtype)

    def move(self, device: torch.device) -> None:
        self._both = _moved(self._both, device)


class _Int8Page:
    def __init__(self, spec: KVSpec, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        blocks = -(-rows // BLOCK_ROWS)
        self.rows = blocks * BLOCK_ROWS
        heads = (spec.layers, spec.kv_heads)
        shape = (spec.layers, 2, spec.kv_heads, self.rows, spec.head_dim)
        self._both = torch.empty(shape, dtype=dtype, device=device)
        # A scale of 0 says that nothing was written yet.
        self._key_scales = torch.zeros((*heads, blocks, spec.head_dim), dtype=SCALE, device=device)
        self._value_scales = torch.zeros((*heads, self.rows, 1), dtype=SCALE, device=device)

    def write(self, layers: Layers, rows: range, keys: Tensor, values: Tensor) -> None:
        both, part = self._both[layers], slice(rows.start, rows.stop)
        self._write_keys(both[..., 0, :, :, :], self._key_scales[layers], rows, keys)
        values = values.to(both.device, torch.float32)
        scales = scales_of(values, -1)
        both[..., 1, :, part, :] = steps_of(values, scales)
        self._value_scales[layers][..., part, :] = scales

    def _write_keys(self, all_steps: Tensor, all_scales: Tensor, rows: range, keys: Tensor) -> None:
        """Write keys; the rows that a block held before are kept, rescaled if its scales grow."""
        blocks = slice(rows.start // BLOCK_ROWS, -(-rows.stop // BLOCK_ROWS))
        first, stop = blocks.start * BLOCK_ROWS, blocks.stop * BLOCK_ROWS
        keys = keys.to(all_steps.device, torch.float32)
        new = F.pad(keys, (0, 0, rows.start - first, stop - rows.stop))
        new = torch.unflatten(new, -2, (-1, BLOCK_ROWS))  # [..., H_kv, blocks, 64, D]
        held = all_scales[..., blocks, None, :]
        scales = torch.maximum(held, scales_of(new, -2))
        target = all_steps[..., first:stop, :]
        steps = torch.unflatten(target, -2, (-1, BLOCK_ROWS)) * _over(held.float(), scales)
        steps.flatten(-3, -2)[..., rows.start - first : rows.stop - first, :] = 0
        target.copy_(steps.add_(_over(new, scales)).round_().flatten(-3, -2))
        all_scales[..., blocks, :] = scales.squeeze(-2)

    def read(self, layers: Layers, at: Place, device: torch.device, dtype: torch.dtype) -> Tensor:
        steps = move(_select(self._both[layers], at.rows), device)
        scales = move(_select(self._value_scales[layers], at.rows), device).to(dtype)
        out = torch.empty(steps.shape, dtype=dtype, device=device)
        torch.mul(steps[..., 1, :, :, :], scales, out=out[..., 1, :, :, :])
        self._read_keys(layers, at, steps[..., 0, :, :, :], out[..., 0, :, :, :])
        return out

    def _read_keys(self, layers: Layers, at: Place, steps: Tensor, out: Tensor) -> None:
        all_scales = self._key_scales[layers]
        if at.blocks is not None:
            scales = move(all_scales.index_select(-2, at.blocks), out.device)
            torch.mul(steps, scales.to(out), out=out)
            return
        assert isinstance(at.rows, slice)
        start, stop = at.rows.start, at.rows.stop
        first = start // BLOCK_ROWS
        held = all_scales[..., first : -(-stop // BLOCK_ROWS), :]
        scales = move(held, out.device).to(out)
        each = scales.repeat_interleave(BLOCK_ROWS, -2)[..., start - first * BLOCK_ROWS :, :]
        torch.mul(steps, each[..., : stop - start, :], out=out)

    def move(self, device: torch.device) -> None:
        self._both = _moved(self._both, device)
        self._key_scales = _moved(self._key_scales, device)
        self._value_scales = _moved(self._value_scales, device)


def scales_of(x: Tensor, dim: int) -> Tensor:
    """Return the scales of float32 x, one along `dim`, so that no value exceeds 127 steps."""
    return x.abs().amax(dim, keepdim=True).div_(STEPS).to(SCALE)


def steps_of(x: Tensor, scales: Tensor) -> Tensor:
    """Return float32 x in whole steps of its scales, int8."""
    return _over(x, scales).round_().to(torch.int8)


def _over(x: Tensor, scales: Tensor) -> Tensor:
    """Return x / scales, and 0 where nothing but 0 is."""
    scales = scales.float()
    return x / torch.where(scales > 0, scales, 1.0)


def _select(rows: Tensor, which: slice | Tensor) -> Tensor:
    """Return some of rows [..., n, D]."""
    return rows[..., which, :] if isinstance(which, slice) else rows.index_select(-2, which)


def _moved(x: Tensor, device: torch.device) -> Tensor:
    """Return x on a device; in pinned host memory, if it comes from a GPU."""
    pinned = device.type == "cpu" and x.device.type == "cuda"
    return torch.empty(x.shape, dtype=x.dtype, device=device, pin_memory=pinned).copy_(x)
