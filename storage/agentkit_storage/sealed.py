"""Checksums inside SQL rows, of arrays and of what a row says: SQLite checks no page by itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash

from agentkit_storage.records import Array, clean_text

# What a row's seal is over. Ids, rows of tokens and vectors have checksums of their own.
GROUP = ("video_id", "number", "start_s", "end_s", "time_text", "text", "num_tokens", "rows_codec")
NOTE = ("video_id", "start_s", "end_s", "kind", "text", "score", "box")
SEGMENT = ("video_id", "space", "start_s", "end_s", "kind", "text")

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


def row_seal(row: Mapping[str, Any], columns: Sequence[str]) -> bytes:
    """Return the checksum of what a row says in these columns: texts, numbers, lists of numbers."""
    said = [row[name] for name in columns]
    clean = [clean_text(value) if isinstance(value, str) else value for value in said]
    return xxhash.xxh3_64_digest(json.dumps(clean).encode())


def check_row(row: Mapping[Any, Any], columns: Sequence[str]) -> None:
    """Raise SealError unless a row says what it said; one of an older version has no seal."""
    if row["seal"] is None:
        return
    try:
        found = row_seal(row, columns)
    except TypeError as error:  # damage has made bytes of a text
        raise SealError("a value of another type") from error
    if found != row["seal"]:
        raise SealError("checksum differs")
