"""What is kept of one video, tier by tier: bytes, chunks, number types, makings, last uses."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from agentkit_storage.schema import (
    BlobRow,
    ChunkRow,
    GroupRow,
    KvRow,
    NoteRow,
    SegmentRow,
    SpaceRow,
    VideoRow,
)
from agentkit_storage.types import Tier

_VECTOR_DTYPE = "float16"
_IDS_DTYPE = "int32"


def of_video(conn: sa.Connection, video_id: str) -> list[Tier]:
    """Return a video's tiers, those that hold something: notes, vectors, tokens, KV."""
    video = conn.execute(sa.select(VideoRow).where(VideoRow.id == video_id)).one()
    return [
        *_notes(conn, video),
        *_vectors(conn, video.id),
        *_tokens(conn, video),
        *_kv(conn, video),
    ]


class nbytes_of(FunctionElement[int]):  # noqa: N801 — used as a function of SQL
    """The bytes in a column: the length of text alone counts characters."""

    type = sa.Integer()
    inherit_cache = True


@compiles(nbytes_of)
def _octet_length(element: nbytes_of, compiler: Any, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


@compiles(nbytes_of, "sqlite")
def _length_of_bytes(element: nbytes_of, compiler: Any, **options: Any) -> str:
    # octet_length came with SQLite 3.43.
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


def _notes(conn: sa.Connection, video: "sa.Row[*tuple[Any, ...]]") -> list[Tier]:
    chunks = sa.func.count(NoteRow.chunk_id.distinct())
    query = sa.select(sa.func.count(), sa.func.sum(nbytes_of(NoteRow.text)), chunks)
    count, nbytes, num_chunks = conn.execute(query.where(NoteRow.video_id == video.id)).one()
    return [Tier("notes", "", video.fingerprint, int(nbytes), num_chunks, "")] if count else []


def _vectors(conn: sa.Connection, video_id: str) -> list[Tier]:
    chunks = sa.func.count(SegmentRow.chunk_id.distinct())
    nbytes = sa.func.sum(nbytes_of(SegmentRow.vector))
    query = sa.select(SegmentRow.space, SpaceRow.fingerprint, nbytes, chunks)
    query = query.join(SpaceRow, SpaceRow.name == SegmentRow.space)
    query = query.where(SegmentRow.video_id == video_id, SegmentRow.vector.is_not(None))
    rows = conn.execute(query.group_by(SegmentRow.space, SpaceRow.fingerprint))
    return [
        Tier("vectors", space, fingerprint, int(total), num_chunks, _VECTOR_DTYPE)
        for space, fingerprint, total, num_chunks in sorted(rows)
    ]


def _tokens(conn: sa.Connection, video: "sa.Row[*tuple[Any, ...]]") -> list[Tier]:
    mine = (GroupRow.video_id == video.id) & (GroupRow.num_tokens > 0)
    chunks = sa.func.count(GroupRow.chunk_id.distinct())
    query = sa.select(chunks, sa.func.coalesce(sa.func.sum(nbytes_of(GroupRow.ids)), 0))
    num_chunks, in_sql = conn.execute(query.where(mine)).one()
    if not num_chunks:
        return []
    blobs = sa.select(sa.func.coalesce(sa.func.sum(BlobRow.nbytes), 0))
    blobs = blobs.join(ChunkRow, ChunkRow.rows_sha256 == BlobRow.sha256)
    in_blobs = conn.scalar(blobs.where(ChunkRow.video_id == video.id)) or 0
    kinds = sa.select(GroupRow.rows_codec, GroupRow.ids.is_not(None)).where(mine).distinct()
    dtypes = {_IDS_DTYPE if has_ids else codec or "" for codec, has_ids in conn.execute(kinds)}
    nbytes = int(in_sql) + int(in_blobs)
    return [Tier("tokens", "", video.fingerprint, nbytes, num_chunks, _joined(dtypes))]


def _kv(conn: sa.Connection, video: "sa.Row[*tuple[Any, ...]]") -> list[Tier]:
    mine = KvRow.video_id == video.id
    chunks = sa.func.sum(sa.case((KvRow.number >= 0, 1), else_=0))
    used_at = sa.func.max(KvRow.last_used_at)
    query = sa.select(KvRow.fingerprint, sa.func.sum(KvRow.nbytes), chunks, used_at).where(mine)
    rows = conn.execute(query.group_by(KvRow.fingerprint).order_by(used_at.desc())).all()
    kinds = sa.select(KvRow.fingerprint, KvRow.dtype).where(mine).distinct()
    dtypes: dict[str, set[str]] = {}
    for fingerprint, dtype in conn.execute(kinds):
        dtypes.setdefault(fingerprint, set()).add(dtype)
    return [
        Tier("kv", "", fingerprint, int(nbytes), int(num_chunks), _joined(dtypes[fingerprint]),
             used, bool(video.kv_pinned))
        for fingerprint, nbytes, num_chunks, used in rows
    ]  # fmt: skip


def _joined(dtypes: set[str]) -> str:
    return ", ".join(sorted(filter(None, dtypes)))
