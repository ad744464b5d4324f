"""The cache an answer is decoded over: rotated keys at compact positions, with room to go on."""

import torch
from torch import Tensor

from videoxl2_model.assembly import ROOM_MULTIPLE
from videoxl2_model.attention import attend, attend_one, merge
from videoxl2_model.cuda import by_device
from videoxl2_model.errors import RoomError
from videoxl2_model.layout import tiled
from videoxl2_model.pages import KVSpec
from videoxl2_model.rotary import Rotary, rotary

# Rows of keys seen at a time. A kernel that holds no scores takes them all at once.
TILE_ROWS = {"cpu": 2048, "cuda": 1 << 24}


class DecodeCache:
    """Keys and values of all layers at positions 0..length-1, preallocated.

    `rewind(start)` takes it back to what it was before the question, so that one assembly
    serves any number of questions.
    """

    def __init__(self, rows: Tensor, length: int, turning: Rotary) -> None:
        self.rows = rows  # [layers, 2, H_kv, capacity, D]; keys rotated
        self.length = length
        self.start = length  # what was assembled; questions and answers come after
        self._rotary = turning

    @classmethod
    def empty(
        cls, spec: KVSpec, room: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> "DecodeCache":
        """Return a cache without a video, for text alone; on CUDA maybe with more room."""
        multiple = by_device(ROOM_MULTIPLE, torch.device(device))
        capacity = -(-room // multiple) * multiple
        shape = (spec.layers, 2, spec.kv_heads, capacity, spec.head_dim)
        rows = torch.empty(shape, dtype=dtype, device=device)
        return cls(rows, 0, rotary(spec.head_dim, spec.rope_base))

    @property
    def capacity(self) -> int:
        return self.rows.shape[3]

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes

    def keys(self, layer: int) -> Tensor:
        """Return a layer's rotated keys, [H_kv, length, D]."""
        return self.rows[layer, 0, :, : self.length]

    def values(self, layer: int) -> Tensor:
        """Return a layer's values, [H_kv, length, D]."""
        return self.rows[layer, 1, :, : self.length]

    def rewind(self, length: int) -> None:
        """Forget everything from position `length` on."""
        if not 0 <= length <= self.length:
            raise RoomError(f"cannot rewind to {length}: the cache holds {self.length} positions")
        self.length = length

    def reserve(self, rows: int) -> None:
        """Make sure that `rows` more positions fit.

        Raises:
            RoomError: they do not; assemble again with more `room`.
        """
        if self.length + rows > self.capacity:
            raise RoomError(
                f"{rows} more positions do not fit: {self.length} of {self.capacity} are taken;"
                " assemble with more room"
            )

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Append R rows to one layer and return their attention, [H_q, R, D].

        Query [H_q, R, D], key and value [H_kv, R, D] come un-rotated. `length` moves on by
        `advance` after the last layer.
        """
        rows = query.shape[1]
        query, key = self.rotate_new(query), self.rotate_new(key)
        self._write(layer, key, value)
        if rows == 1:
            seen = self.rows[layer, :, :, : self.length + 1]
            return attend_one(query.to(seen.dtype), seen[0], seen[1])
        state = attend(query, key, value, causal=True)
        for (tile,) in tiled([range(self.length)], by_device(TILE_ROWS, query.device)):
            seen = self.rows[layer, :, :, tile.start : tile.stop].to(query.dtype)
            state = merge(state, attend(query, seen[0], seen[1]))
        return state.out

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Append un-rotated keys and values [H_kv, R, D] to one layer, and no more."""
        self._write(layer, self.rotate_new(key), value)

    def clear_room(self) -> None:
        """Write zeros where nothing stands yet, for readers that mask what they read."""
        self.rows[:, :, :, self.length :] = 0

    def turns(self) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines of the position after the last, each [1, D / 2]."""
        return self._rotary.at(range(self.length, self.length + 1), self.rows.device)

    def rotate_new(self, x: Tensor) -> Tensor:
        """Return queries or keys [H, R, D] rotated to the R positions after the last."""
        return self._rotary.rotate(x, range(self.length, self.length + x.shape[1]))

    def _write(self, layer: int, key: Tensor, value: Tensor) -> None:
        stop = self.length + key.shape[1]
        self.rows[layer, 0, :, self.length : stop] = key
        self.rows[layer, 1, :, self.length : stop] = value

    def advance(self, rows: int) -> None:
        self.length += rows
