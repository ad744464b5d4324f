"""Rows of keys and values in pages that never move: growing copies nothing. Knows no groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PAGE_ROWS = 512


@dataclass(frozen=True, slots=True)
class KVSpec:
    """What a language model's keys and values look like."""

    layers: int
    kv_heads: int
    head_dim: int
    rope_base: float

    def row_nbytes(self, dtype: torch.dtype) -> int:
        """Return the bytes of one token: keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize


Place = tuple[int, slice | Tensor]  # page, rows of it


class RowPages:
    """Un-rotated keys and values, row after row."""

    def __init__(self, spec: KVSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.spec = spec
        self.dtype = dtype
        self.device = device
        self.length = 0
        self._pages: list[Tensor] = []  # each [layers, 2, H_kv, PAGE_ROWS, D]

    def append(self, rows: int) -> int:
        """Make room for more rows; return the index of the first. They are to be written."""
        first = self.length
        self.length += rows
        spec = self.spec
        while len(self._pages) * PAGE_ROWS < self.length:
            shape = (spec.layers, 2, spec.kv_heads, PAGE_ROWS, spec.head_dim)
            self._pages.append(torch.empty(shape, dtype=self.dtype, device=self.device))
        return first

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> None:
        """Write one layer's rows, keys and values [H_kv, n, D], at rows first..first + n."""
        done = 0
        for page, rows in self.locate([range(first, first + keys.shape[1])]):
            target = self._pages[page][layer][:, :, rows]  # a view: the range gives slices only
            n = target.shape[2]
            target[0] = keys[:, done : done + n]
            target[1] = values[:, done : done + n]
            done += n

    def write_all(self, first: int, rows: Tensor) -> None:
        """Write rows [layers, 2, H_kv, n, D] of all layers."""
        done = 0
        for page, part in self.locate([range(first, first + rows.shape[3])]):
            target = self._pages[page][:, :, :, part]
            n = target.shape[3]
            target.copy_(rows[:, :, :, done : done + n])
            done += n

    def locate(self, ranges: Sequence[range]) -> list[Place]:
        """Turn ascending row ranges into places, once for all layers."""
        by_page: dict[int, list[range]] = {}
        for each in ranges:
            start = each.start
            while start < each.stop:
                page, offset = divmod(start, PAGE_ROWS)
                n = min(each.stop - start, PAGE_ROWS - offset)
                by_page.setdefault(page, []).append(range(offset, offset + n))
                start += n
        return [(page, _selection(parts, self.device)) for page, parts in by_page.items()]

    def read(self, layer: int, places: Sequence[Place]) -> tuple[Tensor, Tensor]:
        """Return one layer's keys and values at the places, each [H_kv, n, D]."""
        parts = [_select(self._pages[page][layer], rows) for page, rows in places]
        both = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        return both[0], both[1]

    def read_all(self, rows: range) -> Tensor:
        """Return all layers' rows, [layers, 2, H_kv, n, D]; a view where one page holds them."""
        parts = [self._pages[page][:, :, :, part] for page, part in self.locate([rows])]
        if not parts:
            spec = self.spec
            return torch.empty((spec.layers, 2, spec.kv_heads, 0, spec.head_dim), dtype=self.dtype)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)


def _selection(parts: Sequence[range], device: torch.device) -> slice | Tensor:
    if len(parts) == 1:
        return slice(parts[0].start, parts[0].stop)
    return torch.tensor([row for part in parts for row in part], device=device)


def _select(page: Tensor, rows: slice | Tensor) -> Tensor:
    if isinstance(rows, slice):
        return page[:, :, rows]
    return page.index_select(2, rows)
