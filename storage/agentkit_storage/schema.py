"""The tables, for SQLite and PostgreSQL alike. A change here needs a migration beside it."""

import os
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from agentkit_storage.records import clean_text

REVISION = "0006"  # the newest migration; a test holds the two together

DEFAULT_COLLECTION = "default"

RowId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers INTEGER keys only


class CleanText(TypeDecorator[str]):
    """Text, freed of what a database would refuse."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(value)


class PathBytes(TypeDecorator[str]):
    """A path byte for byte, as file systems hold names that are not UTF-8."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else os.fsdecode(bytes(value))


class Base(DeclarativeBase):
    """Base of all tables."""


class SettingRow(Base):
    __tablename__ = "setting"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[str] = mapped_column(CleanText)


class SpaceRow(Base):
    """A space of vectors: all of one size, made by one embedder."""

    __tablename__ = "space"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(CleanText)  # "" until an embedder is named
    size: Mapped[int]


class VideoRow(Base):
    __tablename__ = "video"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(PathBytes, index=True)
    title: Mapped[str] = mapped_column(CleanText)
    duration_s: Mapped[float] = mapped_column(Double)
    frames_in_file: Mapped[int]
    frames_seen: Mapped[int]
    step_s: Mapped[float] = mapped_column(Double)
    state: Mapped[str] = mapped_column(String(16))
    width_px: Mapped[int]
    height_px: Mapped[int]
    has_sound: Mapped[bool]
    instruments: Mapped[list[str]] = mapped_column(JSON)
    missing: Mapped[list[str]] = mapped_column(JSON)
    warnings: Mapped[list[str]] = mapped_column(JSON)
    fingerprint: Mapped[str] = mapped_column(CleanText)
    sound_digest: Mapped[str | None] = mapped_column(String(64))  # SHA-256; None: not listened yet
    added_at: Mapped[float] = mapped_column(Double)  # seconds since 1970
    collection: Mapped[str] = mapped_column(
        String(64), index=True, server_default=DEFAULT_COLLECTION
    )
    kv_pinned: Mapped[bool] = mapped_column(server_default=false())
    domain: Mapped[str] = mapped_column(String(64), server_default="")  # that spoke at its ingest


class BlobRow(Base):
    """A file of the blob folder. A row without a reference is freed by gc."""

    __tablename__ = "blob"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    nbytes: Mapped[int] = mapped_column(BigInteger)
    header_xxh3: Mapped[str] = mapped_column(String(16))


def _video_id() -> Mapped[str]:
    return mapped_column(ForeignKey("video.id", ondelete="CASCADE"))


def _seal() -> Mapped[bytes | None]:
    """Return a column for the checksum of what a row says; None: by an older version."""
    return mapped_column(LargeBinary)


class TagRow(Base):
    """A word that people put on a video."""

    __tablename__ = "video_tag"

    video_id: Mapped[str] = mapped_column(
        ForeignKey("video.id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class ChunkRow(Base):
    __tablename__ = "chunk"
    __table_args__ = (UniqueConstraint("video_id", "number"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    video_id: Mapped[str] = _video_id()
    number: Mapped[int]
    start_s: Mapped[float] = mapped_column(Double)
    end_s: Mapped[float] = mapped_column(Double)
    first_group: Mapped[int]
    num_groups: Mapped[int]
    rows_sha256: Mapped[str | None] = mapped_column(ForeignKey("blob.sha256"), index=True)
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of its notes and tokens
    texts_digest: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of its segments' texts


class GroupRow(Base):
    __tablename__ = "video_group"
    __table_args__ = (UniqueConstraint("video_id", "number"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    video_id: Mapped[str] = _video_id()
    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    start_s: Mapped[float] = mapped_column(Double)
    end_s: Mapped[float] = mapped_column(Double)
    time_text: Mapped[str] = mapped_column(CleanText)
    text: Mapped[str] = mapped_column(CleanText)
    num_tokens: Mapped[int]
    ids: Mapped[bytes | None] = mapped_column(
        LargeBinary
    )  # int32, sealed; None: see the rows' blob
    rows_codec: Mapped[str | None] = mapped_column(String(32))  # see row_codec; None: as given
    seal: Mapped[bytes | None] = _seal()


class NoteRow(Base):
    """A note; without a chunk it was heard in the sound track."""

    __tablename__ = "note"
    __table_args__ = (Index("ix_note_video_time", "video_id", "start_s"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    video_id: Mapped[str] = _video_id()
    chunk_id: Mapped[int | None] = mapped_column(
        ForeignKey("chunk.id", ondelete="CASCADE"), index=True
    )
    start_s: Mapped[float] = mapped_column(Double)
    end_s: Mapped[float] = mapped_column(Double)
    kind: Mapped[str] = mapped_column(CleanText)
    text: Mapped[str] = mapped_column(CleanText)
    score: Mapped[float | None] = mapped_column(Double)
    box: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))
    seal: Mapped[bytes | None] = _seal()


class SegmentRow(Base):
    """What searches find. Its id is the vector's id in the index, and is never used again."""

    __tablename__ = "segment"
    __table_args__ = (
        Index("ix_segment_video_space", "video_id", "space"),
        Index(
            "ix_segment_space",
            "space",
            "id",
            sqlite_where=text("vector IS NOT NULL"),
            postgresql_where=text("vector IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    video_id: Mapped[str] = _video_id()
    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), index=True)
    space: Mapped[str] = mapped_column(String(64))
    start_s: Mapped[float] = mapped_column(Double)
    end_s: Mapped[float] = mapped_column(Double)
    kind: Mapped[str] = mapped_column(CleanText)
    text: Mapped[str] = mapped_column(CleanText)
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)  # float16, sealed
    seal: Mapped[bytes | None] = _seal()


class RemovalRow(Base):
    """Vectors that left the store, so that every process's index can follow."""

    __tablename__ = "removal"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    space: Mapped[str] = mapped_column(String(64))
    segment_ids: Mapped[bytes] = mapped_column(LargeBinary)  # int64


class KvRow(Base):
    """The prefilled cache of one chunk, or of the system prefix (number -1)."""

    __tablename__ = "kv"
    __table_args__ = (UniqueConstraint("video_id", "fingerprint", "number"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    video_id: Mapped[str] = _video_id()
    fingerprint: Mapped[str] = mapped_column(String(200))
    number: Mapped[int]
    blob_sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), index=True)
    nbytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # the blob's
    dtype: Mapped[str] = mapped_column(String(32), server_default="")  # "": not known
    last_used_at: Mapped[float] = mapped_column(Double, server_default=text("0"))  # see kv_budget


class JobRow(Base):
    """A chunk that a worker was given and that is not stored; stored ones have their chunk row."""

    __tablename__ = "job"
    __table_args__ = (UniqueConstraint("video_id", "number"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    video_id: Mapped[str] = _video_id()
    number: Mapped[int]  # of the chunk
    attempts: Mapped[int]
    worker: Mapped[str] = mapped_column(CleanText)  # who has it: executor, host, process
    error: Mapped[str] = mapped_column(CleanText)  # of the last attempt; "": none yet
    updated_at: Mapped[float] = mapped_column(Double)  # seconds since 1970


class AnalysisRow(Base):
    """What a domain found out about a video: kept beside it, and gone with it."""

    __tablename__ = "analysis"

    video_id: Mapped[str] = mapped_column(
        ForeignKey("video.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[str] = mapped_column(String(200))  # what it depends on besides the video
    body: Mapped[str] = mapped_column(CleanText)  # JSON
    seal: Mapped[bytes] = mapped_column(LargeBinary)


class OwnerRow(Base):
    """Who holds a lock, for people: the lock itself is the system's, or the database's."""

    __tablename__ = "owner"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)  # a video's id
    host: Mapped[str] = mapped_column(CleanText)
    pid: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[float] = mapped_column(Double)  # seconds since 1970
    beat_at: Mapped[float] = mapped_column(Double)
