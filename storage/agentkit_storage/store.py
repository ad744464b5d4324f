"""The store: what was seen and heard of videos, kept so that a kill at any point harms nothing.

SQL is the only truth. Blobs are on disk before the rows that name them; the vector index is
derived. Knows no model, no agent, no video file.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from agentkit_storage import (
    blob_marker,
    bundles,
    row_codec,
    segments,
    settings,
    upkeep,
    words,
)
from agentkit_storage.errors import StoreError
from agentkit_storage.files import make_folder
from agentkit_storage.index import SpaceIndex
from agentkit_storage.location import Location
from agentkit_storage.postgres import PostgreSQL
from agentkit_storage.postgres_search import PgVectors
from agentkit_storage.row_codec import TokensDtype
from agentkit_storage.schema import BlobRow
from agentkit_storage.types import Problem, StoreStats
from agentkit_storage.writer import Writer

logger = logging.getLogger(__name__)


class Store(Writer):
    """A folder with a database, blobs and indexes. Safe in several threads and processes at once.

    Every method may raise StoreError; those that name a video by id raise UnknownVideoError.
    """

    migrated_from: str | None = None  # the newest migration that it had; None: it is new

    @classmethod
    def open(
        cls,
        location: Path | str,
        kv_budget_bytes: int | None = None,
        tokens_dtype: TokensDtype = "lossless",
    ) -> Self:
        """Open the store in a folder, or `postgresql://USER@HOST/DATABASE?blobs=/FOLDER`.

        Folder and tables are made where they are missing, and migrated.

        `kv_budget_bytes` is what `trim_kv` keeps all KV to, None: no limit. `tokens_dtype` is how
        rows of chunks that are added are kept; what is stored stays as it is.
        """
        row_codec.check_dtype(tokens_dtype)
        store = cls(Location.of(location))
        store.kv_budget_bytes, store.tokens_dtype = kv_budget_bytes, tokens_dtype
        try:
            store._begin()
        except BaseException:
            store._db.close()
            raise
        return store

    def _begin(self) -> None:
        """Make or migrate what is there, and see that folder and database belong together."""
        is_server = isinstance(self._db, PostgreSQL)
        if not is_server:
            blob_marker.require_unclaimed(self._folder)
        make_folder(self._folder)
        make_folder(self._folder / "locks")
        self.migrated_from = self._db.migrate()
        self._store_id = self._own_id()
        if is_server:
            blob_marker.claim(self._folder, self._store_id, self._has_blobs())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the indexes' snapshots and let go of the files."""
        try:
            for index in self._indexes_to_save():
                index.save(self._has_added)
        except StoreError as error:
            logger.warning("no snapshot of the index: %s", error)
        finally:
            self._db.close()

    def _indexes_to_save(self) -> list[SpaceIndex | PgVectors]:
        """Return those in memory; after writing all, as one may have outgrown its kind."""
        if self._has_added:
            with self._db.read() as conn:
                return [self._index(name) for name in segments.sizes(conn)]
        return list(self._indexes.values())

    # Bundles

    def export_bundle(
        self,
        names: Iterable[str],
        path: Path | str,
        tiers: Iterable[str] | None = None,
        footage: bool = False,
        progress: bundles.Progress | None = None,
    ) -> None:
        """Write videos into one file for another store: `tiers` of them, all by default.

        Notes and vectors always go along, tokens wherever KV does; the video files only with
        `footage`. `progress` gets (bytes done, of how many).

        Raises:
            UnknownVideoError, AmbiguousVideoError, DamagedChunkError: no file is written.
        """
        ids = [self.video(name).video_id for name in names]
        bundles.export(self._db, self._blobs, ids, Path(path), tiers, footage, progress)

    def import_bundle(
        self,
        path: Path | str,
        footage: Path | str | None = None,
        replace: bool = False,
        progress: bundles.Progress | None = None,
    ) -> list[bundles.Imported]:
        """Take the videos of a bundle in; it is read and checked whole before anything is written.

        Its video files go under the folder `footage`, and nowhere without one. `replace` lets the
        bundle's video take the place of one that was made with other settings.

        Raises:
            BundleError: it is damaged, or holds what no bundle of ours would.
            StoreVersionError: a newer version made it.
            IncompatibleError: the store has a video of another making, or vectors of another model.
        """
        folder = None if footage is None else Path(footage)
        return bundles.import_bundle(self, Path(path), folder, replace, progress=progress)

    # Settings and upkeep

    def set_setting(self, key: str, value: str) -> None:
        with self._db.write("setting") as conn:
            settings.put(conn, key, value)

    def stats(self) -> StoreStats:
        """Return what the store takes, by tier and video."""
        return upkeep.stats(self._db, self._blobs, self._folder / "index")

    def verify(self, progress: upkeep.Progress | None = None) -> list[Problem]:
        """Check all that is stored against its hashes; `progress` gets (done, of)."""
        return upkeep.verify(self._db, self._blobs, progress)

    def rebuild(self) -> None:
        """Make all anew that searches read and that follows from the texts and vectors in SQL."""
        with self._db.write("rebuild") as conn:
            words.keep(conn)
        self.rebuild_index()

    def rebuild_index(self) -> None:
        """Make the vector indexes from SQL and write their snapshots."""
        with self._db.read() as conn:
            names = list(segments.sizes(conn))
        for name in names:
            self._index(name).rebuild()
            self._index(name).save()

    def gc(self, grace_s: float = 3600.0) -> int:
        """Free bytes that nothing refers to; return how many. Unfinished files wait `grace_s`."""
        return upkeep.gc(self._db, self._blobs, self._folder / "index", grace_s)

    def _has_blobs(self) -> bool:
        with self._db.read() as conn:
            return conn.scalar(sa.select(BlobRow.sha256).limit(1)) is not None

    def _own_id(self) -> str:
        """Return the store's own name; only a new store waits for a writer."""
        with self._db.read() as conn:
            known = settings.get(conn, settings.STORE_ID)
        if known is None:
            with self._db.write("setting") as conn:
                known = settings.store_id(conn)
        return known
