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


def mix(kv: "VideoKV", pieces: Sequence[Piece], room: int) -> tuple[Tensor, int]:
    """Return un-rotated rows [layers, 2, H_kv, P + room, D], the last `room` unset, and P."""
    spec = kv.spec
    length = sum(piece.entries for piece in pieces)
    shape = (spec.layers, 2, spec.kv_heads, length + room, spec.head_dim)
    out = torch.empty(shape, dtype=kv.dtype, device=kv.device)
    at = 0
    for piece in pieces:
        out[:, :, :, at : at + piece.entries] = _pooled(kv.pages.read_all(piece.rows), piece)
        at += piece.entries
    return out, length


def _pooled(rows: Tensor, piece: Piece) -> Tensor:
    if piece.step == 1:
        return rows
    full = rows.shape[3] // piece.step * piece.step
    runs = torch.unflatten(rows[:, :, :, :full].float(), 3, (-1, piece.step)) if full else None
    parts = [] if runs is None else [runs.mean(4)]
    if piece.keep_remainder and full < rows.shape[3]:
        parts.append(rows[:, :, :, full:].float().mean(3, keepdim=True))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)
