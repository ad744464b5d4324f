"""The writing half of the store: each call is one transaction, or leaves nothing behind."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Unpack

import sqlalchemy as sa

from agentkit_storage import (
    analyses,
    chunks,
    jobs,
    kv_budget,
    owners,
    segments,
    tokens,
    upkeep,
    videos,
    words,
)
from agentkit_storage.errors import RecordError
from agentkit_storage.reader import Reader
from agentkit_storage.records import Array, ChunkRecord, check_notes, check_record
from agentkit_storage.row_codec import TokensDtype
from agentkit_storage.schema import KvRow
from agentkit_storage.types import Note, StoredVideo
from agentkit_storage.videos import VALID_ID, VideoChanges


class Writer(Reader):
    """What can be put into a store. Methods that name a video by id raise UnknownVideoError."""

    kv_budget_bytes: int | None = None
    tokens_dtype: TokensDtype = "lossless"
    _has_added = False  # vectors: an index may have outgrown its kind

    # Videos

    def add_video(self, video: StoredVideo, fingerprint: str, anew: bool = False) -> None:
        """Add a video, empty. One that is there stays as it is; with `anew` it is replaced by this.

        Raises:
            IncompatibleError: it is there under another fingerprint.
        """
        if not VALID_ID.fullmatch(video.video_id):
            raise RecordError(f"{video.video_id!r} is no video id; use the SHA-256 of the content")
        with self._db.write("video") as conn:
            videos.insert(conn, video, fingerprint, anew)

    def update_video(self, video_id: str, **changes: Unpack[VideoChanges]) -> None:
        """Change what is known of a video: state, missing, frames_seen, path..."""
        with self._db.write("video") as conn:
            videos.update(conn, video_id, changes)

    def tag_video(
        self, video_id: str, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> None:
        """Put tags on a video, and take others off."""
        with self._db.write("video") as conn:
            videos.tag(conn, video_id, add, remove)

    def remove_video(self, video_id: str) -> None:
        """Remove a video from every tier and from search, at once; `gc` frees its blobs."""
        with self._db.write("remove") as conn:
            videos.delete(conn, video_id)

    @contextmanager
    def ingest_lock(
        self,
        video_id: str,
        on_wait: Callable[[float], None] | None = None,
        wait: bool = True,
    ) -> Iterator[bool]:
        """Let one process at a time work on a video; freed by the system when it dies.

        Gives True, after another one's work where there is one: `on_wait` is called now and
        again with the seconds waited so far. With `wait=False` it gives False at once instead.
        """
        if not VALID_ID.fullmatch(video_id):
            raise RecordError(f"{video_id!r} is no video id")
        with (
            self._db.exclusive(video_id, wait, on_wait) as held,
            owners.said(self._db, video_id) if held else nullcontext(),
        ):
            yield held

    # Chunks

    def put_sound_notes(self, video_id: str, notes: Iterable[Note]) -> None:
        """Store all that was heard, none included, in place of what was stored before."""
        notes = tuple(notes)
        check_notes(notes)
        with self._db.write("sound") as conn:
            videos.require(conn, video_id)
            chunks.replace_sound_notes(conn, video_id, notes)

    def add_chunk(self, record: ChunkRecord, packed: chunks.PackedRows | None = None) -> None:
        """Store a chunk whole, in one transaction. One that is there stays as it is.

        `packed` are its groups with their rows as another store kept them.

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
        packed = packed or chunks.pack(record.groups, self.tokens_dtype)
        blob = self._blobs.put(packed.tensors) if packed.tensors else None
        with self._db.write("chunk") as conn:
            videos.require(conn, record.chunk.video_id)
            if chunks.exists(conn, record.chunk):
                return
            segments.claim_sizes(conn, sizes)
            if blob is not None and not self._blobs.has(blob):  # freed by gc since
                self._blobs.put(packed.tensors)
            chunk_id = chunks.insert(conn, record, blob, packed)
            segments.insert(conn, record.chunk.video_id, chunk_id, rows)
            words.keep(conn, chunk_id)
            jobs.finish(conn, record.chunk.video_id, record.chunk.index)
        self._has_added = True

    def put_analysis(self, video_id: str, name: str, version: str, body: str) -> None:
        """Keep what a domain found out, as JSON, in place of an older version of it."""
        with self._db.write("analysis") as conn:
            videos.require(conn, video_id)
            analyses.put(conn, video_id, name, version, body)

    # Jobs: which chunks are with a worker, and how often each was tried

    def start_job(self, video_id: str, chunk: int, worker: str) -> int:
        """Say that a worker has a chunk now; return the number of this attempt, from 1."""
        with self._db.write("job") as conn:
            videos.require(conn, video_id)
            return jobs.start(conn, video_id, chunk, worker)

    def fail_job(self, video_id: str, chunk: int, error: str) -> None:
        """Keep why the last attempt at a chunk came to nothing."""
        with self._db.write("job") as conn:
            jobs.fail(conn, video_id, chunk, error)

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
        with self._db.write("kv") as conn:
            videos.require(conn, video_id)
            if not self._blobs.has(blob):  # freed by gc since
                self._blobs.put(tensors)
            chunks.insert_blob(conn, blob)
            conn.execute(sa.delete(KvRow).where(*key))
            kv_budget.insert(conn, (video_id, fingerprint, index), blob, tensors)

    def drop_kv(self, video_id: str, fingerprint: str | None = None) -> None:
        """Forget a video's caches, of one fingerprint or all; `gc` frees their bytes."""
        with self._db.write("kv") as conn:
            old = sa.delete(KvRow).where(KvRow.video_id == video_id)
            conn.execute(
                old if fingerprint is None else old.where(KvRow.fingerprint == fingerprint)
            )

    def touch_kv(self, video_id: str, fingerprint: str) -> bool:
        """Note that a KV is used now; skipped, with False, where another process is writing."""
        return kv_budget.touch(self._db, video_id, fingerprint)

    def pin_kv(self, video_id: str, pinned: bool = True) -> None:
        """Let a video's KV stay whatever the budget says, or no longer."""
        with self._db.write("video") as conn:
            videos.pin_kv(conn, video_id, pinned)

    def trim_kv(self, budget_bytes: int | None = None, keep: Collection[str] = ()) -> int:
        """Drop KV, the least recently used first, until all of it fits; return bytes freed.

        What stays: KV that is pinned, of the videos in `keep`, and of those that somebody ingests
        right now. Without a budget, here or at `open`, nothing is dropped.
        """
        budget = self.kv_budget_bytes if budget_bytes is None else budget_bytes
        if budget is None:
            return 0
        with self._db.read() as conn:
            over = kv_budget.total(conn) > budget
            candidates = kv_budget.droppable(conn, keep) if over else []
        freed = 0
        for candidate in candidates:
            with self._db.exclusive(candidate.video_id, wait=False) as held:
                freed += self._drop_if_over(candidate, budget) if held else 0
        return freed

    def _drop_if_over(self, candidate: kv_budget.CachedKV, budget_bytes: int) -> int:
        with self._db.write("trim") as conn:
            blobs = kv_budget.drop_if_over(conn, candidate, budget_bytes)
        return upkeep.free(self._db, self._blobs, blobs or ())

    # Search

    def use_space(self, name: str, fingerprint: str, size: int) -> None:
        """Say which embedder makes the vectors of a space; the first one stands.

        Raises:
            IncompatibleError: the stored ones were made by another.
        """
        with self._db.write("space") as conn:
            segments.claim_space(conn, name, fingerprint, size)
