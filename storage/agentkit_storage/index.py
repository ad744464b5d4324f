"""The vector index of one space: derived from SQL, kept in step with it, snapshot on disk.

A snapshot is the XXH3 of the rest, a line of JSON (whose it is, up to which rows it goes), and
FAISS's bytes. Whatever is wrong with it, SQL has the truth: it is made anew, and the log says why.
"""

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import sqlalchemy as sa
import xxhash
from numpy.typing import NDArray

from agentkit_storage import segments
from agentkit_storage.errors import StoreError
from agentkit_storage.files import write_whole
from agentkit_storage.schema import RemovalRow, SegmentRow
from agentkit_storage.vectors import VectorIndex

logger = logging.getLogger(__name__)

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class _Header:
    """What a snapshot says of itself."""

    store: str
    space: str
    size: int
    last_row: int
    last_removal: int
    count: int


class SpaceIndex:
    """One space's index in memory. What any process stored or removed is in at the next search."""

    def __init__(self, path: Path, store: str, name: str) -> None:
        self._path = path
        self._store = store
        self._name = name
        self._lock = threading.Lock()
        self._index: VectorIndex | None = None
        self._last_row = self._last_removal = 0
        self._saved = (0, 0)

    def search(
        self, conn: sa.Connection, vector: NDArray[np.float32], k: int, only: Sequence[str] | None
    ) -> list[tuple[int, float]]:
        """Return up to `k` (segment id, cosine), best first; `only` names the videos to search."""
        with self._lock:
            if (index := self._current(conn)) is None:
                return []
            ids = None if only is None else segments.ids_of(conn, self._name, only)
            return index.search(vector, k, ids)

    def save(self, conn: sa.Connection) -> None:
        """Write a snapshot, if something happened since the last."""
        with self._lock:
            index = self._current(conn)
            if index is None or self._saved == (self._last_row, self._last_removal):
                return
            header = _Header(
                self._store, self._name, index.size, self._last_row, self._last_removal, len(index)
            )
            data = json.dumps(asdict(header)).encode() + b"\n" + index.dump()
            checksum = xxhash.xxh3_64_hexdigest(data).encode() + b"\n"
            write_whole(self._path, checksum + data, "index")
            self._saved = (self._last_row, self._last_removal)

    def rebuild(self, conn: sa.Connection) -> None:
        """Make the index from SQL alone."""
        with self._lock:
            self._start_anew(conn)

    def _current(self, conn: sa.Connection) -> VectorIndex | None:
        if self._index is None:
            self._open(conn)
        elif self._name_size(conn) != self._index.size:
            self._start_anew(conn)
        else:
            self._catch_up(conn)
        return self._index

    def _open(self, conn: sa.Connection) -> None:
        try:
            self._load(conn)
            self._catch_up(conn)
            self._compare(conn)
        except FileNotFoundError:
            self._start_anew(conn)
        except (StoreError, ValueError, TypeError, OSError) as error:
            logger.warning("%s: %s; the index is made anew from SQL", self._path.name, error)
            self._start_anew(conn)

    def _load(self, conn: sa.Connection) -> None:
        checksum, _, body = self._path.read_bytes().partition(b"\n")
        if xxhash.xxh3_64_hexdigest(body).encode() != checksum:
            raise ValueError("damaged snapshot")
        line, _, data = body.partition(b"\n")
        header = _header(line)
        if (header.store, header.space) != (self._store, self._name):
            raise ValueError("snapshot of another store")
        index = VectorIndex.load(data)
        if index.size != self._name_size(conn) or len(index) != header.count:
            raise ValueError("snapshot of other vectors")
        self._index = index
        self._last_row, self._last_removal = header.last_row, header.last_removal
        self._saved = (self._last_row, self._last_removal)

    def _compare(self, conn: sa.Connection) -> None:
        """Raise unless the ids are SQL's: a database put back from a copy has fewer rows."""
        mine = (SegmentRow.space == self._name) & SegmentRow.vector.is_not(None)
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(SegmentRow.id), 0))
        ids = self._index.ids if self._index is not None else np.empty(0, np.int64)
        if tuple(conn.execute(query.where(mine)).one()) != (len(ids), int(ids.sum())):
            raise ValueError("snapshot of other rows")

    def _start_anew(self, conn: sa.Connection) -> None:
        size = self._name_size(conn)
        self._index = None if size is None else VectorIndex(size)
        self._last_row = 0
        # Removals so far concern rows that SQL no longer has.
        newest = sa.select(sa.func.max(RemovalRow.id)).where(RemovalRow.space == self._name)
        self._last_removal = conn.scalar(newest) or 0
        self._saved = (0, 0)
        self._catch_up(conn)

    def _catch_up(self, conn: sa.Connection) -> None:
        """Add the rows and take away the removals since the last time; one moment of SQL."""
        if self._index is None:
            return
        query = segments.vectors_of(self._name).where(SegmentRow.id > self._last_row)
        for rows in conn.execute(query.order_by(SegmentRow.id)).partitions(_BATCH):
            vectors = np.stack([segments.unpack(row) for row in rows])
            self._index.add(np.array([row.id for row in rows], np.int64), vectors)
            self._last_row = rows[-1].id
        self._take_away(conn, self._index)

    def _take_away(self, conn: sa.Connection, index: VectorIndex) -> None:
        query = sa.select(RemovalRow).where(RemovalRow.space == self._name)
        query = query.where(RemovalRow.id > self._last_removal).order_by(RemovalRow.id)
        for row in conn.execute(query):
            index.remove(np.frombuffer(row.segment_ids, "<i8"))
            self._last_removal = row.id

    def _name_size(self, conn: sa.Connection) -> int | None:
        found = segments.space(conn, self._name)
        return None if found is None else found.size


def _header(line: bytes) -> _Header:
    values = json.loads(line)
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(_Header)}:
        raise ValueError("not a snapshot of ours")
    return _Header(**values)
