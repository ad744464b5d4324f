"""Stored tokens and KV on their way back, each checked. Names the video and time of a damage."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import sqlalchemy as sa

from agentkit_storage import row_codec
from agentkit_storage.blobs import Blob, BlobError, Blobs
from agentkit_storage.errors import DamagedChunkError
from agentkit_storage.records import MAX_ID, Array, GroupRecord
from agentkit_storage.schema import BlobRow, ChunkRow, GroupRow, KvRow
from agentkit_storage.sealed import GROUP, SealError, check_row, unseal
from agentkit_storage.segments import AGAIN

SYSTEM_PREFIX = -1  # the index of the cache of what stands before the video

_PREFILL = "drop the video's KV; it is made anew from its tokens"

# Made once, not for each call: a video is read chunk by chunk, and making it takes as long as
# running it.
_GROUPS = (
    sa.select(
        GroupRow,
        ChunkRow.rows_sha256,
        ChunkRow.first_group,
        ChunkRow.num_groups,
        BlobRow.nbytes,
        BlobRow.header_xxh3,
    )
    .join(ChunkRow, ChunkRow.id == GroupRow.chunk_id)
    .join(BlobRow, BlobRow.sha256 == ChunkRow.rows_sha256, isouter=True)
    .where(
        GroupRow.video_id == sa.bindparam("video_id"),
        GroupRow.number >= sa.bindparam("first"),
        GroupRow.number < sa.bindparam("stop"),
    )
    .order_by(GroupRow.number)
)


def groups(
    conn: sa.Connection, blobs: Blobs, video_id: str, first: int, stop: int | None, rows: bool
) -> list[GroupRecord]:
    """Return groups [first, stop) with ids, and with rows where asked for.

    Raises:
        DamagedChunkError: ids or rows fail their checksum.
    """
    span = {"first": first, "stop": MAX_ID if stop is None else stop}
    found = conn.execute(_GROUPS, {"video_id": video_id, **span}).all()
    _require_whole_chunks(found, first, stop)
    return [
        group
        for _, chunk in groupby(found, lambda row: row.chunk_id)
        for group in _of_chunk(list(chunk), blobs, rows)
    ]


def _require_whole_chunks(
    rows: "Sequence[sa.Row[*tuple[Any, ...]]]", first: int, stop: int | None
) -> None:
    """Raise DamagedChunkError where a chunk has fewer groups than it was stored with."""
    found = Counter(row.chunk_id for row in rows)
    for row in {row.chunk_id: row for row in rows}.values():
        end = row.first_group + row.num_groups
        wanted = min(end, end if stop is None else stop) - max(row.first_group, first)
        if found[row.chunk_id] != wanted:
            what = f"{found[row.chunk_id]} of {wanted} groups are left"
            raise DamagedChunkError(row.video_id, row.start_s, row.end_s, what, AGAIN)


def _of_chunk(
    found: "Sequence[sa.Row[*tuple[Any, ...]]]", blobs: Blobs, rows: bool
) -> Iterator[GroupRecord]:
    """Yield groups of one chunk, whose rows are read at once."""
    with_rows = [row for row in found if rows and _has_rows(row)]
    names = [name for row in with_rows for name in row_codec.names(row.number, row.rows_codec)]
    try:
        arrays = blobs.read(_blob(found[0], found[0].rows_sha256), names) if names else {}
    except BlobError:  # which group's is found group by group
        arrays = {}
    for row in found:
        yield _group(row, blobs, arrays if rows and _has_rows(row) else None)


def _has_rows(row: "sa.Row[*tuple[Any, ...]]") -> bool:
    return row.ids is None and row.rows_sha256 is not None and bool(row.num_tokens)


def _group(
    row: "sa.Row[*tuple[Any, ...]]", blobs: Blobs, known: Mapping[str, Array] | None
) -> GroupRecord:
    """Return a group; `known` are its chunk's arrays, None: without its rows."""
    array = None
    try:
        check_row(row._mapping, GROUP)
        ids = None if row.ids is None else tuple(unseal(row.ids, np.int32).tolist())
        if known is not None:
            names = row_codec.names(row.number, row.rows_codec)
            arrays = known or blobs.read(_blob(row, row.rows_sha256), names)
            array = row_codec.decoded(arrays, row.number, row.rows_codec)
    except (SealError, BlobError) as error:
        what = f"stored tokens are damaged ({error})"
        raise DamagedChunkError(row.video_id, row.start_s, row.end_s, what, AGAIN) from error
    return GroupRecord(row.number, row.start_s, row.end_s, row.time_text, row.text, ids, array)


def kv(
    conn: sa.Connection,
    blobs: Blobs,
    key: tuple[str, str, int],
    names: Collection[str] | None,
) -> dict[str, Array]:
    """Return the cache stored under (video_id, fingerprint, index), all of it or some arrays.

    Raises:
        DamagedChunkError: it fails its checksum, or nothing is stored there.
    """
    video_id, fingerprint, index = key
    query = sa.select(BlobRow).join(KvRow, KvRow.blob_sha256 == BlobRow.sha256)
    row = conn.execute(query.where(*kv_key(video_id, fingerprint, index))).one_or_none()
    start_s, end_s = chunk_span(conn, video_id, index)
    if row is None:  # never made, or dropped to keep to the budget while it was being read
        what = f"no KV is stored for chunk {index}"
        raise DamagedChunkError(video_id, start_s, end_s, what, _PREFILL)
    try:
        return blobs.read(_blob(row, row.sha256), names)
    except BlobError as error:
        what = f"stored KV is damaged ({error})"
        raise DamagedChunkError(video_id, start_s, end_s, what, _PREFILL) from error


def kv_key(video_id: str, fingerprint: str, index: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions that single out one stored cache."""
    return (
        KvRow.video_id == video_id,
        KvRow.fingerprint == fingerprint,
        KvRow.number == index,
    )


def chunk_span(conn: sa.Connection, video_id: str, index: int) -> tuple[float, float]:
    """Return a chunk's seconds; the system prefix stands at 0."""
    query = sa.select(ChunkRow.start_s, ChunkRow.end_s)
    query = query.where(ChunkRow.video_id == video_id, ChunkRow.number == index)
    row = conn.execute(query).one_or_none()
    return (0.0, 0.0) if row is None else (row.start_s, row.end_s)


def _blob(row: "sa.Row[*tuple[Any, ...]]", sha256: str) -> Blob:
    return Blob(sha256, row.nbytes, row.header_xxh3)
