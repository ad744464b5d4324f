"""What goes into a bundle: a store's rows as members, made twice and never all at once.

The first time for the manifest's sizes and hashes, the second into the file: both within one
transaction, which sees one moment of the store.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from safetensors.numpy import save

from agentkit_storage import chunks, segments, tokens, videos
from agentkit_storage.blobs import Blobs
from agentkit_storage.bundle_forms import (
    FORMAT,
    SHA256,
    BundleKv,
    BundleSpace,
    BundleVideo,
    Bytes,
    Form,
    Manifest,
    Member,
    dump,
    form,
    safe_name,
)
from agentkit_storage.bundle_names import (
    ALWAYS,
    KV,
    NOT_CARRIED,
    TIERS,
    TOKENS,
    VECTORS_TEXT,
    VECTORS_VISUAL,
    WITHOUT_TOKENS,
    blob_name,
    chunk_name,
    footage_name,
    sound_name,
)
from agentkit_storage.bundle_tar import Part, Progress, write
from agentkit_storage.database import Database
from agentkit_storage.errors import DamagedChunkError, RecordError, StoreError
from agentkit_storage.filters import any_of
from agentkit_storage.records import Array, Segment
from agentkit_storage.schema import (
    REVISION,
    BlobRow,
    ChunkRow,
    GroupRow,
    KvRow,
    SegmentRow,
    VideoRow,
)
from agentkit_storage.types import Chunk, Filter, StoredVideo

_AGAIN = "remove the video from the store and ingest it again, then export"


def export(
    db: Database,
    blobs: Blobs,
    video_ids: Sequence[str],
    path: Path,
    tiers: Iterable[str] | None = None,
    footage: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a bundle of some videos; see `Store.export_bundle`."""
    chosen = _chosen(tiers)
    with db.read() as conn:
        parts: dict[str, Part] = {}
        made = []
        for video_id in dict.fromkeys(video_ids):
            exported = _Video(conn, blobs, video_id, chosen, footage)
            for part in exported.parts():
                parts.setdefault(part.member.name, part)
            made.append(exported.form())
        members = tuple(part.member for part in parts.values())
        spaces = tuple(_spaces(conn, video_ids))
        manifest = Manifest(FORMAT, REVISION, spaces, tuple(made), members)
        write(path, manifest, list(parts.values()), progress)


def _chosen(tiers: Iterable[str] | None) -> tuple[str, ...]:
    """Return the tiers to write: KV brings the tokens along, without which it cannot be mended."""
    wanted = set(TIERS if tiers is None else tiers)
    if unknown := wanted - set(TIERS):
        raise RecordError(f"unknown tier {min(unknown)!r}; known: {', '.join(TIERS)}")
    wanted |= {TOKENS} if KV in wanted else set()
    return tuple(tier for tier in TIERS if tier in ALWAYS or tier in wanted)


def _spaces(conn: sa.Connection, video_ids: Sequence[str]) -> Iterator[BundleSpace]:
    """Yield the spaces that these videos have vectors in."""
    query = sa.select(SegmentRow.space).where(SegmentRow.vector.is_not(None))
    query = query.where(any_of(conn, SegmentRow.video_id, video_ids)).distinct()
    for name in conn.scalars(query.order_by(SegmentRow.space)).all():
        space = segments.space(conn, name)
        assert space is not None, "every vector was claimed for its space"
        yield BundleSpace(name, space.fingerprint, space.size)


class _Video:
    """One video on its way into a bundle."""

    def __init__(
        self,
        conn: sa.Connection,
        blobs: Blobs,
        video_id: str,
        tiers: tuple[str, ...],
        footage: bool,
    ) -> None:
        if not SHA256.fullmatch(video_id):
            raise RecordError(f"{video_id!r}: only a video named by its SHA-256 can be exported")
        videos.require(conn, video_id)
        self._conn, self._blobs = conn, blobs
        self._video: StoredVideo = videos.select(conn, Filter((video_id,)))[0]
        self._chunks = chunks.select(conn, video_id, videos.num_chunks(conn, video_id))
        row = sa.select(VideoRow.fingerprint, VideoRow.sound_digest)
        self._row = conn.execute(row.where(VideoRow.id == video_id)).one()
        self._came_without = self._row.fingerprint.endswith(WITHOUT_TOKENS)
        self._tiers = ALWAYS if self._came_without else tiers
        self._has_tokens = TOKENS in self._tiers
        self._has_footage = footage
        self._kv = self._kv_rows() if KV in self._tiers else []

    def form(self) -> BundleVideo:
        fields = form(self._video)
        return BundleVideo(
            video_id=self._video.video_id,
            name=safe_name(self._video.path),
            fingerprint=self._row.fingerprint + self._suffix(),
            tiers=self._tiers,
            row={name: value for name, value in fields.items() if name not in NOT_CARRIED},
            chunks=len(self._chunks),
            has_heard=self._row.sound_digest is not None,
            has_footage=self._has_footage,
            kv=tuple(BundleKv(row.fingerprint, row.number, row.sha256) for row in self._kv),
        )

    def parts(self) -> Iterator[Part]:
        """Yield the video's members in the order in which an import takes them."""
        if self._row.sound_digest is not None:
            self._require_sound()
            yield self._made(sound_name(self._video.video_id), self._sound)
        for chunk in self._chunks:
            self._require_whole(chunk)
            name = partial(chunk_name, self._video.video_id, chunk.index)
            yield self._made(name("chunk", "jsonl"), partial(self._texts, chunk))
            yield self._made(name("vectors", "safetensors"), partial(self._vectors, chunk))
            if (blob := self._rows_blob(chunk)) is not None:
                yield self._blob(blob, chunk.start_s, chunk.end_s)
        for row in self._kv:
            yield self._blob(row, *tokens.chunk_span(self._conn, row.video_id, row.number))
        if self._has_footage:
            yield self._film()

    def _require_sound(self) -> None:
        """Raise DamagedChunkError where what was heard is not what was stored."""
        heard = chunks.select_sound_notes(self._conn, self._video.video_id)
        if chunks.digest(heard) != self._row.sound_digest:
            raise self._damage(0.0, self._video.duration_s, "notes of the sound track")

    def _require_whole(self, chunk: Chunk) -> None:
        """Raise DamagedChunkError where a chunk's rows are not what was stored: it would be sealed.

        Its tokens are read whatever the tiers are: one digest is over them and the notes.
        """
        stored = sa.select(ChunkRow.digest, ChunkRow.texts_digest)
        stored = stored.where(ChunkRow.id == self._chunk_id(chunk))
        stop = chunk.first_group + chunk.num_groups
        groups = tokens.groups(
            self._conn, self._blobs, chunk.video_id, chunk.first_group, stop, rows=True
        )
        notes = chunks.select_chunk_notes(self._conn, self._chunk_id(chunk))
        texts = [
            Segment(row.start_s, row.end_s, row.kind, row.text)
            for row in self._segments(chunk)
            if row.space == segments.TEXT
        ]
        found = chunks.digest(notes, groups), chunks.digest(segments=texts)
        if found != tuple(self._conn.execute(stored).one()):
            raise self._damage(chunk.start_s, chunk.end_s, "notes, tokens or texts")

    def _damage(self, start_s: float, end_s: float, what: str) -> DamagedChunkError:
        video_id, how = self._video.video_id, "differ from their SHA-256"
        return DamagedChunkError(video_id, start_s, end_s, f"{what} {how}", _AGAIN)

    def _suffix(self) -> str:
        return "" if self._has_tokens or self._came_without else WITHOUT_TOKENS

    def _sound(self) -> bytes:
        heard = chunks.select_sound_notes(self._conn, self._video.video_id)
        return b"".join(dump({"note": form(note)}) for note in heard)

    def _texts(self, chunk: Chunk) -> bytes:
        """Return a chunk's notes, groups and segments, a line each."""
        blob = self._rows_blob(chunk)
        head = {"chunk": form(chunk), "rows": None if blob is None else blob.sha256}
        notes = chunks.select_chunk_notes(self._conn, self._chunk_id(chunk))
        return b"".join(
            [
                dump(head),
                *(dump({"note": form(note)}) for note in notes),
                *(dump({"group": group}) for group in self._groups(chunk)),
                *(dump({"segment": _segment(row)}) for row in self._segments(chunk)),
            ]
        )

    def _groups(self, chunk: Chunk) -> Iterator[Form]:
        """Yield a chunk's groups without their rows, which are in its blob."""
        stop = chunk.first_group + chunk.num_groups
        query = sa.select(GroupRow.rows_codec).where(GroupRow.chunk_id == self._chunk_id(chunk))
        codecs = self._conn.scalars(query.order_by(GroupRow.number)).all()
        groups = tokens.groups(
            self._conn, self._blobs, chunk.video_id, chunk.first_group, stop, rows=False
        )
        for group, codec in zip(groups, codecs, strict=True):
            yield {n: v for n, v in form(group).items() if n != "rows"} | {
                "ids": list(group.ids) if group.ids is not None and self._has_tokens else None,
                "codec": codec if self._has_tokens else None,
            }

    def _vectors(self, chunk: Chunk) -> bytes:
        """Return a chunk's vectors as they are stored, float16: of its texts, and of itself."""
        rows = [row for row in self._segments(chunk) if row.vector is not None]
        arrays: dict[str, Array] = {}
        for name, mine in (
            (VECTORS_TEXT, [row for row in rows if row.space == segments.TEXT]),
            (VECTORS_VISUAL, [row for row in rows if row.space != segments.TEXT]),
        ):
            if mine:
                arrays[name] = np.stack([segments.unpack(row) for row in mine]).astype("<f2")
        return bytes(save(arrays))

    def _segments(self, chunk: Chunk) -> "Sequence[sa.Row[*tuple[Any, ...]]]":
        query = sa.select(SegmentRow).where(SegmentRow.chunk_id == self._chunk_id(chunk))
        return self._conn.execute(query.order_by(SegmentRow.id)).all()

    def _chunk_id(self, chunk: Chunk) -> int:
        mine = (ChunkRow.video_id == chunk.video_id) & (ChunkRow.number == chunk.index)
        return int(self._conn.scalars(sa.select(ChunkRow.id).where(mine)).one())

    def _rows_blob(self, chunk: Chunk) -> "sa.Row[*tuple[Any, ...]] | None":
        if not self._has_tokens:
            return None
        query = sa.select(BlobRow.sha256, BlobRow.nbytes)
        query = query.join(ChunkRow, ChunkRow.rows_sha256 == BlobRow.sha256)
        return self._conn.execute(query.where(ChunkRow.id == self._chunk_id(chunk))).one_or_none()

    def _kv_rows(self) -> "Sequence[sa.Row[*tuple[Any, ...]]]":
        query = sa.select(KvRow.video_id, KvRow.fingerprint, KvRow.number, BlobRow.sha256,
                          BlobRow.nbytes)  # fmt: skip
        query = query.join(BlobRow, BlobRow.sha256 == KvRow.blob_sha256)
        query = query.where(KvRow.video_id == self._video.video_id)
        query = query.where(KvRow.number < len(self._chunks))
        return self._conn.execute(query.order_by(KvRow.fingerprint, KvRow.number)).all()

    def _made(self, name: str, make: Callable[[], bytes]) -> Part:
        data = make()
        member = Member(name, Bytes(len(data)), hashlib.sha256(data).hexdigest())
        video_id = self._video.video_id[:12]
        what = f"video {video_id}: {name} changed while it was read; {_AGAIN}"
        return Part(member, lambda: BytesIO(make()), partial(StoreError, what))

    def _blob(self, row: "sa.Row[*tuple[Any, ...]]", start_s: float, end_s: float) -> Part:
        what = "stored tokens or KV are damaged (no file, or its SHA-256 differs)"
        damage = partial(DamagedChunkError, self._video.video_id, start_s, end_s, what, _AGAIN)

        def opened() -> BufferedReader:
            try:
                return self._blobs.files.open(row.sha256)
            except OSError as error:
                raise damage() from error

        return Part(Member(blob_name(row.sha256), Bytes(row.nbytes), row.sha256), opened, damage)

    def _film(self) -> Part:
        """Return the file that was ingested, which must be what it was."""
        path, video_id = Path(self._video.path), self._video.video_id
        what = f"{path}: not the file that was ingested; export without footage, or put it back"
        if not path.is_file():
            raise StoreError(what)
        member = Member(footage_name(video_id), Bytes(path.stat().st_size), video_id)
        return Part(member, lambda: path.open("rb"), partial(StoreError, what))


def _segment(row: "sa.Row[*tuple[Any, ...]]") -> Form:
    return {
        "space": row.space,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "kind": row.kind,
        "text": row.text,
        "has_vector": row.vector is not None,
    }
