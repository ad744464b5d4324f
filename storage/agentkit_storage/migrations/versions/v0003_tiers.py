"""Collections of videos; KV with its bytes, its last use and pins; how rows of tokens are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ZERO = sa.text("0")
_BYTES = "SELECT nbytes FROM blob WHERE blob.sha256 = kv.blob_sha256"
_ADDED = "SELECT added_at FROM video WHERE video.id = kv.video_id"


def upgrade() -> None:
    collection = sa.Column("collection", sa.String(64), nullable=False, server_default="default")
    op.add_column("video", collection)
    op.create_index("ix_video_collection", "video", ["collection"])
    pinned = sa.Column("kv_pinned", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("video", pinned)
    op.add_column("video_group", sa.Column("rows_codec", sa.String(32), nullable=True))
    for column in (
        sa.Column("nbytes", sa.BigInteger, nullable=False, server_default=_ZERO),
        sa.Column("dtype", sa.String(32), nullable=False, server_default=""),
        sa.Column("last_used_at", sa.Double, nullable=False, server_default=_ZERO),
    ):
        op.add_column("kv", column)
    # Nobody noted when these caches were used: older videos are taken to be used longer ago.
    op.execute(f"UPDATE kv SET nbytes = ({_BYTES}), last_used_at = ({_ADDED})")  # noqa: S608 — constants
