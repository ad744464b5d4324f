"""Looking after a store: check every hash, count bytes, free what nothing refers to."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from agentkit_storage import analyses, chunks, tokens
from agentkit_storage.blob_files import remove_unfinished
from agentkit_storage.blobs import Blob, Blobs
from agentkit_storage.database import Database
from agentkit_storage.errors import StoreError
from agentkit_storage.files import nbytes_of_files
from agentkit_storage.records import Segment
from agentkit_storage.schema import (
    AnalysisRow,
    BlobRow,
    ChunkRow,
    GroupRow,
    KvRow,
    NoteRow,
    SegmentRow,
    VideoRow,
)
from agentkit_storage.segments import TEXT, unpack
from agentkit_storage.tiers import nbytes_of
from agentkit_storage.types import Problem, StoreStats, VideoBytes

_BATCH = 1000  # of ids in one statement

Progress = Callable[[int, int], None]

_UNUSED = ~(
    sa.exists().where(ChunkRow.rows_sha256 == BlobRow.sha256)
    | sa.exists().where(KvRow.blob_sha256 == BlobRow.sha256)
)


def verify(db: Database, blobs: Blobs, progress: Progress | None = None) -> list[Problem]:
    """Check the database, every blob's SHA-256, every chunk's digest and every vector."""
    problems = [Problem(f"database: {line}") for line in db.problems()]
    with db.read() as conn:
        checks, doubtful = _checks(conn, blobs), []
        for done, (row, check) in enumerate(checks.items(), 1):
            doubtful += [] if check() is None else [row]
            if progress is not None:
                progress(done, len(checks))
    if doubtful:
        with db.read() as conn:  # what another process has removed meanwhile is no problem
            checks = _checks(conn, blobs)
            again = [checks[row]() for row in doubtful if row in checks]
        problems += [found for found in again if found is not None]
    return problems


def _checks(conn: sa.Connection, blobs: Blobs) -> dict[str, Callable[[], Problem | None]]:
    """Return how each row is looked at, by all that tells it from others."""
    heard = conn.execute(sa.select(VideoRow.id, VideoRow.duration_s, VideoRow.sound_digest)).all()
    found = conn.execute(sa.select(AnalysisRow)).all()
    return {
        **{f"analysis {row}": partial(_analysis_problem, row) for row in found},
        **{f"blob {row}": partial(_blob_problem, blobs, row) for row in _blobs_in_use(conn)},
        **{f"chunk {row}": partial(_chunk_problem, conn, blobs, row) for row in _chunks(conn)},
        **{f"sound {row}": partial(_sound_problem, conn, row) for row in heard},
    }


def stats(db: Database, blobs: Blobs, index_folder: Path) -> StoreStats:
    """Return bytes by tier and video. A blob that two videos share is counted for both."""
    with db.read() as conn:
        notes = _sums(conn, NoteRow.video_id, nbytes_of(NoteRow.text))
        vectors = _sums(conn, SegmentRow.video_id, nbytes_of(SegmentRow.vector))
        ids = _sums(conn, GroupRow.video_id, nbytes_of(GroupRow.ids))
        rows = _blob_sums(conn, ChunkRow.video_id, ChunkRow.rows_sha256)
        kv = _blob_sums(conn, KvRow.video_id, KvRow.blob_sha256)
        videos = conn.scalars(sa.select(VideoRow.id).order_by(VideoRow.added_at, VideoRow.id)).all()
        used = {row.sha256 for row in conn.execute(sa.select(BlobRow.sha256).where(~_UNUSED))}
    by_video = [
        VideoBytes(id_, notes.get(id_, 0), vectors.get(id_, 0),
                   ids.get(id_, 0) + rows.get(id_, 0), kv.get(id_, 0))
        for id_ in videos
    ]  # fmt: skip
    files = list(blobs.files.listed())
    return StoreStats(
        videos=tuple(by_video),
        database=db.nbytes(),
        blobs=sum(file.nbytes for file in files),
        index=nbytes_of_files(index_folder, "*"),
        unreferenced=sum(file.nbytes for file in files if file.name not in used),
    )


def gc(db: Database, blobs: Blobs, index_folder: Path, grace_s: float) -> int:
    """Free blobs that no row refers to; return bytes freed.

    Done under the write lock: a writer that counts on a blob looks for its file under the same
    lock. Files that were begun and never finished go once they are `grace_s` old.
    """
    with db.write("gc") as conn:
        conn.execute(sa.delete(BlobRow).where(_UNUSED))
        known = set(conn.scalars(sa.select(BlobRow.sha256)))
        unused = [file for file in blobs.files.listed() if file.is_whole and file.name not in known]
        freed = sum(blobs.files.remove(file.name) for file in unused)
        freed += blobs.files.remove_unfinished(grace_s)
        # A snapshot, or the mark of whose blobs these are.
        return freed + sum(
            remove_unfinished(folder, "*", grace_s)
            for folder in (index_folder, index_folder.parent)
        )


def free(db: Database, blobs: Blobs, sha256s: Sequence[str]) -> int:
    """Free those of some blobs that nothing refers to by now; return bytes freed."""
    if not sha256s:
        return 0
    with db.write("free") as conn:
        freed: list[str] = []
        for at in range(0, len(sha256s), _BATCH):
            some = BlobRow.sha256.in_(sha256s[at : at + _BATCH])
            freed += conn.scalars(sa.select(BlobRow.sha256).where(some, _UNUSED))
            conn.execute(sa.delete(BlobRow).where(some, _UNUSED))
        return sum(blobs.files.remove(sha256) for sha256 in freed)


def _blobs_in_use(conn: sa.Connection) -> "list[sa.Row[*tuple[Any, ...]]]":
    """Return each blob in use with one chunk that it belongs to."""
    columns = (
        BlobRow.sha256,
        BlobRow.nbytes,
        BlobRow.header_xxh3,
        ChunkRow.video_id,
        ChunkRow.start_s,
        ChunkRow.end_s,
    )
    mine = (ChunkRow.video_id == KvRow.video_id) & (ChunkRow.number == KvRow.number)
    rows = sa.select(*columns).join(ChunkRow, ChunkRow.rows_sha256 == BlobRow.sha256)
    of_kv = sa.select(*columns[:3], KvRow.video_id, *columns[4:])
    of_kv = of_kv.join(KvRow, KvRow.blob_sha256 == BlobRow.sha256).join(
        ChunkRow, mine, isouter=True
    )
    return list(conn.execute(sa.union_all(rows, of_kv)))


def _chunks(conn: sa.Connection) -> "list[sa.Row[*tuple[Any, ...]]]":
    query = sa.select(ChunkRow.id, ChunkRow.video_id, ChunkRow.start_s, ChunkRow.end_s,
                      ChunkRow.first_group, ChunkRow.num_groups, ChunkRow.digest,
                      ChunkRow.texts_digest)  # fmt: skip
    return list(conn.execute(query.order_by(ChunkRow.id)))


def _blob_problem(blobs: Blobs, row: "sa.Row[*tuple[Any, ...]]") -> Problem | None:
    what = blobs.problem(Blob(row.sha256, row.nbytes, row.header_xxh3))
    if what is None:
        return None
    return Problem(f"blob {row.sha256[:12]}: {what}", row.video_id, row.start_s, row.end_s)


def _chunk_problem(
    conn: sa.Connection, blobs: Blobs, row: "sa.Row[*tuple[Any, ...]]"
) -> Problem | None:
    try:
        groups = tokens.groups(
            conn, blobs, row.video_id, row.first_group, row.first_group + row.num_groups, rows=True
        )
        notes = chunks.select_chunk_notes(conn, row.id)
        segments = _segments(conn, row.id)
    except StoreError as error:
        return Problem(str(error), row.video_id, row.start_s, row.end_s)
    found = (
        chunks.digest(notes, groups),
        chunks.digest(segments=segments),
    )
    if found == (row.digest, row.texts_digest):
        return None
    what = "notes, tokens or texts differ from their SHA-256"
    return Problem(what, row.video_id, row.start_s, row.end_s)


def _segments(conn: sa.Connection, chunk_id: int) -> list[Segment]:
    """Return a chunk's texts, after a look at every vector."""
    rows = conn.execute(
        sa.select(SegmentRow).where(SegmentRow.chunk_id == chunk_id).order_by(SegmentRow.id)
    ).all()
    for row in rows:
        if row.vector is not None:
            unpack(row)
    return [
        Segment(row.start_s, row.end_s, row.kind, row.text) for row in rows if row.space == TEXT
    ]


def _sound_problem(conn: sa.Connection, row: "sa.Row[*tuple[Any, ...]]") -> Problem | None:
    try:
        heard = chunks.digest(chunks.select_sound_notes(conn, row.id))
    except StoreError as error:
        return Problem(str(error), row.id, 0.0, row.duration_s)
    if row.sound_digest in (None, heard):
        return None
    return Problem(
        "notes of the sound track differ from their SHA-256", row.id, 0.0, row.duration_s
    )


def _analysis_problem(row: "sa.Row[*tuple[Any, ...]]") -> Problem | None:
    what = analyses.problem(row)
    return None if what is None else Problem(what, row.video_id)


def _sums(conn: sa.Connection, video_id: Any, nbytes: "sa.ColumnElement[int]") -> dict[str, int]:
    query = sa.select(video_id, sa.func.sum(nbytes)).group_by(video_id)
    return {id_: int(total or 0) for id_, total in conn.execute(query)}


def _blob_sums(conn: sa.Connection, video_id: Any, sha256: Any) -> dict[str, int]:
    query = sa.select(video_id, sa.func.sum(BlobRow.nbytes))
    query = query.join(BlobRow, BlobRow.sha256 == sha256).group_by(video_id)
    return {id_: int(total) for id_, total in conn.execute(query)}
