"""The store: what was seen and heard of videos, kept so that a kill at any point harms nothing.

SQL is the only truth. Blobs are on disk before the rows that name them; the vector index is
derived. Knows no model, no agent, no video file.
"""

import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from agentkit_storage import chunks, locks, segments, settings, tokens, upkeep, videos, words
from agentkit_storage.blobs import BlobFolder
from agentkit_storage.database import Database
from agentkit_storage.errors import RecordError, StoreError
from agentkit_storage.files import make_folder
from agentkit_storage.index import SpaceIndex
from agentkit_storage.records import (
    Array,
    ChunkRecord,
    GroupRecord,
    check_notes,
    check_record,
    unit_vector,
)
from agentkit_storage.schema import KvRow, VideoRow
from agentkit_storage.types import Chunk, Hit, Note, Problem, StoredVideo, StoreStats
from agentkit_storage.videos import VideoChanges

logger = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Store:
    """A folder with a database, blobs and indexes. Safe in several threads and processes at once.

    Every method may raise StoreError; those that name a video by id raise UnknownVideoError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._db = Database(folder / "store.sqlite")
        self._blobs = BlobFolder(folder / "blobs")
        self._indexes: dict[str, SpaceIndex] = {}
        self._store_id = ""

    @classmethod
    def open(cls, location: Path | str) -> Self:
        """Open the store in a folder; both are made where they are missing, and migrated."""
        if "://" in str(location):
            raise StoreError(f"{location}: only a folder can be a store yet; name a folder")
        store = cls(Path(location))
        make_folder(store._folder)
        make_folder(store._folder / "locks")
        store._db.migrate(store._folder / "locks" / "migrate.lock")
        with store._db.write("setting") as conn:
            store._store_id = settings.store_id(conn)
        return store

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
            with self._db.read() as conn:
                for index in self._indexes.values():
                    index.save(conn)
        except StoreError as error:
            logger.warning("no snapshot of the index: %s", error)
        finally:
            self._db.close()

    # Videos

    def add_video(self, video: StoredVideo, fingerprint: str) -> None:
        """Add a video, empty. One that is there stays as it is.

        Raises:
            IncompatibleError: it is there under another fingerprint.
        """
        if not _ID.fullmatch(video.video_id):
            raise RecordError(f"{video.video_id!r} is no video id; use the SHA-256 of the content")
        with self._db.write("video") as conn:
            videos.insert(conn, video, fingerprint)

    def update_video(self, video_id: str, **changes: Unpack[VideoChanges]) -> None:
        """Change what is known of a video: state, missing, frames_seen, path..."""
        with self._db.write("video") as conn:
            videos.update(conn, video_id, changes)

    def videos(self) -> list[StoredVideo]:
        """Return all videos in the order in which they were added."""
        with self._db.read() as conn:
            return videos.select(conn)

    def video(self, name: str | Path) -> StoredVideo:
        """Return the video of this id, path, beginning of an id (4 or more), or file name.

        Raises:
            UnknownVideoError, AmbiguousVideoError
        """
        with self._db.read() as conn:
            return videos.select(conn, [videos.find(conn, str(name))])[0]

    def fingerprint(self, video_id: str) -> str | None:
        """Return what a video was added under, or None where it is not stored."""
        with self._db.read() as conn:
            query = sa.select(VideoRow.fingerprint).where(VideoRow.id == video_id)
            return conn.scalar(query)

    def remove_video(self, video_id: str) -> None:
        """Remove a video from every tier and from search, at once; `gc` frees its blobs."""
        with self._db.write("remove") as conn:
            videos.delete(conn, video_id)

    @contextmanager
    def ingest_lock(
        self, video_id: str, wait: Callable[[float], None] | None = None
    ) -> Iterator[bool]:
        """Give True to one process at a time. Without `wait`, False where another has the lock;
        with it, it is called now and again with the seconds waited so far until the lock is ours.

        The system frees the lock of a process that dies.
        """
        if not _ID.fullmatch(video_id):
            raise RecordError(f"{video_id!r} is no video id")
        with locks.exclusive(self._folder / "locks" / f"{video_id}.lock", wait) as held:
            yield held

    # Chunks

    def put_sound_notes(self, video_id: str, notes: Iterable[Note]) -> None:
        """Store all that was heard, none included, in place of what was stored before."""
        notes = tuple(notes)
        check_notes(notes)
        with self._db.write("sound") as conn:
            videos.require(conn, video_id)
            chunks.replace_sound_notes(conn, video_id, notes)

    def sound_notes(self, video_id: str) -> tuple[Note, ...] | None:
        """Return what was heard, or None where nobody has listened yet."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            listened = conn.scalar(sa.select(VideoRow.listened).where(VideoRow.id == video_id))
            return tuple(chunks.select_sound_notes(conn, video_id)) if listened else None

    def add_chunk(self, record: ChunkRecord) -> None:
        """Store a chunk whole, in one transaction. One that is there stays as it is.

        Raises:
            RecordError, VectorError: nothing has been written.
        """
        check_record(record)
        with self._db.read() as conn:
            videos.require(conn, record.chunk.video_id)
            if chunks.exists(conn, record.chunk):
                return
            sizes = segments.sizes(conn)
        rows = segments.rows(record, sizes)
        tensors = chunks.rows_of(record.groups)
        blob = self._blobs.put(tensors) if tensors else None
        with self._db.write("chunk") as conn:
            videos.require(conn, record.chunk.video_id)
            if chunks.exists(conn, record.chunk):
                return
            segments.claim_sizes(conn, sizes)
            if blob is not None and not self._blobs.has(blob):  # freed by gc since
                self._blobs.put(tensors)
            chunk_id = chunks.insert(conn, record, blob)
            segments.insert(conn, record.chunk.video_id, chunk_id, rows)

    def num_chunks(self, video_id: str) -> int:
        """Return how many chunks stand from 0 without a gap: where an ingest goes on."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return videos.num_chunks(conn, video_id)

    def chunks(self, video_id: str) -> list[Chunk]:
        """Return the chunks that stand from 0 without a gap."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return chunks.select(conn, video_id, videos.num_chunks(conn, video_id))

    def groups(
        self, video_id: str, first: int = 0, stop: int | None = None, rows: bool = True
    ) -> list[GroupRecord]:
        """Return groups [first, stop); without `rows`, no blob is read.

        Raises:
            DamagedChunkError: stored tokens fail their checksum.
        """
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return tokens.groups(conn, self._blobs, video_id, first, stop, rows)

    def notes(
        self,
        video_id: str,
        start_s: float = 0.0,
        end_s: float = math.inf,
        kinds: Iterable[str] | None = None,
    ) -> list[Note]:
        """Return the notes that touch [start_s, end_s), in order of time."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return chunks.select_notes(conn, video_id, start_s, end_s, kinds)

    def digest(self, video_id: str) -> str:
        """Return the SHA-256 over all notes and tokens of a video."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            notes = chunks.select_notes(conn, video_id)
            groups = tokens.groups(conn, self._blobs, video_id, 0, None, rows=True)
            return chunks.digest(notes, groups)

    # KV

    def put_kv(
        self, video_id: str, fingerprint: str, index: int, tensors: Mapping[str, Array]
    ) -> None:
        """Store the cache of a chunk, or of the system prefix (-1), in place of one before."""
        if index < tokens.SYSTEM_PREFIX or not 0 < len(fingerprint) <= 200:
            raise RecordError(f"KV {fingerprint!r} {index}: indices start at -1")
        with self._db.read() as conn:
            videos.require(conn, video_id)
        blob = self._blobs.put(tensors)
        key = tokens.kv_key(video_id, fingerprint, index)
        values = {"video_id": video_id, "fingerprint": fingerprint, "number": index}
        with self._db.write("kv") as conn:
            videos.require(conn, video_id)
            if not self._blobs.has(blob):  # freed by gc since
                self._blobs.put(tensors)
            chunks.insert_blob(conn, blob)
            conn.execute(sa.delete(KvRow).where(*key))
            conn.execute(sa.insert(KvRow).values(**values, blob_sha256=blob.sha256))

    def kv_indices(self, video_id: str, fingerprint: str) -> set[int]:
        """Return which caches are stored: chunks' indices, and -1 for the system prefix."""
        with self._db.read() as conn:
            mine = (KvRow.video_id == video_id) & (KvRow.fingerprint == fingerprint)
            return set(conn.scalars(sa.select(KvRow.number).where(mine)))

    def kv(
        self, video_id: str, fingerprint: str, index: int, names: Collection[str] | None = None
    ) -> dict[str, Array]:
        """Return a stored cache, or some of its arrays: memory-mapped, checked by XXH3.

        Raises:
            DamagedChunkError: it fails its checksum.
            StoreError: nothing is stored there.
        """
        with self._db.read() as conn:
            return tokens.kv(conn, self._blobs, (video_id, fingerprint, index), names)

    def drop_kv(self, video_id: str, fingerprint: str | None = None) -> None:
        """Forget a video's caches, of one fingerprint or all; `gc` frees their bytes."""
        with self._db.write("kv") as conn:
            old = sa.delete(KvRow).where(KvRow.video_id == video_id)
            conn.execute(
                old if fingerprint is None else old.where(KvRow.fingerprint == fingerprint)
            )

    # Search

    def use_space(self, name: str, fingerprint: str, size: int) -> None:
        """Say which embedder makes the vectors of a space; the first one stands.

        Raises:
            IncompatibleError: the stored ones were made by another.
        """
        with self._db.write("space") as conn:
            segments.claim_space(conn, name, fingerprint, size)

    def search_vectors(
        self,
        space: str,
        vector: NDArray[np.float32],
        k: int,
        video_ids: Sequence[str] | None = None,
    ) -> list[Hit]:
        """Return up to `k` segments by cosine to `vector` [E], best first.

        Raises:
            VectorError: NaN, no direction, or another size than the space's.
        """
        with self._db.read() as conn:
            unit = unit_vector(vector, "the query", segments.sizes(conn).get(space))
            found = self._index(space).search(conn, unit, k, video_ids)
            return segments.hits(conn, found)

    def search_words(self, query: str, k: int, video_ids: Sequence[str] | None = None) -> list[Hit]:
        """Return up to `k` segments with any of the words, by bm25. Any text is a fair query."""
        with self._db.read() as conn:
            return words.search_words(conn, query, k, video_ids)

    def chunk_vector(self, video_id: str, index: int, space: str) -> NDArray[np.float32] | None:
        """Return a chunk's unit vector [E]: the mean, where it has several; None without one."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return segments.chunk_vector(conn, video_id, index, space)

    # Settings and upkeep

    def setting(self, key: str) -> str | None:
        with self._db.read() as conn:
            return settings.get(conn, key)

    def set_setting(self, key: str, value: str) -> None:
        with self._db.write("setting") as conn:
            settings.put(conn, key, value)

    def stats(self) -> StoreStats:
        """Return what the store takes, by tier and video."""
        return upkeep.stats(self._db, self._blobs, self._folder / "index")

    def verify(self, progress: upkeep.Progress | None = None) -> list[Problem]:
        """Check all that is stored against its hashes; `progress` gets (done, of)."""
        return upkeep.verify(self._db, self._blobs, progress)

    def rebuild_index(self) -> None:
        """Make the vector indexes from SQL and write their snapshots."""
        with self._db.read() as conn:
            for name in segments.sizes(conn):
                self._index(name).rebuild(conn)
                self._index(name).save(conn)

    def gc(self, grace_s: float = 3600.0) -> int:
        """Free bytes that nothing refers to; return how many. Unfinished files wait `grace_s`."""
        return upkeep.gc(self._db, self._blobs, self._folder / "index", grace_s)

    def _index(self, space: str) -> SpaceIndex:
        if space not in self._indexes:
            if not _ID.fullmatch(space):
                raise RecordError(f"{space!r} is no name of a space")
            path = self._folder / "index" / f"{space}.faiss"
            self._indexes.setdefault(space, SpaceIndex(path, self._store_id, space))
        return self._indexes[space]
