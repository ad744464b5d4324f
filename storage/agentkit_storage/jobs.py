"""Chunks that workers were given: how often each was tried. Works inside a given transaction.

A chunk that is stored has no job any more: both happen in one transaction.
"""

import time

import sqlalchemy as sa

from agentkit_storage.schema import ChunkRow, JobRow
from agentkit_storage.types import Job


def select(conn: sa.Connection, video_id: str) -> list[Job]:
    """Return a video's jobs in order of chunk."""
    # One that was given away after another worker had stored the chunk is no job.
    stored = sa.exists().where(
        ChunkRow.video_id == JobRow.video_id, ChunkRow.number == JobRow.number
    )
    rows = conn.execute(
        sa.select(JobRow).where(JobRow.video_id == video_id, ~stored).order_by(JobRow.number)
    )
    return [
        Job(row.video_id, row.number, row.attempts, row.worker, row.error, row.updated_at)
        for row in rows
    ]


def start(conn: sa.Connection, video_id: str, number: int, worker: str) -> int:
    """Note one more attempt at a chunk; return which one it is, from 1."""
    mine = _mine(video_id, number)
    values = {"worker": worker, "updated_at": time.time()}
    before = conn.scalar(sa.select(JobRow.attempts).where(*mine))
    if before is None:
        key = {"video_id": video_id, "number": number}
        conn.execute(sa.insert(JobRow).values(**key, **values, attempts=1, error=""))
        return 1
    conn.execute(sa.update(JobRow).where(*mine).values(**values, attempts=before + 1))
    return before + 1


def fail(conn: sa.Connection, video_id: str, number: int, error: str) -> None:
    """Keep why the last attempt came to nothing."""
    row = sa.update(JobRow).where(*_mine(video_id, number))
    conn.execute(row.values(error=error, updated_at=time.time()))


def finish(conn: sa.Connection, video_id: str, number: int) -> None:
    """Forget the job of a chunk that is stored."""
    conn.execute(sa.delete(JobRow).where(*_mine(video_id, number)))


def _mine(video_id: str, number: int) -> tuple[sa.ColumnElement[bool], ...]:
    return JobRow.video_id == video_id, JobRow.number == number
