"""Arrays in safetensors files named by their SHA-256. Knows no SQL, no video and no folder.

One file holds one segment; each array in it carries its own XXH3 in the file's metadata, and the
header's XXH3 is kept by the caller, so that a read pays only for the arrays that it takes.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, BufferedReader
from typing import Any

import numpy as np
import xxhash
from safetensors import SafetensorError
from safetensors.numpy import save

from agentkit_storage.blob_files import BlobFiles
from agentkit_storage.errors import RecordError
from agentkit_storage.records import Array

_DTYPES: dict[str, type[np.generic]] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_HASHES = "xxh3"

_Entry = tuple[str, Mapping[str, Any]]  # an array's name, and what the header says of it


class BlobError(Exception):
    """A blob is missing or fails a checksum; the caller knows whose it is."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob's name and what its reader checks first."""

    sha256: str
    nbytes: int
    header_xxh3: str


class Blobs:
    """Arrays by what they hold. Files are written whole and never changed."""

    def __init__(self, files: BlobFiles) -> None:
        self.files = files

    def put(self, tensors: Mapping[str, Array]) -> Blob:
        """Store arrays; the same arrays again are the same blob, and heal a damaged one."""
        data = _serialise(tensors)
        header = 8 + int.from_bytes(data[:8], "little")
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data), _xxh3(data[:header]))
        if not self.has(blob) or self.problem(blob) is not None:
            self.files.write(blob.sha256, data)
        return blob

    def has(self, blob: Blob) -> bool:
        return self.files.nbytes(blob.sha256) is not None

    def read(self, blob: Blob, names: Collection[str] | None = None) -> dict[str, Array]:
        """Return arrays by name, each checked against its XXH3; others are not read.

        Raises:
            BlobError: the file is gone, cut, changed, or has no array of that name.
        """
        with self.opened(blob) as file:
            header, first_byte = _read_header(file, blob)
            hashes: dict[str, str] = json.loads(header.pop("__metadata__")[_HASHES])
            if missing := set(names or ()) - set(header):
                raise BlobError(f"no array named {min(missing)!r}")
            wanted = {name: header[name] for name in (header if names is None else names)}
            found: dict[str, Array] = {}
            for run in _runs(wanted):
                found.update(_read_run(file, first_byte, run, hashes))
            return {name: found[name] for name in wanted}

    def problem(self, blob: Blob) -> str | None:
        """Return what is wrong with a blob's bytes by size and SHA-256, or None."""
        try:
            with self.opened(blob) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except BlobError as error:
            return str(error)
        return None if found == blob.sha256 else "SHA-256 differs"

    @contextmanager
    def opened(self, blob: Blob) -> Iterator[BufferedReader]:
        """Give a blob's file, whose length is right; nothing else of it is checked.

        Raises:
            BlobError: it is gone, or of another length.
        """
        # Read, not mapped: a map of Python's keeps a descriptor for as long as its arrays live,
        # a long video has more chunks than a process may open files, and what was checked is
        # then also what is used.
        try:
            with self.files.open(blob.sha256) as file:
                nbytes = file.seek(0, SEEK_END)
                if nbytes != blob.nbytes:
                    raise BlobError(f"{nbytes} bytes instead of {blob.nbytes}")
                file.seek(0)
                yield file
        except OSError as error:
            raise BlobError(f"unreadable: {error.strerror}") from error


def _serialise(tensors: Mapping[str, Array]) -> bytes:
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype not in _NAMES:
            raise RecordError(f"array {name!r}: dtype {array.dtype} cannot be stored")
    hashes = {name: _xxh3(arrays[name].reshape(-1).view(np.uint8).data) for name in sorted(arrays)}
    try:
        return bytes(save(arrays, {_HASHES: json.dumps(hashes)}))
    except SafetensorError as error:
        raise RecordError(f"arrays cannot be stored: {error}") from error


def _read_header(file: BufferedReader, blob: Blob) -> tuple[dict[str, Any], int]:
    """Return the checked header, and where the arrays begin."""
    start = file.read(8)
    nbytes = int.from_bytes(start, "little")
    data = start + file.read(nbytes if nbytes <= blob.nbytes else 0)
    if _xxh3(data) != blob.header_xxh3:
        raise BlobError("header damaged")
    return json.loads(data[8:]), len(data)


def _runs(entries: Mapping[str, Mapping[str, Any]]) -> list[list[_Entry]]:
    """Return (name, entry) in the order of the file, those together that lie side by side."""
    runs: list[list[_Entry]] = []
    end = -1
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if start != end:
            runs.append([])
        runs[-1].append((name, entry))
        end = stop
    return runs


def _read_run(
    file: BufferedReader, first_byte: int, run: Sequence[_Entry], hashes: Mapping[str, str]
) -> Iterator[tuple[str, Array]]:
    """Read what lies side by side at once; yield each array, checked by itself."""
    start, stop = run[0][1]["data_offsets"][0], run[-1][1]["data_offsets"][1]
    data = np.empty(stop - start, np.uint8)
    file.seek(first_byte + start)
    is_whole = file.readinto(data.data) == data.nbytes
    for name, entry in run:
        first, end = entry["data_offsets"]
        own = data[first - start : end - start]
        if not is_whole or _xxh3(own.data) != hashes[name]:
            raise BlobError(f"array {name!r} damaged")
        yield name, own.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _xxh3(data: bytes | memoryview) -> str:
    return str(xxhash.xxh3_64_hexdigest(data))
