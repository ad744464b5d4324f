"""Rows of videos: in, out, by any of their names, and away. Works inside a given transaction."""

import os
import re
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import sqlalchemy as sa

from agentkit_storage.errors import (
    AmbiguousVideoError,
    IncompatibleError,
    RecordError,
    StoreDamagedError,
    UnknownVideoError,
)
from agentkit_storage.filters import any_of, of_videos
from agentkit_storage.schema import (
    ChunkRow,
    GroupRow,
    KvRow,
    NoteRow,
    RemovalRow,
    SegmentRow,
    TagRow,
    VideoRow,
)
from agentkit_storage.types import Filter, StoredVideo

VALID_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
VALID_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VALID_TAG = re.compile(r"[^\s,\x00-\x1f\x7f](?:[^,\x00-\x1f\x7f]{0,62}[^\s,\x00-\x1f\x7f])?")
MIN_PREFIX = 4

_COLUMNS = (
    "path", "title", "duration_s", "frames_in_file", "frames_seen", "step_s", "state",
    "width_px", "height_px", "has_sound", "instruments", "missing", "warnings", "collection",
    "domain",
)  # fmt: skip
_TUPLES = ("instruments", "missing", "warnings")


class VideoChanges(TypedDict, total=False):
    """What `Store.update_video` may change. Chunks and tiers are counted, never told."""

    path: str
    title: str
    duration_s: float
    frames_in_file: int
    frames_seen: int
    step_s: float
    state: str
    width_px: int
    height_px: int
    has_sound: bool
    instruments: tuple[str, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]
    collection: str
    domain: str


def insert(conn: sa.Connection, video: StoredVideo, fingerprint: str, anew: bool = False) -> None:
    """Add a video that is not there; one that is there keeps its row, or goes with `anew`."""
    known = conn.execute(sa.select(VideoRow.fingerprint).where(VideoRow.id == video.video_id))
    if (row := known.one_or_none()) is not None and anew:
        delete(conn, video.video_id)
    elif row is not None:
        if row.fingerprint != fingerprint:
            raise IncompatibleError(
                f"video {video.video_id[:12]} is stored with other settings or another encoder; "
                "remove it from the store and ingest it again"
            )
        return
    check_collection(video.collection)
    values = _plain({name: getattr(video, name) for name in _COLUMNS})
    own = {"id": video.video_id, "fingerprint": fingerprint, "kv_pinned": video.pinned}
    conn.execute(sa.insert(VideoRow).values(**values, **own, added_at=time.time()))
    tag(conn, video.video_id, video.tags)


def update(conn: sa.Connection, video_id: str, changes: VideoChanges) -> None:
    values = _plain(dict(changes))
    if unknown := set(values) - set(_COLUMNS):
        raise TypeError(f"a video has no {', '.join(sorted(unknown))} to change")
    if "collection" in changes:
        check_collection(changes["collection"])
    require(conn, video_id)
    if values:
        conn.execute(sa.update(VideoRow).where(VideoRow.id == video_id).values(**values))


def check_collection(name: str) -> None:
    """Raise RecordError unless this can be a collection's name."""
    if not VALID_COLLECTION.fullmatch(name):
        raise RecordError(
            f"{name!r} is no name of a collection; use up to 64 letters, digits, '.', '_' and '-'"
        )


def tag(
    conn: sa.Connection, video_id: str, add: Collection[str] = (), remove: Collection[str] = ()
) -> None:
    """Put tags on a video, and take others off; what is so already is no error."""
    for name in add:
        if not VALID_TAG.fullmatch(name):
            raise RecordError(f"{name!r} is no tag; use up to 64 characters, and no comma")
    require(conn, video_id)
    mine = TagRow.video_id == video_id
    conn.execute(sa.delete(TagRow).where(mine, TagRow.tag.in_([*add, *remove])))
    if new := sorted(set(add) - set(remove)):
        conn.execute(sa.insert(TagRow), [{"video_id": video_id, "tag": name} for name in new])


def pin_kv(conn: sa.Connection, video_id: str, pinned: bool) -> None:
    require(conn, video_id)
    conn.execute(sa.update(VideoRow).where(VideoRow.id == video_id).values(kv_pinned=pinned))


def collections(conn: sa.Connection) -> list[str]:
    """Return the names of the collections that have a video, in order."""
    return sorted(conn.scalars(sa.select(VideoRow.collection).distinct()))


def require(conn: sa.Connection, video_id: str) -> None:
    """Raise UnknownVideoError unless exactly this id is stored."""
    if conn.execute(sa.select(VideoRow.id).where(VideoRow.id == video_id)).first() is None:
        raise UnknownVideoError(video_id, _known_names(conn))


def select(conn: sa.Connection, where: Filter) -> list[StoredVideo]:
    """Return the videos that a filter lets through, in the order in which they came."""
    tiers = {
        "notes": sa.exists().where(NoteRow.video_id == VideoRow.id),
        "vectors": sa.exists().where(SegmentRow.video_id == VideoRow.id, SegmentRow.vector != None),  # noqa: E711 — SQL
        "tokens": sa.exists().where(GroupRow.video_id == VideoRow.id, GroupRow.num_tokens > 0),
        "kv": sa.exists().where(KvRow.video_id == VideoRow.id),
    }
    query = sa.select(
        VideoRow.__table__, *(has.label(f"has_{tier}") for tier, has in tiers.items())
    )
    query = query.where(*of_videos(conn, where))
    rows = conn.execute(query.order_by(VideoRow.added_at, VideoRow.id)).all()
    ids = [row.id for row in rows]
    counts, tags = _whole_chunks(conn, ids), _tags(conn, ids)
    return [_stored(row, counts.get(row.id, 0), list(tiers), tags.get(row.id, ())) for row in rows]


def one(conn: sa.Connection, video_id: str) -> StoredVideo:
    """Return the video of an id that `find` gave."""
    found = select(conn, Filter((video_id,)))
    if not found:
        raise StoreDamagedError(
            f"video {video_id[:12]}: the database knows its id and not the video; restore it from "
            "a copy, or move the store away and ingest again"
        )
    return found[0]


def find(conn: sa.Connection, name: str) -> str:
    """Return the id of the video that `name` means.

    An id, then a path, then the beginning of an id (4 characters or more), then a file name.

    Raises:
        UnknownVideoError, AmbiguousVideoError
    """
    exact = sa.select(VideoRow.id).where(VideoRow.id == name)
    if VALID_ID.fullmatch(name) and conn.execute(exact).first():
        return name
    by_path = sa.select(VideoRow.id).where(VideoRow.path.in_(_known_paths(name)))
    found = list(conn.scalars(by_path)) or _by_prefix(conn, name) or _by_file_name(conn, name)
    if not found:
        raise UnknownVideoError(name, _known_names(conn))
    if len(found) > 1:
        raise AmbiguousVideoError(name, found)
    return str(found[0])


def delete(conn: sa.Connection, video_id: str) -> None:
    """Remove a video from every tier and from search."""
    require(conn, video_id)
    if conn.dialect.name == "sqlite":
        _leave_word(conn, video_id)
    conn.execute(sa.delete(VideoRow).where(VideoRow.id == video_id))


def _leave_word(conn: sa.Connection, video_id: str) -> None:
    """Say which vectors go, to processes that hold them in memory."""
    ids: dict[str, list[int]] = {}
    mine = sa.select(SegmentRow.space, SegmentRow.id).where(SegmentRow.video_id == video_id)
    for space, segment_id in conn.execute(mine.order_by(SegmentRow.id)):
        ids.setdefault(space, []).append(segment_id)
    for space, segment_ids in ids.items():
        data = np.asarray(segment_ids, "<i8").tobytes()
        conn.execute(sa.insert(RemovalRow).values(space=space, segment_ids=data))


def _stored(
    row: "sa.Row[*tuple[Any, ...]]", chunks: int, tiers: Sequence[str], tags: Sequence[str]
) -> StoredVideo:
    values = {name: getattr(row, name) for name in _COLUMNS}
    values |= {name: tuple(values[name]) for name in _TUPLES}
    held = tuple(tier for tier in tiers if getattr(row, f"has_{tier}"))
    own = {"video_id": row.id, "chunks": chunks, "tiers": held, "pinned": row.kv_pinned}
    return StoredVideo(**own, **values, tags=tuple(tags))


def _tags(conn: sa.Connection, video_ids: Sequence[str]) -> dict[str, list[str]]:
    query = sa.select(TagRow.video_id, TagRow.tag).where(any_of(conn, TagRow.video_id, video_ids))
    tags: dict[str, list[str]] = {}
    for video_id, name in conn.execute(query):
        tags.setdefault(video_id, []).append(name)
    return {video_id: sorted(names) for video_id, names in tags.items()}


def _whole_chunks(conn: sa.Connection, video_ids: Sequence[str]) -> dict[str, int]:
    """Return how many chunks stand from 0 without a gap, by video."""
    query = sa.select(ChunkRow.video_id, sa.func.count(), sa.func.max(ChunkRow.number))
    query = query.where(any_of(conn, ChunkRow.video_id, video_ids)).group_by(ChunkRow.video_id)
    return {
        video_id: count if count == last + 1 else num_chunks(conn, video_id)
        for video_id, count, last in conn.execute(query)
    }


def num_chunks(conn: sa.Connection, video_id: str) -> int:
    """Return how many chunks of a video stand from 0 without a gap."""
    mine = sa.select(ChunkRow.number).where(ChunkRow.video_id == video_id)
    numbers = conn.scalars(mine.order_by(ChunkRow.number)).all()
    return next((at for at, number in enumerate(numbers) if at != number), len(numbers))


def _by_prefix(conn: sa.Connection, name: str) -> list[str]:
    if len(name) < MIN_PREFIX or not VALID_ID.fullmatch(name):
        return []
    return list(
        conn.scalars(sa.select(VideoRow.id).where(VideoRow.id.startswith(name, autoescape=True)))
    )


def _by_file_name(conn: sa.Connection, name: str) -> list[str]:
    rows = conn.execute(sa.select(VideoRow.id, VideoRow.path))
    return [row.id for row in rows if Path(row.path).name == name]


def _known_names(conn: sa.Connection) -> list[str]:
    rows = conn.execute(sa.select(VideoRow.id, VideoRow.path))
    return [name for row in rows for name in (row.id[:12], Path(row.path).name) if name]


def _known_paths(name: str) -> list[str]:
    """Return the paths that `name` may mean, left out what no file system could name."""
    try:
        os.fsencode(name)
        return list({name, str(Path(name).absolute()), os.path.realpath(name)})
    except (UnicodeEncodeError, ValueError):
        return []


def _plain(values: dict[str, object]) -> dict[str, object]:
    """Return values as SQL takes them: lists for tuples."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
