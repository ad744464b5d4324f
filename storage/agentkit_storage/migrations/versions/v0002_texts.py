"""Hashes over what was heard and over the texts that are searched, so that verify covers both."""

import sqlalchemy as sa
from alembic import op

from agentkit_storage.chunks import digest
from agentkit_storage.records import Segment
from agentkit_storage.types import Note

revision = "0002"
down_revision = "0001"

_SOUND = "SELECT * FROM note WHERE video_id = :id AND chunk_id IS NULL ORDER BY id"
_TEXTS = "SELECT * FROM segment WHERE chunk_id = :id AND space = 'text' ORDER BY id"
_BOX = sa.text(_SOUND).columns(box=sa.JSON)


def upgrade() -> None:
    op.add_column("video", sa.Column("sound_digest", sa.String(64), nullable=True))
    op.add_column("chunk", sa.Column("texts_digest", sa.String(64), nullable=True))
    conn = op.get_bind()
    for video_id in conn.scalars(sa.text("SELECT id FROM video WHERE listened")).all():
        set_sound = sa.text("UPDATE video SET sound_digest = :digest WHERE id = :id")
        conn.execute(set_sound, {"id": video_id, "digest": _sound_digest(conn, video_id)})
    for chunk_id in conn.scalars(sa.text("SELECT id FROM chunk")).all():
        set_texts = sa.text("UPDATE chunk SET texts_digest = :digest WHERE id = :id")
        conn.execute(set_texts, {"id": chunk_id, "digest": _texts_digest(conn, chunk_id)})
    op.drop_column("video", "listened")


def _sound_digest(conn: sa.Connection, video_id: str) -> str:
    rows = conn.execute(_BOX, {"id": video_id})
    return digest(Note(r.start_s, r.end_s, r.kind, r.text, r.score, r.box) for r in rows)


def _texts_digest(conn: sa.Connection, chunk_id: int) -> str:
    rows = conn.execute(sa.text(_TEXTS), {"id": chunk_id})
    return digest(segments=[Segment(r.start_s, r.end_s, r.kind, r.text) for r in rows])
