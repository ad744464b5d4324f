"""Which rows of a video a question reads, whole or pooled, and the mixed cache made of them.

Keys are pooled before rotation and positions are renumbered without gaps (Video-XL-2, bi-level
decoding): a cache of P entries stands at 0..P-1, whatever was left out.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from videoxl2_model.config import SparseRule
from videoxl2_model.errors import AbsentGroupsError, SettingError, UnknownChunkError

if TYPE_CHECKING:
    from videoxl2_model.kv_cache import VideoKV

BATCH_ROWS = 1024  # read at a time: 56 MiB at full size in 16 bit, some times that while averaging


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the video's rows; `step` above 1 averages runs of that many rows."""

    rows: range
    step: int = 1
    keep_remainder: bool = True

    @property
    def entries(self) -> int:
        """How many entries it gives in the mixed cache."""
        full, rest = divmod(len(self.rows), self.step)
        return full + (1 if rest and self.keep_remainder else 0)


def dense_chunks(
    num_groups: int, dense: Collection[int], chunk_groups: int, keep_ends: bool
) -> set[int]:
    """Return the chunks to keep whole.

    Raises:
        UnknownChunkError: an index in `dense` is not a chunk of this video.
    """
    if chunk_groups < 1:
        raise SettingError(f"chunk_groups is {chunk_groups}; it must be 1 or more")
    chunks = -(-num_groups // chunk_groups)
    unknown = sorted(index for index in dense if not 0 <= index < chunks)
    if unknown:
        raise UnknownChunkError(f"no chunk {unknown[0]}: the video has chunks 0 to {chunks - 1}")
    ends = {0, chunks - 1} if keep_ends and chunks else set()
    return set(dense) | ends


def select(
    kv: "VideoKV", dense: Collection[int], chunk_groups: int, sparse: SparseRule, keep_ends: bool
) -> list[Piece]:
    """Return the pieces of a mixed cache, in order: the system text, then group by group.

    Raises:
        UnknownChunkError: an index in `dense` is not a chunk of this video.
        AbsentGroupsError: a group that was not read is needed.
    """
    whole = dense_chunks(kv.num_groups, dense, chunk_groups, keep_ends)
    pieces = [Piece(range(len(kv.system_ids)))]
    for index in range(kv.num_groups):
        is_dense = index // chunk_groups in whole
        if is_dense or sparse.kind != "left_out":
            pieces.extend(_group(kv, index, is_dense, sparse))
    return list(_joined(pieces))


def _group(kv: "VideoKV", index: int, is_dense: bool, sparse: SparseRule) -> Iterator[Piece]:
    entry = kv.group(index)
    if entry is None:
        raise AbsentGroupsError(
            f"group {index} was not read; give its part, or leave its chunk out"
        )
    yield Piece(entry.rows if is_dense else entry.time)
    if not is_dense and sparse.kind == "pooled":
        yield Piece(entry.tokens, sparse.step, sparse.keep_remainder)


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Make neighbouring whole pieces one, so that a dense stretch is a single copy."""
    last: Piece | None = None
    for piece in pieces:
        if not piece.entries:
            continue
        if last and last.step == piece.step == 1 and last.rows.stop == piece.rows.start:
            last = Piece(range(last.rows.start, piece.rows.stop))
            continue
        if last:
            yield last
        last = piece
    if last:
        yield last


def mix(
    kv: "VideoKV", pieces: Sequence[Piece], room: int, layers: slice = slice(None)
) -> tuple[Tensor, int]:
    """Return un-rotated rows [layers, 2, H_kv, P + room, D], the last `room` unset, and P.

    Averages are taken in float32. Only the rows of the pieces are read, `BATCH_ROWS` at a time.
    """
    spec = kv.spec
    length = sum(piece.entries for piece in pieces)
    num_layers = len(range(spec.layers)[layers])
    shape = (num_layers, 2, spec.kv_heads, length + room, spec.head_dim)
    out = torch.empty(shape, dtype=kv.compute_dtype, device=kv.device)
    at = 0
    for batch in _batches(pieces, BATCH_ROWS):
        stop = at + sum(piece.entries for piece in batch)
        rows = kv.pages.read_all([piece.rows for piece in batch], layers)
        _fill(out[:, :, :, at:stop], rows, batch)
        at = stop
    return out, length


def _batches(pieces: Sequence[Piece], most: int) -> Iterator[list[Piece]]:
    """Yield pieces in lots of at most `most` rows; longer ones are cut, between averages only."""
    batch: list[Piece] = []
    left = most
    for piece in pieces:
        at_once = max(1, most // piece.step) * piece.step
        for start in range(0, len(piece.rows), at_once):
            part = Piece(piece.rows[start : start + at_once], piece.step, piece.keep_remainder)
            if batch and len(part.rows) > left:
                yield batch
                batch, left = [], most
            batch.append(part)
            left -= len(part.rows)
    if batch:
        yield batch


def _fill(target: Tensor, rows: Tensor, batch: Sequence[Piece]) -> None:
    """Write a batch's entries, all averages of one length together.

    Rows [layers, 2, H_kv, n, D] of the pieces one after the other; target [..., entries, D].
    """
    if len(batch) == 1 and batch[0].step == 1:
        target.copy_(rows)
        return
    for size, (sources, entries) in _runs(batch).items():
        picked = rows.index_select(3, torch.cat(sources).to(rows.device))
        if size > 1:
            picked = torch.unflatten(picked.float(), 3, (-1, size)).mean(4)
        where = torch.cat(entries).to(target.device)
        target.index_copy_(3, where, picked.to(target.dtype))


def _runs(batch: Sequence[Piece]) -> dict[int, tuple[list[Tensor], list[Tensor]]]:
    """Return, by the number of rows that an entry averages: those rows, and the entries."""
    runs: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
    row = entry = 0
    for piece in batch:
        full, rest = divmod(len(piece.rows), piece.step)
        whole = full * piece.step
        parts = [(piece.step, full, row)]
        if rest and piece.keep_remainder:
            parts.append((rest, 1, row + whole))
        for size, count, first in parts:
            sources, entries = runs.setdefault(size, ([], []))
            sources.append(torch.arange(first, first + count * size))
            entries.append(torch.arange(entry, entry + count))
            entry += count
        row += len(piece.rows)
    return runs
