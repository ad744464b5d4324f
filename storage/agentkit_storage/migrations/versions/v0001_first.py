"""The first tables, and the words of segments in FTS5 where the database is SQLite."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_WORDS = """
CREATE VIRTUAL TABLE words USING fts5(
    text, content='segment', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
)
"""
_WORDS_ADDED = """
CREATE TRIGGER segment_words_added AFTER INSERT ON segment WHEN new.text <> '' BEGIN
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END
"""
_WORDS_REMOVED = """
CREATE TRIGGER segment_words_removed AFTER DELETE ON segment WHEN old.text <> '' BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END
"""


def upgrade() -> None:
    _make_settings()
    _make_videos()
    _make_chunks()
    _make_segments()
    if op.get_bind().dialect.name == "sqlite":
        for statement in (_WORDS, _WORDS_ADDED, _WORDS_REMOVED):
            op.execute(statement)


def _video_id() -> sa.Column[str]:
    owner = sa.ForeignKey("video.id", ondelete="CASCADE")
    return sa.Column("video_id", sa.String(64), owner, nullable=False)


def _chunk_id(nullable: bool = False) -> sa.Column[int]:
    owner = sa.ForeignKey("chunk.id", ondelete="CASCADE")
    return sa.Column("chunk_id", _ROW_ID, owner, nullable=nullable, index=True)


def _span() -> tuple[sa.Column[float], sa.Column[float]]:
    return (
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
    )


def _make_settings() -> None:
    op.create_table(
        "setting",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "space",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
    )


def _make_videos() -> None:
    op.create_table(
        "video",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("path", sa.LargeBinary, nullable=False, index=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("frames_in_file", sa.Integer, nullable=False),
        sa.Column("frames_seen", sa.Integer, nullable=False),
        sa.Column("step_s", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("has_sound", sa.Boolean, nullable=False),
        sa.Column("instruments", sa.JSON, nullable=False),
        sa.Column("missing", sa.JSON, nullable=False),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("listened", sa.Boolean, nullable=False),
        sa.Column("added_at", sa.Double, nullable=False),
    )
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("nbytes", sa.BigInteger, nullable=False),
        sa.Column("header_xxh3", sa.String(16), nullable=False),
    )


def _make_chunks() -> None:
    blob = sa.ForeignKey("blob.sha256")
    op.create_table(
        "chunk",
        sa.Column("id", _ROW_ID, primary_key=True),
        _video_id(),
        sa.Column("number", sa.Integer, nullable=False),
        *_span(),
        sa.Column("first_group", sa.Integer, nullable=False),
        sa.Column("num_groups", sa.Integer, nullable=False),
        sa.Column("rows_sha256", sa.String(64), blob, nullable=True, index=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("video_id", "number"),
    )
    op.create_table(
        "video_group",
        sa.Column("id", _ROW_ID, primary_key=True),
        _video_id(),
        _chunk_id(),
        sa.Column("number", sa.Integer, nullable=False),
        *_span(),
        sa.Column("time_text", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("ids", sa.LargeBinary, nullable=True),
        sa.UniqueConstraint("video_id", "number"),
    )
    op.create_table(
        "note",
        sa.Column("id", _ROW_ID, primary_key=True),
        _video_id(),
        _chunk_id(nullable=True),
        *_span(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("score", sa.Double, nullable=True),
        sa.Column("box", sa.JSON, nullable=True),
    )
    op.create_index("ix_note_video_time", "note", ["video_id", "start_s"])
    op.create_table(
        "kv",
        sa.Column("id", _ROW_ID, primary_key=True),
        _video_id(),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column(
            "blob_sha256",
            sa.String(64),
            sa.ForeignKey("blob.sha256"),
            nullable=False,
            index=True,
        ),
        sa.UniqueConstraint("video_id", "fingerprint", "number"),
    )


def _make_segments() -> None:
    op.create_table(
        "segment",
        sa.Column("id", _ROW_ID, primary_key=True),
        _video_id(),
        _chunk_id(),
        sa.Column("space", sa.String(64), nullable=False),
        *_span(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_segment_video_space", "segment", ["video_id", "space"])
    with_vector = sa.text("vector IS NOT NULL")
    op.create_index(
        "ix_segment_space",
        "segment",
        ["space", "id"],
        sqlite_where=with_vector,
        postgresql_where=with_vector,
    )
    op.create_table(
        "removal",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("space", sa.String(64), nullable=False),
        sa.Column("segment_ids", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
