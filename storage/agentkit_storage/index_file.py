"""The snapshot of an index on disk. Knows bytes and what they say of themselves; knows no SQL.

It is the XXH3 of the rest, a line of JSON (whose it is, of which kind, up to which rows it goes),
and FAISS's bytes. It is written whole, so whoever reads finds the one before or the one after.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import xxhash

from agentkit_storage.files import write_whole
from agentkit_storage.index_rows import Held
from agentkit_storage.vector_kinds import Kind
from agentkit_storage.vectors import VectorIndex

_MOST_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot says of itself."""

    store: str
    space: str
    kind: Kind
    made_for: int
    probes: int
    size: int
    last_row: int
    last_removal: int
    count: int


def write(path: Path, store: str, space: str, held: Held) -> None:
    """Write a snapshot in place of the one before.

    Raises:
        StoreFullError, StoreError; the one before is then there still.
    """
    index, reach = held.index, held.reach
    laid_out = (index.kind, index.made_for, index.probes, index.size)
    header = Header(store, space, *laid_out, *reach, len(index))
    body = [json.dumps(asdict(header)).encode(), b"\n", index.dump()]
    checksum = xxhash.xxh3_64()
    for part in body:
        checksum.update(part)
    write_whole(path, b"".join([checksum.hexdigest().encode(), b"\n", *body]), "index")
    held.saved = reach


def read_header(path: Path) -> Header:
    """Return what a snapshot says of itself; it may be damaged all the same.

    Raises:
        ValueError, TypeError, OSError
    """
    with path.open("rb") as file:
        start = file.read(_MOST_HEADER_BYTES)
    return _header(start.partition(b"\n")[2].partition(b"\n")[0])


def read(path: Path, store: str, space: str) -> Held:
    """Return what a snapshot of this store's space holds.

    Raises:
        ValueError, TypeError, OSError: it is damaged, another's, or not there.
    """
    # Views, not copies: a large snapshot is hundreds of megabytes.
    raw = path.read_bytes()
    start = raw.find(b"\n") + 1
    if xxhash.xxh3_64_hexdigest(memoryview(raw)[start:]).encode() != raw[: max(start - 1, 0)]:
        raise ValueError("damaged snapshot")
    end = raw.find(b"\n", start)
    header = _header(raw[start:end])
    if (header.store, header.space) != (store, space):
        raise ValueError("snapshot of another store")
    index = VectorIndex.load(memoryview(raw)[end + 1 :], header.made_for, header.probes)
    if (index.kind, index.size, len(index)) != (header.kind, header.size, header.count):
        raise ValueError("snapshot of other vectors")
    held = Held(index, header.last_row, header.last_removal)
    held.saved = held.reach
    return held


def _header(line: bytes) -> Header:
    values = json.loads(line)
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Header)}:
        raise ValueError("not a snapshot of ours")
    return Header(**values | {"kind": Kind(values["kind"])})
