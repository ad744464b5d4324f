"""Arrays inside SQL rows, each followed by its XXH3: SQLite checks no page by itself."""

import numpy as np
import xxhash

from agentkit_storage.records import Array

_SEAL = 8


class SealError(Exception):
    """The bytes of a row are not the ones that were written."""


def seal(array: Array) -> bytes:
    """Return an array's bytes with their checksum behind them."""
    data = np.ascontiguousarray(array).tobytes()
    return data + xxhash.xxh3_64_digest(data)


def unseal(data: bytes, dtype: type[np.generic]) -> Array:
    """Return the one-axis array that `seal` was given, or raise SealError."""
    body = data[:-_SEAL]
    if len(data) < _SEAL or xxhash.xxh3_64_digest(body) != data[-_SEAL:]:
        raise SealError("checksum differs")
    return np.frombuffer(body, dtype)
