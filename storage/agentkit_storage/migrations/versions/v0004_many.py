"""Many at once: domains and tags, chunks that workers have, who holds a lock; rows are sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    domain = sa.Column("domain", sa.String(64), nullable=False, server_default="")
    op.add_column("video", domain)
    for table in ("video_group", "note", "segment"):
        op.add_column(table, sa.Column("seal", sa.LargeBinary, nullable=True))
    op.create_table(
        "video_tag",
        _video_id(primary_key=True),
        sa.Column("tag", sa.String(64), primary_key=True, index=True),
    )
    op.create_table(
        "job",
        sa.Column("id", _ROW_ID, primary_key=True),
        _video_id(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.UniqueConstraint("video_id", "number"),
    )
    op.create_table(
        "owner",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("beat_at", sa.Double, nullable=False),
    )


def _video_id(primary_key: bool = False) -> sa.Column[str]:
    owner = sa.ForeignKey("video.id", ondelete="CASCADE")
    return sa.Column("video_id", sa.String(64), owner, nullable=False, primary_key=primary_key)
