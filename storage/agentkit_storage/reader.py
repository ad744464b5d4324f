"""The reading half of the store. Every call sees one moment of it and takes no lock."""

import math
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from agentkit_storage import (
    analyses,
    blob_marker,
    chunks,
    jobs,
    kv_budget,
    owners,
    segments,
    settings,
    tiers,
    tokens,
    videos,
    words,
)
from agentkit_storage.blob_files import LocalFiles
from agentkit_storage.blobs import Blobs
from agentkit_storage.database import Database
from agentkit_storage.filters import EVERYTHING
from agentkit_storage.index import SpaceIndex
from agentkit_storage.location import Location
from agentkit_storage.postgres import PostgreSQL
from agentkit_storage.postgres_search import PgVectors
from agentkit_storage.records import Array, GroupRecord
from agentkit_storage.schema import KvRow, VideoRow
from agentkit_storage.sqlite import SQLite
from agentkit_storage.types import Chunk, Filter, Hit, Job, Note, Owner, StoredVideo, Tier


class Reader:
    """What can be asked of a store. Methods that name a video by id raise UnknownVideoError."""

    def __init__(self, location: Location) -> None:
        self._folder = location.folder
        self._db: Database = (
            SQLite(location.folder / blob_marker.SQLITE)
            if location.url is None
            else PostgreSQL(location.url)
        )
        self._blobs = Blobs(LocalFiles(location.folder / "blobs"))
        self._indexes: dict[str, SpaceIndex | PgVectors] = {}
        self._store_id = ""

    def videos(self, where: Filter = EVERYTHING) -> list[StoredVideo]:
        """Return all videos that a filter lets through, in the order in which they were added."""
        with self._db.read() as conn:
            return videos.select(conn, where)

    def collections(self) -> list[str]:
        """Return the names of the collections that have a video, in order."""
        with self._db.read() as conn:
            return videos.collections(conn)

    def kv_nbytes(self) -> int:
        """Return the bytes of all stored KV."""
        with self._db.read() as conn:
            return kv_budget.total(conn)

    def video(self, name: str | Path) -> StoredVideo:
        """Return the video of this id, path, beginning of an id (4 or more), or file name.

        Raises:
            UnknownVideoError, AmbiguousVideoError
        """
        with self._db.read() as conn:
            return videos.one(conn, videos.find(conn, str(name)))

    def fingerprint(self, video_id: str) -> str | None:
        """Return what a video was added under, or None where it is not stored."""
        with self._db.read() as conn:
            query = sa.select(VideoRow.fingerprint).where(VideoRow.id == video_id)
            return conn.scalar(query)

    def tiers(self, video_id: str) -> list[Tier]:
        """Return what is kept of a video: notes, vectors, tokens, and the KV of each making."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return tiers.of_video(conn, video_id)

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

    def sound_notes(self, video_id: str) -> tuple[Note, ...] | None:
        """Return what was heard, or None where nobody has listened yet."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            heard = conn.scalar(sa.select(VideoRow.sound_digest).where(VideoRow.id == video_id))
            return tuple(chunks.select_sound_notes(conn, video_id)) if heard else None

    def analysis(self, video_id: str, name: str, version: str) -> str | None:
        """Return what a domain found out, as JSON; None where it is missing, older or damaged."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return analyses.get(conn, video_id, name, version)

    def digest(self, video_id: str) -> str:
        """Return the SHA-256 over all notes and tokens of a video."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            notes = chunks.select_given(conn, video_id)
            groups = tokens.groups(conn, self._blobs, video_id, 0, None, rows=True)
            return chunks.digest(notes, groups)

    def kv_indices(self, video_id: str, fingerprint: str) -> set[int]:
        """Return which caches are stored: chunks' indices, and -1 for the system prefix."""
        with self._db.read() as conn:
            mine = (KvRow.video_id == video_id) & (KvRow.fingerprint == fingerprint)
            return set(conn.scalars(sa.select(KvRow.number).where(mine)))

    def kv(
        self, video_id: str, fingerprint: str, index: int, names: Collection[str] | None = None
    ) -> dict[str, Array]:
        """Return a stored cache, or some of its arrays, each checked by XXH3.

        Raises:
            DamagedChunkError: it fails its checksum, or is not there; it may go between two calls.
        """
        with self._db.read() as conn:
            return tokens.kv(conn, self._blobs, (video_id, fingerprint, index), names)

    def search_vectors(
        self,
        space: str,
        vector: NDArray[np.float32],
        k: int,
        where: Filter = EVERYTHING,
    ) -> list[Hit]:
        """Return up to `k` segments by cosine to `vector` [E], of those in `where`, best first.

        Raises:
            VectorError: NaN, no direction, or another size than the space's.
        """
        with self._db.read() as conn:
            found = self._index(space).search(conn, vector, k, where)
            return segments.hits(conn, found)

    def search_words(self, query: str, k: int, where: Filter = EVERYTHING) -> list[Hit]:
        """Return up to `k` segments with any of the words, by bm25. Any text is a fair query."""
        with self._db.read() as conn:
            return segments.hits(conn, words.search_words(conn, query, k, where))

    def segments(self, video_id: str, index: int) -> list[Hit]:
        """Return a chunk's searchable texts in order, with a score of 0."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return segments.of_chunk(conn, video_id, index, segments.TEXT)

    def chunk_vector(self, video_id: str, index: int, space: str) -> NDArray[np.float32] | None:
        """Return a chunk's unit vector [E]: the mean, where it has several; None without one."""
        with self._db.read() as conn:
            videos.require(conn, video_id)
            return segments.chunk_vector(conn, video_id, index, space)

    def jobs(self, video_id: str) -> list[Job]:
        """Return the chunks of a video that workers were given and that are not stored."""
        with self._db.read() as conn:
            return jobs.select(conn, video_id)

    def owner(self, video_id: str) -> Owner | None:
        """Return who works on a video, as far as it said so; None where nobody does."""
        with self._db.read() as conn:
            found = owners.select(conn, video_id)
        if found is None:
            return None
        with self._db.exclusive(video_id, wait=False) as is_free:  # its last holder was killed
            return None if is_free else found

    def revision(self) -> str:
        """Return the newest migration that the store has."""
        return self._db.revision() or ""

    def setting(self, key: str) -> str | None:
        with self._db.read() as conn:
            return settings.get(conn, key)

    def _index(self, space: str) -> SpaceIndex | PgVectors:
        if space not in self._indexes:
            segments.check_space(space)
            self._indexes.setdefault(space, self._new_index(space))
        return self._indexes[space]

    def _new_index(self, space: str) -> SpaceIndex | PgVectors:
        if isinstance(self._db, PostgreSQL):
            return PgVectors(self._db, space)
        path = self._folder / "index" / f"{space}.faiss"
        return SpaceIndex(path, self._store_id, space, self._db.read)
