"""A prefilled video: keys before rotation and values, group by group. Knows no text, no file."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videoxl2_model.assembly import Piece, beside, mix, mix_of, pieces_of, select
from videoxl2_model.config import SparseRule
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.errors import AbsentGroupsError, RoomError, SettingError
from videoxl2_model.kv_parts import Part, floats, stored
from videoxl2_model.pages import KVSpec, RowPages
from videoxl2_model.rotary import rotary

HELD = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
TURN_ROWS = 1024  # rotated at a time: rotation works in float32


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """Where one group's rows lie in the cache."""

    row: int
    time_length: int
    token_length: int
    segment: int

    @property
    def rows(self) -> range:
        return range(self.row, self.row + self.time_length + self.token_length)

    @property
    def time(self) -> range:
        return self.rows[: self.time_length]

    @property
    def tokens(self) -> range:
        return self.rows[self.time_length :]


class VideoKV:
    """Un-rotated keys and values of the system text and every group.

    `part` gives what storage keeps of some groups, `from_parts` builds a cache again, and
    `assemble` makes the cache that one question is decoded over. `dtype` is what is held, int8
    included; `compute_dtype` is that of the assembled cache: by default the same, and for int8
    float32 on a CPU, bfloat16 elsewhere.
    """

    def __init__(
        self,
        spec: KVSpec,
        system_ids: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        compute_dtype: torch.dtype | None = None,
    ) -> None:
        if dtype not in HELD:
            raise SettingError(f"keys and values of {dtype}; {', '.join(map(str, HELD))} are held")
        self.spec = spec
        self.system_ids = tuple(system_ids)
        self.dtype = dtype
        self.device = torch.device(device)
        self.pages = RowPages(spec, dtype, self.device, compute_dtype=compute_dtype)
        self.compute_dtype = self.pages.compute_dtype
        self.pages.append(len(self.system_ids))
        self._groups: list[GroupEntry | None] = []
        self.rotary = rotary(spec.head_dim, spec.rope_base)

    @property
    def num_groups(self) -> int:
        """Groups of the video, those that were not read included."""
        return len(self._groups)

    @property
    def num_tokens(self) -> int:
        """Rows held: the system text and the groups that were read."""
        return self.pages.length

    @property
    def nbytes(self) -> int:
        """Bytes of the rows held, the scales of int8 included."""
        return self.pages.nbytes

    @property
    def offloaded(self) -> bool:
        """True while the rows lie in host memory and the device computes."""
        return self.pages.storage != self.device

    def offload(self) -> None:
        """Move the rows to host memory, a page at a time; assembly copies what it needs back."""
        self.pages.move(torch.device("cpu"))

    def resident(self) -> None:
        """Move the rows back to the device, a page at a time; prefilling needs them there."""
        self.pages.move(self.device)

    @property
    def segments(self) -> int:
        """Independent prefills so far: 1 unless a limit of positions was passed."""
        return max((entry.segment for entry in self._groups if entry), default=0) + 1

    def group(self, index: int) -> GroupEntry | None:
        """Return where a group lies; None if it was not read."""
        return self._groups[index]

    def append(self, segment: int, time_length: int, token_length: int) -> int:
        """Make room for one more group and return its first row; its rows are to be written."""
        row = self.pages.append(time_length + token_length)
        self._groups.append(GroupEntry(row, time_length, token_length, segment))
        return row

    def _read(self, indices: Iterable[int]) -> list[GroupEntry]:
        entries = []
        for index in indices:
            entry = self._groups[index]
            if entry is None:
                raise AbsentGroupsError(f"group {index} was not read; give its part")
            entries.append(entry)
        return entries

    def entries(self) -> list[GroupEntry]:
        """Return every group's place.

        Raises:
            AbsentGroupsError: some groups were not read.
        """
        return self._read(range(self.num_groups))

    def system_part(self, dtype: torch.dtype | None = None) -> Part:
        """Return what storage keeps of the system text: `ids`, `rope_base`, `keys`, `values`."""
        return {
            "ids": torch.tensor(self.system_ids, dtype=torch.int64),
            "rope_base": torch.tensor([self.spec.rope_base], dtype=torch.float64),
            **self._tensors(range(len(self.system_ids)), dtype),
        }

    def part(self, first_group: int, stop_group: int, dtype: torch.dtype | None = None) -> Part:
        """Return what storage keeps of groups first_group..stop_group - 1.

        `keys` and `values` [layers, H_kv, n, D], un-rotated, of `dtype` (the cache's own by
        default); `time_lengths`, `token_lengths` and `segments` [groups], int64. For int8 also
        `key_scales` [layers, H_kv, 1, D] and `value_scales` [layers, H_kv, n, 1], float32, that
        the integers are multiplied by. All are contiguous copies.
        """
        entries = self._span(first_group, stop_group)
        rows = range(entries[0].row, entries[-1].rows.stop)
        return {**_lengths(entries), **self._tensors(rows, dtype)}

    def pooled_part(
        self, first_group: int, stop_group: int, step: int, dtype: torch.dtype | None = None
    ) -> Part:
        """Return what `part` returns, of groups whose tokens are averaged in runs of `step`.

        It is a part like any other: a cache that is built of it and assembled whole has what one
        of the groups themselves has when it pools them, but for the rounding to `dtype`.
        """
        entries = self._span(first_group, stop_group)
        rule = SparseRule("pooled", step)
        pieces = [
            piece
            for index in range(first_group, stop_group)
            for piece in pieces_of(self, index, is_dense=False, sparse=rule)
        ]
        rows, length = mix(self, pieces, room=0)
        lengths = _lengths(entries)
        # The average of a remainder is one more.
        lengths["token_lengths"] = -(-lengths["token_lengths"] // step)
        return {**lengths, **stored(rows[:, :, :, :length], dtype or self.dtype)}

    def _tensors(self, rows: range, dtype: torch.dtype | None) -> Part:
        dtype = dtype or self.dtype
        held = torch.float32 if dtype == torch.int8 else dtype
        return stored(self.pages.read_all(rows, dtype=held), dtype)

    def _span(self, first_group: int, stop_group: int) -> list[GroupEntry]:
        if not 0 <= first_group < stop_group <= self.num_groups:
            raise SettingError(
                f"no groups {first_group} to {stop_group}: the video has {self.num_groups}"
            )
        return self._read(range(first_group, stop_group))

    @classmethod
    def from_parts(
        cls,
        system: Mapping[str, Tensor],
        parts: Iterable[tuple[int, Mapping[str, Tensor] | None]],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        compute_dtype: torch.dtype | None = None,
    ) -> "VideoKV":
        """Build a cache from a `system_part` and (number of groups, `part`) in order of time.

        Parts are taken one at a time, each of whatever type it has. None stands for groups that
        were not read: they can only be left out of an assembly, and nothing can be prefilled
        after them.
        """
        layers, kv_heads, _, head_dim = system["keys"].shape
        spec = KVSpec(layers, kv_heads, head_dim, float(system["rope_base"]))
        ids = system["ids"].tolist()
        kv = cls(spec, ids, dtype=dtype, device=device, compute_dtype=compute_dtype)
        kv._write(0, system)
        for num_groups, part in parts:
            if part is None:
                kv._groups.extend([None] * num_groups)
            else:
                kv._add_part(num_groups, part)
        return kv

    def _write(self, row: int, part: Mapping[str, Tensor]) -> None:
        self.pages.write_all(row, floats(part))

    def _add_part(self, num_groups: int, part: Mapping[str, Tensor]) -> None:
        columns = ("segments", "time_lengths", "token_lengths")
        lists = [part[name].tolist() for name in columns]
        first = self.num_tokens
        for segment, time, tokens in zip(*lists, strict=True):
            self.append(segment, time, tokens)
        rows = self.num_tokens - first
        if len(lists[0]) != num_groups or part["keys"].shape[2] != rows:
            raise SettingError(
                f"a part of {len(lists[0])} groups and {part['keys'].shape[2]} rows does not fit:"
                f" {num_groups} groups of {rows} rows were expected"
            )
        self._write(first, part)

    def select(
        self,
        dense: Collection[int],
        *,
        chunk_groups: int = 4,
        sparse: SparseRule | None = None,
        keep_ends: bool = True,
    ) -> list[Piece]:
        """Return what `assemble` would read; `sum(p.entries for p in pieces)` is its length."""
        return select(self, dense, chunk_groups, sparse or SparseRule(), keep_ends)

    def assemble(
        self,
        dense: Collection[int],
        *,
        room: int,
        chunk_groups: int = 4,
        sparse: SparseRule | None = None,
        keep_ends: bool = True,
        max_positions: int | None = None,
    ) -> DecodeCache:
        """Return the cache to decode over: chunks in `dense` whole, the others by `sparse`.

        Chunks count `chunk_groups` groups each, from 0. Keys are pooled un-rotated, never across
        groups, then rotated at positions 0..P-1 without gaps (Video-XL-2, bi-level decoding).
        With `keep_ends` the first and the last chunk stay whole. `room` positions are kept free
        for question and answer.

        Raises:
            UnknownChunkError: an index in `dense` is not a chunk of this video.
            AbsentGroupsError: a group that was not read is needed.
            RoomError: P + room is more than `max_positions`.
        """
        pieces = self.select(dense, chunk_groups=chunk_groups, sparse=sparse, keep_ends=keep_ends)
        _require_room(pieces, room, max_positions)
        return self.assemble_pieces(pieces, room)

    def assemble_beside(
        self,
        pooled: "VideoKV",
        dense: Collection[int],
        *,
        room: int,
        chunk_groups: int = 4,
        max_positions: int | None = None,
    ) -> DecodeCache:
        """Return what `assemble` does, the chunks that are not in `dense` taken from `pooled`.

        `pooled` is a cache of the same video that was built of `pooled_part`s, so that of this one
        only the chunks in `dense` need to have been read.

        Raises:
            UnknownChunkError, AbsentGroupsError, RoomError: as `assemble`.
        """
        sources = beside(self, pooled, dense, chunk_groups)
        _require_room([piece for _, pieces in sources for piece in pieces], room, max_positions)
        return DecodeCache(*self._rotated(sources, room, slice(None)), self.rotary)

    def assemble_pieces(self, pieces: Sequence[Piece], room: int) -> DecodeCache:
        """Return the cache of given pieces, rotated once, with `room` positions free."""
        return DecodeCache(*self._rotated([(self, pieces)], room, slice(None)), self.rotary)

    def assemble_layer(self, layer: int, pieces: Sequence[Piece], room: int) -> DecodeCache:
        """Return the cache of given pieces for one layer alone, which is layer 0 of it."""
        sources = [(self, pieces)]
        return DecodeCache(*self._rotated(sources, room, slice(layer, layer + 1)), self.rotary)

    def _rotated(
        self, sources: "Sequence[tuple[VideoKV, Sequence[Piece]]]", room: int, layers: slice
    ) -> tuple[Tensor, int]:
        rows, length = mix_of(sources, room, layers)
        self.rotary.reserve(length, rows.device)
        for start in range(0, length, TURN_ROWS):
            turned = range(start, min(start + TURN_ROWS, length))
            keys = rows[:, 0, :, turned.start : turned.stop]
            keys.copy_(self.rotary.rotate(keys, turned))
        return rows, length


def _lengths(entries: Sequence[GroupEntry]) -> Part:
    return {
        "time_lengths": torch.tensor([entry.time_length for entry in entries]),
        "token_lengths": torch.tensor([entry.token_length for entry in entries]),
        "segments": torch.tensor([entry.segment for entry in entries]),
    }


def _require_room(pieces: Iterable[Piece], room: int, max_positions: int | None) -> None:
    needed = sum(piece.entries for piece in pieces) + room
    if max_positions is not None and needed > max_positions:
        raise RoomError(
            f"the question would need {needed} positions of {max_positions};"
            " keep fewer chunks dense, pool more, or leave the others out"
        )
