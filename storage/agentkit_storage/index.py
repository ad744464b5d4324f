"""The vector index of one space: derived from SQL, kept in step with it, snapshot on disk.

Whatever is wrong with a snapshot, SQL has the truth: the index is made anew, and the log says why.
Where a space has outgrown the kind that it has, a thread makes the kind that fits, by a connection
of its own, while searches go on with the old one. One process at a time does that, and the others
take what it wrote.
"""

import logging
import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from agentkit_storage import index_file, index_rows, segments, vector_rows
from agentkit_storage.errors import StoreError
from agentkit_storage.files import make_folder
from agentkit_storage.index_rows import Connect, Held
from agentkit_storage.locks import exclusive
from agentkit_storage.records import unit_vector
from agentkit_storage.types import Filter
from agentkit_storage.vector_kinds import IndexSettings, Kind

logger = logging.getLogger(__name__)

_DEFAULTS = IndexSettings()
_NO_SNAPSHOT = (StoreError, ValueError, TypeError, OSError)  # whatever is wrong with one


class SpaceIndex:
    """One space's index in memory. What any process stored or removed is in at the next search.

    `connect` opens a connection for a thread of its own.
    """

    def __init__(
        self,
        path: Path,
        store: str,
        name: str,
        connect: Connect,
        settings: IndexSettings = _DEFAULTS,
    ) -> None:
        self._path = path
        self._store = store
        self._name = name
        self._connect = connect
        self._settings = settings
        self._lock = threading.Lock()  # nobody is inside `_held` without it
        self._held: Held | None = None
        self._builder: threading.Thread | None = None
        self._has_failed = False

    @property
    def kind(self) -> Kind | None:
        """The kind in memory; None before the first search, and in a space that nobody claimed."""
        return None if self._held is None else self._held.index.kind

    def search(
        self, conn: sa.Connection, vector: NDArray[np.float32], k: int, where: Filter
    ) -> list[tuple[int, float]]:
        """Return up to `k` (segment id, cosine), best first, of those that `where` lets through.

        The cosines are the stored vectors' whatever the kind; a kind that is not exact may miss
        some of the nearest. It waits for no training.

        `conn` has read nothing yet: the moment that it sees must not be before the one that another
        thread has brought the index to, or what is nearest would be of rows that it cannot see.

        Raises:
            VectorError: NaN, no direction, or another size than the space's.
            DamagedChunkError: a stored vector fails its checksum.
        """
        with self._lock:
            held = self._current(conn)
            vector = unit_vector(vector, "the query", None if held is None else held.index.size)
            if held is None:
                return []
            if not self._fits(held):
                self._build_behind(held)
            ids = segments.ids_of(conn, self._name, where)
            if held.index.exact:
                return held.index.search(vector, k, ids)
            near = held.index.search(vector, k * self._settings.candidates, ids)
        return vector_rows.rescored(conn, self._name, vector, [id_ for id_, _ in near])[:k]

    def save(self, wrote: bool = False) -> None:
        """Write a snapshot, if something happened since the last.

        Who `wrote` vectors and is done makes the kind that fits first: no search waits for it.
        """
        with self._connect() as conn:
            self._save(conn, wrote)

    def _save(self, conn: sa.Connection, wrote: bool) -> None:
        if self._held is None and not (wrote and self._is_due(conn)):
            return
        if wrote:
            self._settle(conn)
        with self._lock:
            if (held := self._current(conn)) is not None and held.saved != held.reach:
                self._write(held)

    def rebuild(self) -> None:
        """Make the index from SQL alone, of the kind that fits, before it returns."""
        with self._connect() as conn:
            made = self._made(conn, self._settings.kind_for)
        with self._lock:
            self._held, self._has_failed = made, False

    def wait(self) -> None:
        """Return once nothing is being made behind the searches."""
        if (builder := self._builder) is not None:
            builder.join()

    # What is in memory, in step with SQL. The caller holds the lock.

    def _current(self, conn: sa.Connection) -> Held | None:
        space = segments.space(conn, self._name)
        if space is None:
            self._held = None
        elif self._held is None:
            self._held = self._opened(conn, space.size)
        elif self._held.index.size != space.size or not self._in_step(conn, self._held):
            self._held = self._made(conn, self._settings.first_kind_for)
        return self._held

    def _in_step(self, conn: sa.Connection, held: Held) -> bool:
        """Catch up with SQL; False where that is too much for the kind that there is."""
        most = None if self._has_failed else self._settings.most(held.index.kind)
        return index_rows.follow(conn, self._name, held, most)

    def _opened(self, conn: sa.Connection, size: int) -> Held | None:
        try:
            if (held := self._loaded(conn, size)) is not None:
                return held
        except FileNotFoundError:
            pass
        except _NO_SNAPSHOT as error:
            logger.warning("%s: %s; the index is made anew from SQL", self._path.name, error)
        return self._made(conn, self._settings.first_kind_for)

    def _loaded(self, conn: sa.Connection, size: int) -> Held | None:
        """Return what the snapshot has, in step with SQL; None where it is too far behind."""
        held = index_file.read(self._path, self._store, self._name)
        if held.index.size != size:
            raise ValueError("snapshot of other vectors")
        if not self._in_step(conn, held):
            return None
        index_rows.require_same(conn, self._name, held)
        return held

    def _made(self, conn: sa.Connection, choose: index_rows.Choice) -> Held | None:
        """Return an index from SQL alone; one that took a training is on disk at once."""
        held = index_rows.make(lambda: nullcontext(conn), self._name, choose, self._settings)
        if held is not None and not held.index.exact:
            self._keep(held)
        return held

    # The kind that fits, made behind the searches. The caller of `_build` does not hold the lock.

    def _fits(self, held: Held) -> bool:
        index = held.index
        return self._settings.fits(index.kind, index.made_for, len(index))

    def _build_behind(self, old: Held) -> None:
        """Start making what fits, unless that is under way, or came to nothing before."""
        if self._has_failed or (self._builder is not None and self._builder.is_alive()):
            return
        name = f"index of {self._name}"
        self._builder = threading.Thread(target=self._build, args=(old,), name=name, daemon=True)
        self._builder.start()

    def _is_due(self, conn: sa.Connection) -> bool:
        """Say whether what is on disk, not read here yet, is of a kind that the space outgrew."""
        space = segments.space(conn, self._name)
        count, _ = vector_rows.totals(conn, self._name)
        large = self._settings.kind_for(count) is not Kind.FLAT
        return space is not None and large and not self._fits_on_disk(space.size, count)

    def _settle(self, conn: sa.Connection) -> None:
        """Wait for what is being made; make here what does not fit even so."""
        self.wait()
        with self._lock:
            held = self._current(conn)
        if held is not None and not self._fits(held) and not self._has_failed:
            logger.info("%s: the index is laid out anew before the store is closed", self._name)
            self._build(held)

    def _build(self, old: Held) -> None:
        """Put what fits in the place of `old`, unless another process is making it."""
        try:
            make_folder(self._path.parent)
            with exclusive(self._path.with_suffix(".lock"), wait=False) as mine:
                if not mine:
                    return
                new = self._of_another() or self._of_my_own()
                with self._lock:
                    if self._held is old and new is not None:
                        self._held = new
        except Exception as error:  # noqa: BLE001 — a thread ends here, and searches need it not
            self._has_failed = True
            logger.warning(
                "%s: the index stays of the old kind, right but slower (%s); it is tried again "
                "when the store is opened again",
                self._name,
                error,
            )

    def _of_another(self) -> Held | None:
        """Return what another process has written since, where that fits."""
        try:
            with self._connect() as conn:
                space = segments.space(conn, self._name)
                count, _ = vector_rows.totals(conn, self._name)
                if space is None or not self._fits_on_disk(space.size, count):
                    return None
                return self._loaded(conn, space.size)
        except _NO_SNAPSHOT as error:
            logger.info("%s: %s", self._path.name, error)
            return None

    def _of_my_own(self) -> Held | None:
        rules = self._settings
        held = index_rows.make(self._connect, self._name, rules.kind_for, rules)
        if held is None:
            return None
        with self._connect() as conn:  # what came while it was made
            index_rows.follow(conn, self._name, held)
        logger.info(
            "%s: %d vectors are laid out as %s", self._name, len(held.index), held.index.kind
        )
        self._keep(held)
        return held

    # The snapshot

    def _keep(self, held: Held) -> None:
        """Write what took a training; a store that cannot be written to is still searched."""
        try:
            self._write(held)
        except StoreError as error:
            logger.warning("no snapshot of the index: %s", error)

    def _write(self, held: Held) -> None:
        """Write a snapshot, but not over one of the kind that fits where this one does not."""
        if self._fits(held) or not self._fits_on_disk(held.index.size, len(held.index)):
            index_file.write(self._path, self._store, self._name, held)

    def _fits_on_disk(self, size: int, count: int) -> bool:
        try:
            header = index_file.read_header(self._path)
            whose = (header.store, header.space, header.size)
            mine = whose == (self._store, self._name, size)
            return mine and self._settings.fits(header.kind, header.made_for, count)
        except _NO_SNAPSHOT:
            return False
