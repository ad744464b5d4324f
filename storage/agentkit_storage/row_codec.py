"""How rows of tokens lie in a blob: as they were given, or in 8 bits. Knows arrays, no file.

In 8 bits each run of 128 numbers of a row has a scale of its own, a 127th of its largest: one
outlier channel then costs its 127 neighbours their precision, and not the whole row.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agentkit_storage.errors import RecordError
from agentkit_storage.records import Array

TokensDtype = Literal["lossless", "int8"]
BLOCK = 128  # numbers that share a scale

_STEPS = np.float32(127)
_INT8 = "int8:"  # before the number type that rows were given in
_BFLOAT16 = "uint16"  # how bfloat16 travels
_BFLOAT16_MAX = np.float32(3.3895314e38)
_HALF = np.finfo(np.float16)
_ROWS = 16  # at a time: what is made of them stays in the processor's cache


def check_dtype(wanted: str) -> None:
    """Raise RecordError unless rows can be kept like this."""
    if wanted not in get_args(TokensDtype):
        raise RecordError(f"tokens are kept 'lossless' or as 'int8', not as {wanted!r}")


def codec_of(rows: Array, wanted: TokensDtype) -> str:
    """Return the name of how these rows are kept; `arrays` and `decoded` take it."""
    if wanted == "lossless":
        return str(rows.dtype)
    if str(rows.dtype) not in ("float16", "float32", _BFLOAT16):
        raise RecordError(f"rows of {rows.dtype} cannot be kept as int8; keep tokens lossless")
    return f"{_INT8}{rows.dtype}"


def names(index: int, codec: str | None) -> list[str]:
    """Return what a group's arrays are called in its chunk's blob."""
    rows = f"rows.{index}"
    return [rows, f"scales.{index}"] if (codec or "").startswith(_INT8) else [rows]


def encoded(rows: Array, index: int, codec: str) -> dict[str, Array]:
    """Return a group's rows [n, D] as the arrays that go into its chunk's blob.

    Raises:
        RecordError: NaN or infinite numbers cannot be kept in 8 bits.
    """
    if not codec.startswith(_INT8):
        return {f"rows.{index}": rows}
    values = _as_float32(rows)
    if not np.isfinite(values).all():
        raise RecordError(f"group {index}: NaN or infinite rows")
    whole, scales = quantised(values)
    return dict(zip(names(index, codec), (whole, scales), strict=True))


def decoded(arrays: Mapping[str, Array], index: int, codec: str | None) -> Array:
    """Return the rows [n, D] in the number type in which they were given."""
    found = [arrays[name] for name in names(index, codec)]
    if codec is None or len(found) == 1:
        return found[0]
    dtype = codec.removeprefix(_INT8)
    if dtype == "float16" and _are_normal_halves(found[1]):
        return _as_halves(*found)
    return _as_given(restored(*found), dtype)


def quantised(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return values [n, D] in whole steps, and the steps' sizes [n, ceil(D / 128)]."""
    blocks = _blocks(values)  # [n, B, 128]
    scales = (np.abs(blocks).max(axis=2, initial=0.0) / _STEPS).astype(np.float32)
    steps = np.where(scales > 0, scales, np.float32(1))[:, :, None]
    whole = np.clip(np.rint(blocks / steps), -_STEPS, _STEPS).astype(np.int8)
    return np.ascontiguousarray(_rows(whole, values.shape[1])), scales


def restored(whole: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values [n, D], each within half a step of what `quantised` was given."""
    with np.errstate(over="ignore"):  # the largest float32 may come back a hair beyond itself
        values = _blocks(whole.astype(np.float32)) * scales[:, :, None]
    return np.ascontiguousarray(_rows(values, whole.shape[1]))


def _blocks(values: Array) -> Array:
    """Return rows [n, D] as [n, ceil(D / 128), 128], filled up with zeros."""
    count, width = values.shape
    num_blocks = -(-width // BLOCK)
    if width != num_blocks * BLOCK:
        values = np.pad(values, ((0, 0), (0, num_blocks * BLOCK - width)))
    return values.reshape(count, num_blocks, BLOCK)


def _rows(blocks: Array, width: int) -> Array:
    count, num_blocks, _ = blocks.shape
    return blocks.reshape(count, num_blocks * BLOCK)[:, :width]


def _are_normal_halves(scales: NDArray[np.float32]) -> bool:
    """Say whether all that these scales can give is 0 or a float16 of full precision."""
    least = scales.min(initial=np.inf, where=scales > 0)
    return bool(least >= _HALF.smallest_normal and scales.max(initial=0) * _STEPS <= _HALF.max)


def _as_halves(whole: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return what `_as_given` makes of `restored`, in a third of the time: numpy rounds one by one.

    The exponent of a float32 is a float16's and 112 more. So the bits of a number times 2 ** -112
    are those of its float16 and 13 more, which are rounded away, of two as near to the even one.
    """
    blocks, steps = _blocks(whole), scales * np.float32(2.0**-112)
    halves = np.empty(blocks.shape, np.uint16)
    for start in range(0, len(blocks), _ROWS):
        some = slice(start, start + _ROWS)
        bits = (blocks[some].astype(np.float32) * steps[some, :, None]).view(np.uint32)
        bits &= 0x7FFFFFFF
        bits += 0xFFF + ((bits >> 13) & 1)
        halves[some] = bits >> 13
        halves[some] |= (blocks[some].view(np.uint8) & 0x80).astype(np.uint16) << 8  # the sign
    return np.ascontiguousarray(_rows(halves, whole.shape[1])).view(np.float16)


def _as_float32(rows: Array) -> NDArray[np.float32]:
    if str(rows.dtype) != _BFLOAT16:
        return rows.astype(np.float32)
    return (rows.astype(np.uint32) << 16).view(np.float32)


def _as_given(values: NDArray[np.float32], dtype: str) -> Array:
    """Return float32 in another number type, what is beyond its largest held to that."""
    if dtype != _BFLOAT16:
        largest = np.float32(np.finfo(dtype).max)
        return np.clip(values, -largest, largest).astype(dtype)
    bits = np.clip(values, -_BFLOAT16_MAX, _BFLOAT16_MAX).view(np.uint32)
    nearest_even = np.uint32(0x7FFF) + ((bits >> 16) & 1)
    return ((bits + nearest_even) >> 16).astype(np.uint16)
