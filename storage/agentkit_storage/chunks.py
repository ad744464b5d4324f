"""Rows of chunks, groups, notes and segments. Works inside a given transaction."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from agentkit_storage import row_codec
from agentkit_storage.blobs import Blob
from agentkit_storage.errors import DamagedChunkError
from agentkit_storage.records import Array, ChunkRecord, GroupRecord, Segment, clean_text
from agentkit_storage.row_codec import TokensDtype
from agentkit_storage.schema import BlobRow, ChunkRow, GroupRow, NoteRow, VideoRow
from agentkit_storage.sealed import GROUP, NOTE, SealError, check_row, row_seal, seal
from agentkit_storage.segments import AGAIN
from agentkit_storage.types import Chunk, Note

SOUND = None  # the chunk of a note that was heard


@dataclass(frozen=True, slots=True, eq=False)
class PackedRows:
    """A chunk's groups as they will be read, how each one's rows are kept, and the blob's arrays.

    Groups without rows have no codec.
    """

    groups: tuple[GroupRecord, ...]
    codecs: dict[int, str]
    tensors: dict[str, Array]


def pack(groups: Sequence[GroupRecord], wanted: TokensDtype) -> PackedRows:
    """Return groups in the form that they are kept in; digests are of what will be read."""
    codecs = {g.index: row_codec.codec_of(g.rows, wanted) for g in groups if g.rows is not None}
    tensors: dict[str, Array] = {}
    for group in groups:
        if group.rows is not None:
            tensors |= row_codec.encoded(group.rows, group.index, codecs[group.index])
    read = tuple(
        replace(g, rows=row_codec.decoded(tensors, g.index, codecs[g.index]))
        if g.rows is not None
        else g
        for g in groups
    )
    return PackedRows(read, codecs, tensors)


def insert(conn: sa.Connection, record: ChunkRecord, blob: Blob | None, packed: PackedRows) -> int:
    """Add a chunk's rows but for its segments; return the chunk row's id."""
    chunk = record.chunk
    if blob is not None:
        insert_blob(conn, blob)
    made = conn.execute(
        sa.insert(ChunkRow).values(
            video_id=chunk.video_id,
            number=chunk.index,
            start_s=chunk.start_s,
            end_s=chunk.end_s,
            first_group=chunk.first_group,
            num_groups=chunk.num_groups,
            rows_sha256=blob.sha256 if blob else None,
            digest=digest(record.notes, packed.groups),
            texts_digest=digest(segments=record.segments),
        )
    )
    assert made.inserted_primary_key is not None
    chunk_id = int(made.inserted_primary_key[0])
    rows = [
        _group_row(group, chunk.video_id, chunk_id, packed.codecs.get(group.index))
        for group in packed.groups
    ]
    conn.execute(sa.insert(GroupRow), rows)
    insert_notes(conn, chunk.video_id, chunk_id, record.notes)
    return chunk_id


def insert_blob(conn: sa.Connection, blob: Blob) -> None:
    known = conn.execute(sa.select(BlobRow.sha256).where(BlobRow.sha256 == blob.sha256)).first()
    if known is None:
        values = {"nbytes": blob.nbytes, "header_xxh3": blob.header_xxh3}
        conn.execute(sa.insert(BlobRow).values(sha256=blob.sha256, **values))


def insert_notes(
    conn: sa.Connection, video_id: str, chunk_id: int | None, notes: Iterable[Note]
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "video_id": video_id,
            "chunk_id": chunk_id,
            "start_s": float(note.start_s),
            "end_s": float(note.end_s),
            "kind": note.kind,
            "text": note.text,
            "score": None if note.score is None else float(note.score),
            "box": None if note.box is None else [float(edge) for edge in note.box],
        }
        for note in notes
    ]
    if rows:
        sealed = [row | {"seal": row_seal(row, NOTE)} for row in rows]
        conn.execute(sa.insert(NoteRow), sealed)


def replace_sound_notes(conn: sa.Connection, video_id: str, notes: Sequence[Note]) -> None:
    """Put what was heard in place of what was heard before, and say that it was listened to."""
    old = (NoteRow.video_id == video_id) & NoteRow.chunk_id.is_(SOUND)
    conn.execute(sa.delete(NoteRow).where(old))
    insert_notes(conn, video_id, SOUND, notes)
    conn.execute(
        sa.update(VideoRow).where(VideoRow.id == video_id).values(sound_digest=digest(notes))
    )


def exists(conn: sa.Connection, chunk: Chunk) -> bool:
    mine = (ChunkRow.video_id == chunk.video_id) & (ChunkRow.number == chunk.index)
    return conn.execute(sa.select(ChunkRow.id).where(mine)).first() is not None


def select(conn: sa.Connection, video_id: str, stop: int) -> list[Chunk]:
    """Return the first `stop` chunks of a video."""
    query = sa.select(ChunkRow).where(ChunkRow.video_id == video_id, ChunkRow.number < stop)
    return [
        Chunk(row.video_id, row.number, row.start_s, row.end_s, row.first_group, row.num_groups)
        for row in conn.execute(query.order_by(ChunkRow.number))
    ]


def select_notes(
    conn: sa.Connection,
    video_id: str,
    start_s: float = 0.0,
    end_s: float = math.inf,
    kinds: Iterable[str] | None = None,
) -> list[Note]:
    """Return the notes that touch [start_s, end_s), in order of time."""
    query = _notes(video_id).where(
        NoteRow.start_s < min(end_s, 1e300),
        (NoteRow.end_s > start_s) | (NoteRow.start_s >= start_s),
    )
    if kinds is not None:
        query = query.where(NoteRow.kind.in_(list(kinds)))
    # What was heard stands before what was seen, whichever came first.
    order = (NoteRow.start_s, NoteRow.chunk_id.is_not(SOUND), NoteRow.id)
    return [_note(row) for row in conn.execute(query.order_by(*order))]


def select_sound_notes(conn: sa.Connection, video_id: str) -> list[Note]:
    """Return the sound track's notes in the order in which they were given."""
    query = _notes(video_id).where(NoteRow.chunk_id.is_(SOUND))
    return [_note(row) for row in conn.execute(query.order_by(NoteRow.id))]


def select_chunk_notes(conn: sa.Connection, chunk_id: int) -> list[Note]:
    """Return one chunk's notes in the order in which they were given."""
    query = sa.select(NoteRow).where(NoteRow.chunk_id == chunk_id)
    return [_note(row) for row in conn.execute(query.order_by(NoteRow.id))]


def select_given(conn: sa.Connection, video_id: str) -> list[Note]:
    """Return all notes: the sound track's, then chunk by chunk, each in the order given."""
    query = _notes(video_id).join(ChunkRow, ChunkRow.id == NoteRow.chunk_id)
    seen = conn.execute(query.order_by(ChunkRow.number, NoteRow.id))
    return [*select_sound_notes(conn, video_id), *(_note(row) for row in seen)]


def digest(
    notes: Iterable[Note] = (),
    groups: Iterable[GroupRecord] = (),
    segments: Iterable[Segment] = (),
) -> str:
    """Return the SHA-256 over notes, tokens and segments' texts; the same before and after."""
    sha256 = hashlib.sha256()
    for note in notes:
        box = None if note.box is None else [float(edge) for edge in note.box]
        score = None if note.score is None else float(note.score)
        _feed(sha256, note.start_s, note.end_s, note.kind, note.text, score, box)
    for group in groups:
        _feed(sha256, group.start_s, group.end_s, group.time_text, group.text, group.index)
        array = np.asarray(group.ids or (), "<i4") if group.rows is None else group.rows
        kind = "rows" if group.rows is not None else "none" if group.ids is None else "ids"
        sha256.update(json.dumps([kind, str(array.dtype), array.shape]).encode())
        sha256.update(np.ascontiguousarray(array).tobytes())
    for segment in segments:
        _feed(sha256, segment.start_s, segment.end_s, segment.kind, segment.text)
    return sha256.hexdigest()


def _feed(sha256: "hashlib._Hash", start_s: float, end_s: float, *values: object) -> None:
    clean = [clean_text(value) if isinstance(value, str) else value for value in values]
    sha256.update(json.dumps([float(start_s), float(end_s), *clean]).encode() + b"\n")


def _group_row(
    group: GroupRecord, video_id: str, chunk_id: int, codec: str | None
) -> dict[str, object]:
    row = {
        "video_id": video_id,
        "chunk_id": chunk_id,
        "number": group.index,
        "start_s": float(group.start_s),
        "end_s": float(group.end_s),
        "time_text": group.time_text,
        "text": group.text,
        "num_tokens": group.num_tokens,
        "ids": None if group.ids is None else seal(np.asarray(group.ids, "<i4")),
        "rows_codec": codec,
    }
    return row | {"seal": row_seal(row, GROUP)}


def _notes(video_id: str) -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(NoteRow).where(NoteRow.video_id == video_id)


def _note(row: "sa.Row[*tuple[Any, ...]]") -> Note:
    try:
        check_row(row._mapping, NOTE)
    except SealError as error:
        what = f"a stored note is damaged ({error})"
        raise DamagedChunkError(row.video_id, row.start_s, row.end_s, what, AGAIN) from error
    box = None if row.box is None else tuple(row.box)
    return Note(row.start_s, row.end_s, row.kind, row.text, row.score, box)
