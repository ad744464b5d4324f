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
    return _as_given(restored(*found), codec.removeprefix(_INT8))


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
    padded = np.pad(values, ((0, 0), (0, num_blocks * BLOCK - width)))
    return padded.reshape(count, num_blocks, BLOCK)


def _rows(blocks: Array, width: int) -> Array:
    count, num_blocks, _ = blocks.shape
    return blocks.reshape(count, num_blocks * BLOCK)[:, :width]


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
