"""The vector index of one space: derived from SQL, kept in step with it, snapshot on disk.

A snapshot is the XXH3 of the rest, a line of JSON (whose it is, of which kind, up to which rows it
goes), and FAISS's bytes. Whatever is wrong with it, SQL has the truth: it is made anew, and the log
says why. It is also made anew, as another kind, where a space has outgrown the kind it has.
"""

import json
import logging
import threading
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import sqlalchemy as sa
import xxhash
from numpy.typing import NDArray

from agentkit_storage import segments, vector_rows
from agentkit_storage.errors import StoreError
from agentkit_storage.files import write_whole
from agentkit_storage.schema import RemovalRow
from agentkit_storage.types import Filter
from agentkit_storage.vector_kinds import IndexSettings, Kind
from agentkit_storage.vectors import VectorIndex

logger = logging.getLogger(__name__)

_DEFAULTS = IndexSettings()


@dataclass(frozen=True, slots=True)
class _Header:
    """What a snapshot says of itself."""

    store: str
    space: str
    kind: str
    made_for: int
    probes: int
    size: int
    last_row: int
    last_removal: int
    count: int


class SpaceIndex:
    """One space's index in memory. What any process stored or removed is in at the next search."""

    def __init__(
        self, path: Path, store: str, name: str, settings: IndexSettings = _DEFAULTS
    ) -> None:
        self._path = path
        self._store = store
        self._name = name
        self._settings = settings
        self._lock = threading.Lock()
        self._index: VectorIndex | None = None
        self._last_row = self._last_removal = 0
        self._saved = (0, 0)

    @property
    def kind(self) -> Kind | None:
        """The kind in memory; None before the first search, and in a space without vectors."""
        return None if self._index is None else self._index.kind

    def search(
        self, conn: sa.Connection, vector: NDArray[np.float32], k: int, where: Filter
    ) -> list[tuple[int, float]]:
        """Return up to `k` (segment id, cosine), best first, of those that `where` lets through.

        The cosines are the stored vectors' whatever the kind; a kind that is not exact may miss
        some of the nearest.

        Raises:
            DamagedChunkError: a stored vector fails its checksum.
        """
        with self._lock:
            if (index := self._current(conn)) is None:
                return []
            ids = segments.ids_of(conn, self._name, where)
            if index.exact:
                return index.search(vector, k, ids)
            near = index.search(vector, k * self._settings.candidates, ids)
        return vector_rows.rescored(conn, self._name, vector, [id_ for id_, _ in near])[:k]

    def save(self, conn: sa.Connection) -> None:
        """Write a snapshot, if something happened since the last."""
        with self._lock:
            index = self._current(conn)
            if index is not None and self._saved != (self._last_row, self._last_removal):
                self._write(index)

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
        # Views, not copies: a large snapshot is hundreds of megabytes.
        raw = self._path.read_bytes()
        end = raw.find(b"\n")
        body = memoryview(raw)[end + 1 :]
        if xxhash.xxh3_64_hexdigest(body).encode() != raw[: max(end, 0)]:
            raise ValueError("damaged snapshot")
        end = raw.find(b"\n", end + 1)
        header = _header(raw[raw.find(b"\n") + 1 : end])
        if (header.store, header.space) != (self._store, self._name):
            raise ValueError("snapshot of another store")
        index = VectorIndex.load(memoryview(raw)[end + 1 :], header.made_for, header.probes)
        held = (index.kind, index.size, len(index))
        if held != (header.kind, self._name_size(conn), header.count):
            raise ValueError("snapshot of other vectors")
        self._index = index
        self._last_row, self._last_removal = header.last_row, header.last_removal
        self._saved = (self._last_row, self._last_removal)

    def _write(self, index: VectorIndex) -> None:
        state = (self._last_row, self._last_removal)
        laid_out = (index.kind, index.made_for, index.probes, index.size)
        header = _Header(self._store, self._name, *laid_out, *state, len(index))
        body = [json.dumps(asdict(header)).encode(), b"\n", index.dump()]
        checksum = xxhash.xxh3_64()
        for part in body:
            checksum.update(part)
        data = b"".join([checksum.hexdigest().encode(), b"\n", *body])
        write_whole(self._path, data, "index")
        self._saved = state

    def _compare(self, conn: sa.Connection) -> None:
        """Raise unless the ids are SQL's: a database put back from a copy has fewer rows."""
        ids = self._index.ids if self._index is not None else np.empty(0, np.int64)
        if vector_rows.totals(conn, self._name) != (len(ids), int(ids.sum())):
            raise ValueError("snapshot of other rows")

    def _start_anew(self, conn: sa.Connection) -> None:
        """Make the index from SQL, of the kind that its number of vectors asks for."""
        # Removals so far concern rows that SQL no longer has.
        newest = sa.select(sa.func.max(RemovalRow.id)).where(RemovalRow.space == self._name)
        self._index, self._last_row = None, 0
        self._last_removal = conn.scalar(newest) or 0
        self._saved = (0, 0)
        if (size := self._name_size(conn)) is not None:
            self._index = self._filled(conn, size)
            if not self._index.exact:
                self._keep(self._index)

    def _filled(self, conn: sa.Connection, size: int) -> VectorIndex:
        """Return an index with the vectors of SQL, trained and tuned on some of them."""
        settings = self._settings
        count, _ = vector_rows.totals(conn, self._name)
        if (kind := settings.kind_for(count)) is not Kind.FLAT:
            logger.info("%s: %d vectors are laid out as %s", self._path.name, count, kind)
        sample = vector_rows.sample(conn, self._name, settings.sample_size(count), settings.seed)
        index = VectorIndex(size, kind, count, sample)
        self._add_rows(conn, index)
        if sample is not None:
            # In order of id the first ones would be of few videos.
            some = sample[:: -(-len(sample) // settings.recall_queries)]
            index.tune(some, settings.recall, settings.probes)
        return index

    def _keep(self, index: VectorIndex) -> None:
        """Write what took a training, now; a store that cannot be written to is still searched."""
        try:
            self._write(index)
        except StoreError as error:
            logger.warning("no snapshot of the index: %s", error)

    def _catch_up(self, conn: sa.Connection) -> None:
        """Add the rows and take away the removals since the last time; one moment of SQL."""
        if (index := self._index) is None:
            return
        whole = self._add_rows(conn, index)
        if whole:
            self._take_away(conn, index)
        if not whole or self._settings.unfit(index.kind, len(index)):
            self._start_anew(conn)

    def _add_rows(self, conn: sa.Connection, index: VectorIndex) -> bool:
        """Add the rows since the last time; stop and return False where they outgrow the index."""
        for ids, vectors in vector_rows.after(conn, self._name, self._last_row):
            index.add(ids, vectors)
            self._last_row = int(ids[-1])
            if self._settings.outgrown(index.kind, index.made_for, len(index)):
                return False
        return True

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
