"""Which rows of a video a question reads, whole or pooled, and the mixed cache made of them.

Keys are pooled before rotation and positions are renumbered without gaps (Video-XL-2, bi-level
decoding): a cache of P entries stands at 0..P-1, whatever was left out.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from videoxl2_model.config import SparseRule, whole
from videoxl2_model.cuda import by_device
from videoxl2_model.errors import AbsentGroupsError, UnknownChunkError

if TYPE_CHECKING:
    from videoxl2_model.kv_cache import VideoKV

BATCH_ROWS = 1024  # read at a time: 56 MiB at full size in 16 bit, some times that while averaging
ROOM_MULTIPLE = {"cpu": 1, "cuda": 256}
LONGEST_TIME = 32  # rows of a text that is read together with the tokens after it


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
    whole("chunk_groups", chunk_groups, 1)
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
            pieces.extend(pieces_of(kv, index, is_dense, sparse))
    return list(_joined(pieces))


def pieces_of(kv: "VideoKV", index: int, is_dense: bool, sparse: SparseRule) -> Iterator[Piece]:
    """Yield one group's pieces: all of its rows, or what `sparse` keeps of them."""
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


def beside(
    kv: "VideoKV", pooled: "VideoKV", dense: Collection[int], chunk_groups: int
) -> "list[tuple[VideoKV, list[Piece]]]":
    """Return which rows of two caches make a mixed one: of `kv` the chunks in `dense`, whole.

    Raises:
        UnknownChunkError, AbsentGroupsError: as `select`.
    """
    chosen = dense_chunks(pooled.num_groups, dense, chunk_groups, keep_ends=False)
    sources = [(pooled, [Piece(range(len(pooled.system_ids)))])]
    for index in range(pooled.num_groups):
        source = kv if index // chunk_groups in chosen else pooled
        if sources[-1][0] is not source:
            sources.append((source, []))
        sources[-1][1].extend(pieces_of(source, index, is_dense=True, sparse=SparseRule()))
    return [(source, list(_joined(pieces))) for source, pieces in sources]


def mix(
    kv: "VideoKV", pieces: Sequence[Piece], room: int, layers: slice = slice(None)
) -> tuple[Tensor, int]:
    """Return what `mix_of` does, of one cache."""
    return mix_of([(kv, pieces)], room, layers)


def mix_of(
    sources: "Sequence[tuple[VideoKV, Sequence[Piece]]]",
    room: int,
    layers: slice = slice(None),
) -> tuple[Tensor, int]:
    """Return un-rotated rows [layers, 2, H_kv, P + room, D], the last `room` unset, and P.

    On CUDA there may be a little more room: a length that can be split evenly (`static_step`).
    Averages are taken in float32. Only the rows of the pieces are read, about `BATCH_ROWS` at
    a time; neighbouring groups of the same lengths are read and averaged together.
    """
    kv, _ = sources[0]
    spec = kv.spec
    length = sum(piece.entries for _, pieces in sources for piece in pieces)
    num_layers = len(range(spec.layers)[layers])
    multiple = by_device(ROOM_MULTIPLE, kv.device)
    capacity = -(-(length + room) // multiple) * multiple
    shape = (num_layers, 2, spec.kv_heads, capacity, spec.head_dim)
    out = torch.empty(shape, dtype=kv.compute_dtype, device=kv.device)
    at = 0
    for kv, pieces in sources:
        for stretch in _stretches(pieces):
            for cells in stretch.batches(BATCH_ROWS):
                stop = at + cells.count * cells.entries
                _fill(out[:, :, :, at:stop], kv.pages.read_all(cells.rows, layers), cells)
                at = stop
    return out, length


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Cells that follow each other and are alike: `whole` rows, then `pooled` ones by `step`."""

    start: int
    whole: int
    pooled: int
    step: int
    keep_remainder: bool
    count: int = 1

    @property
    def rows(self) -> range:
        return range(self.start, self.start + self.count * (self.whole + self.pooled))

    @property
    def entries(self) -> int:
        """Entries of one cell."""
        return self.whole + Piece(range(self.pooled), self.step, self.keep_remainder).entries

    def alike(self, other: "_Stretch") -> bool:
        """True where another one, with cells like these, follows at once."""
        return replace(self, start=other.start, count=other.count) == other and (
            self.rows.stop == other.start
        )

    def batches(self, most: int) -> Iterator["_Stretch"]:
        """Yield its cells, as many at a time as have `most` rows, or one."""
        size = self.whole + self.pooled
        at_once = max(1, most // size)
        for done in range(0, self.count, at_once):
            count = min(at_once, self.count - done)
            yield replace(self, start=self.start + done * size, count=count)


def _stretches(pieces: Sequence[Piece]) -> Iterator[_Stretch]:
    """Join pieces to stretches: a timestamp with its pooled tokens is a cell, a row alone too."""
    last: _Stretch | None = None
    for each in _cells(pieces):
        if last and last.alike(each):
            last = replace(last, count=last.count + each.count)
            continue
        if last:
            yield last
        last = each
    if last:
        yield last


def _cells(pieces: Sequence[Piece]) -> Iterator[_Stretch]:
    waiting: Piece | None = None
    for piece in pieces:
        if waiting and _opens(waiting, piece):
            whole, pooled = len(waiting.rows), len(piece.rows)
            yield _Stretch(waiting.rows.start, whole, pooled, piece.step, piece.keep_remainder)
            waiting = None
            continue
        if waiting:
            yield _alone(waiting)
        waiting = piece
    if waiting:
        yield _alone(waiting)


def _opens(piece: Piece, after: Piece) -> bool:
    """True for a timestamp with its group's pooled tokens after it."""
    short = piece.step == 1 and len(piece.rows) <= LONGEST_TIME
    return short and after.step > 1 and piece.rows.stop == after.rows.start


def _alone(piece: Piece) -> _Stretch:
    if piece.step == 1:
        return _Stretch(piece.rows.start, 1, 0, 1, True, len(piece.rows))
    return _Stretch(piece.rows.start, 0, len(piece.rows), piece.step, piece.keep_remainder)


def _fill(target: Tensor, rows: Tensor, cells: _Stretch) -> None:
    """Write cells' entries [layers, 2, H_kv, entries, D] from their rows [..., n, D]."""
    if not cells.pooled:
        target.copy_(rows)
        return
    rows = torch.unflatten(rows, 3, (cells.count, -1))
    target = torch.unflatten(target, 3, (cells.count, -1))
    target[..., : cells.whole, :] = rows[..., : cells.whole, :]
    pooled = rows[..., cells.whole :, :]
    full = cells.pooled // cells.step * cells.step
    if full:
        runs = torch.unflatten(pooled[..., :full, :], -2, (-1, cells.step))
        stop = cells.whole + full // cells.step
        target[..., cells.whole : stop, :] = runs.float().mean(-2)
    if full < cells.pooled and cells.keep_remainder:
        target[..., -1, :] = pooled[..., full:, :].float().mean(-2)
