"""KV as a bounded cache: what it takes, who used it last, what is pinned, what goes first.

A video's KV of one making (its fingerprint) comes and goes as a whole. Works inside a given
transaction, but for `touch`.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from agentkit_storage.blobs import Blob
from agentkit_storage.database import Database
from agentkit_storage.errors import StoreError
from agentkit_storage.filters import any_of
from agentkit_storage.records import Array
from agentkit_storage.schema import KvRow, VideoRow

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CachedKV:
    """A video's whole KV of one making."""

    video_id: str
    fingerprint: str
    nbytes: int
    used_at: float  # seconds since 1970


def insert(
    conn: sa.Connection, key: tuple[str, str, int], blob: Blob, tensors: Mapping[str, Array]
) -> None:
    """Add the row of one part under (video_id, fingerprint, index), used now."""
    video_id, fingerprint, index = key
    values = {"video_id": video_id, "fingerprint": fingerprint, "number": index}
    kept = {"blob_sha256": blob.sha256, "nbytes": blob.nbytes, "dtype": main_dtype(tensors)}
    conn.execute(sa.insert(KvRow).values(**values, **kept, last_used_at=time.time()))


def main_dtype(tensors: Mapping[str, Array]) -> str:
    """Return the number type that most bytes are in."""
    nbytes: dict[str, int] = {}
    for array in tensors.values():
        dtype = str(np.asarray(array).dtype)
        nbytes[dtype] = nbytes.get(dtype, 0) + array.nbytes
    return max(nbytes, key=lambda dtype: nbytes[dtype], default="")


def total(conn: sa.Connection) -> int:
    """Return the bytes of all KV. A blob that two parts share is counted for both."""
    return int(conn.scalar(sa.select(sa.func.coalesce(sa.func.sum(KvRow.nbytes), 0))) or 0)


def droppable(conn: sa.Connection, keep: Collection[str]) -> list[CachedKV]:
    """Return what may go, the least recently used first: not pinned, of no video in `keep`."""
    used_at = sa.func.max(KvRow.last_used_at)
    query = sa.select(KvRow.video_id, KvRow.fingerprint, sa.func.sum(KvRow.nbytes), used_at)
    query = query.join(VideoRow, VideoRow.id == KvRow.video_id)
    query = query.where(VideoRow.kv_pinned.is_(False), ~any_of(conn, KvRow.video_id, keep))
    query = query.group_by(KvRow.video_id, KvRow.fingerprint)
    rows = conn.execute(query.order_by(used_at, KvRow.video_id, KvRow.fingerprint))
    return [CachedKV(id_, making, int(nbytes), used) for id_, making, nbytes, used in rows]


def drop_if_over(conn: sa.Connection, kv: CachedKV, budget_bytes: int) -> list[str] | None:
    """Forget a KV; return its blobs' SHA-256, or None where it may stay after all.

    What was decided on was an earlier moment: by now it may be used, pinned, or no longer too much.
    """
    if total(conn) <= budget_bytes or kv not in droppable(conn, ()):
        return None
    mine = (KvRow.video_id == kv.video_id) & (KvRow.fingerprint == kv.fingerprint)
    blobs = list(conn.scalars(sa.select(KvRow.blob_sha256).where(mine)))
    conn.execute(sa.delete(KvRow).where(mine))
    return blobs


def touch(db: Database, video_id: str, fingerprint: str) -> bool:
    """Note that a KV is used now, if nobody else is writing; return whether that was noted.

    One row speaks for all of the KV, so that this costs the same for any length of video.
    """
    mine = (KvRow.video_id == video_id) & (KvRow.fingerprint == fingerprint)
    first = sa.select(KvRow.id).where(mine).order_by(KvRow.number).limit(1)
    row = sa.update(KvRow).where(KvRow.id == first.scalar_subquery())
    try:
        with db.write("use", wait=False) as conn:
            conn.execute(row.values(last_used_at=time.time()))
    except StoreError as error:
        logger.debug("the use of a KV was not noted: %s", error)
        return False
    return True
