"""Rows of segments and their vectors: checked on the way in, of one space each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from agentkit_storage.errors import DamagedChunkError, IncompatibleError, RecordError, VectorError
from agentkit_storage.filters import any_of, of_segments
from agentkit_storage.records import ChunkRecord, unit_vector
from agentkit_storage.schema import ChunkRow, SegmentRow, SpaceRow
from agentkit_storage.sealed import SEGMENT, SealError, check_row, row_seal, seal, unseal
from agentkit_storage.types import Filter, Hit
from agentkit_storage.videos import VALID_ID

TEXT = "text"
AGAIN = "remove the video from the store and ingest it again"
_UNIT_ERROR = 2**-10  # of the length, where each number is rounded to float16


@dataclass(frozen=True, slots=True)
class Space:
    """What a space's vectors have in common."""

    fingerprint: str
    size: int


def space(conn: sa.Connection, name: str) -> Space | None:
    row = conn.execute(sa.select(SpaceRow).where(SpaceRow.name == name)).one_or_none()
    return None if row is None else Space(row.fingerprint, row.size)


def claim_space(conn: sa.Connection, name: str, fingerprint: str, size: int) -> None:
    """Say who makes a space's vectors. The first one stands; raises IncompatibleError after."""
    check_space(name)
    known = space(conn, name)
    if known is None:
        conn.execute(sa.insert(SpaceRow).values(name=name, fingerprint=fingerprint, size=size))
        return
    if known.size != size or known.fingerprint not in ("", fingerprint):
        raise IncompatibleError(
            f"the store's {name} vectors were made by {known.fingerprint or 'another embedder'} "
            f"({known.size} numbers), not by {fingerprint} ({size}); use that one, or another store"
        )
    row = sa.update(SpaceRow).where(SpaceRow.name == name)
    conn.execute(row.values(fingerprint=fingerprint))


def check_space(name: str) -> None:
    """Raise RecordError unless this can be a space's name, which is a file's and an index's too."""
    if not VALID_ID.fullmatch(name):
        raise RecordError(f"{name!r} is no name of a space")


def claim_sizes(conn: sa.Connection, sizes: Mapping[str, int]) -> None:
    """Hold each space to the size of its first vector."""
    for name, size in sizes.items():
        check_space(name)
        known = space(conn, name)
        if known is None:
            conn.execute(sa.insert(SpaceRow).values(name=name, fingerprint="", size=size))
        elif known.size != size:
            raise VectorError(f"a {name} vector: {size} numbers, but the store's have {known.size}")


def sizes(conn: sa.Connection) -> dict[str, int]:
    """Return the size of each space's vectors."""
    found = conn.execute(sa.select(SpaceRow.name, SpaceRow.size))
    return {row.name: row.size for row in found}


def rows(record: ChunkRecord, known: dict[str, int]) -> list[dict[str, Any]]:
    """Return a chunk's segments as rows; `known` sizes by space are checked and added to.

    Raises:
        VectorError: NaN, no direction, or another size than the space's.
    """
    made = [
        _row(TEXT, segment.start_s, segment.end_s, segment.kind, segment.text)
        | {"vector": _packed(segment.vector, TEXT, known)}
        for segment in record.segments
    ]
    if record.visual is not None:
        chunk, name = record.chunk, record.visual_space
        row = _row(name, chunk.start_s, chunk.end_s, "visual", "")
        made.append(row | {"vector": _packed(record.visual, name, known)})
    return made


def insert(
    conn: sa.Connection, video_id: str, chunk_id: int, new: Sequence[dict[str, Any]]
) -> None:
    own = {"video_id": video_id, "chunk_id": chunk_id}
    rows = [row | own for row in new]
    if rows:
        sealed = [row | {"seal": row_seal(row, SEGMENT)} for row in rows]
        conn.execute(sa.insert(SegmentRow), sealed)


def vectors_of(name: str) -> "sa.Select[*tuple[Any, ...]]":
    """Return the query for a space's vectors; `unpack` takes its rows."""
    row = SegmentRow
    query = sa.select(row.id, row.video_id, row.start_s, row.end_s, row.vector)
    return query.where(row.space == name, row.vector.is_not(None))


def unpack(row: "sa.Row[*tuple[Any, ...]]") -> NDArray[np.float32]:
    """Return a row's vector [E], or raise DamagedChunkError."""
    try:
        return unseal(row.vector, np.float16).astype(np.float32)
    except SealError as error:
        what = f"a stored vector is damaged ({error})"
        raise DamagedChunkError(row.video_id, row.start_s, row.end_s, what, AGAIN) from error


def chunk_vector(
    conn: sa.Connection, video_id: str, number: int, name: str
) -> NDArray[np.float32] | None:
    """Return the unit mean [E] of a chunk's vectors in a space, or None without any."""
    query = vectors_of(name).join(ChunkRow, ChunkRow.id == SegmentRow.chunk_id)
    query = query.where(ChunkRow.video_id == video_id, ChunkRow.number == number)
    vectors = [unpack(row) for row in conn.execute(query)]
    if not vectors:
        return None
    mean = np.mean(vectors, axis=0)
    return unit_vector(mean, "the mean of a chunk") if mean.any() else vectors[0]


def ids_of(conn: sa.Connection, name: str, where: Filter) -> NDArray[np.int64] | None:
    """Return the ids of the vectors in a space that a filter lets through; None: all of them."""
    conditions = of_segments(conn, where)
    if not conditions:
        return None
    mine = (SegmentRow.space == name, SegmentRow.vector.is_not(None))
    return np.fromiter(conn.scalars(sa.select(SegmentRow.id).where(*mine, *conditions)), np.int64)


def hits(conn: sa.Connection, scored: Sequence[tuple[int, float]]) -> list[Hit]:
    """Return what stands behind ids, in their order; ids that have gone are left out.

    Raises:
        DamagedChunkError: a text fails its checksum.
    """
    query = sa.select(SegmentRow, ChunkRow.number)
    query = query.join(ChunkRow, ChunkRow.id == SegmentRow.chunk_id)
    found = conn.execute(query.where(any_of(conn, SegmentRow.id, [id_ for id_, _ in scored])))
    by_id = {row.id: row for row in found}
    return [_hit(row, score) for id_, score in scored if (row := by_id.get(id_)) is not None]


def _hit(row: "sa.Row[*tuple[Any, ...]]", score: float) -> Hit:
    try:
        check_row(row._mapping, SEGMENT)
    except SealError as error:
        what = f"a stored text is damaged ({error})"
        raise DamagedChunkError(row.video_id, row.start_s, row.end_s, what, AGAIN) from error
    return Hit(row.video_id, row.number, row.start_s, row.end_s, score, row.kind, row.text)


def of_chunk(conn: sa.Connection, video_id: str, number: int, name: str) -> list[Hit]:
    """Return a chunk's segments in a space, in the order in which they were given."""
    query = sa.select(SegmentRow.id).join(ChunkRow, ChunkRow.id == SegmentRow.chunk_id)
    query = query.where(ChunkRow.video_id == video_id, ChunkRow.number == number)
    ids = conn.scalars(query.where(SegmentRow.space == name).order_by(SegmentRow.id))
    return hits(conn, [(id_, 0.0) for id_ in ids])


def _row(name: str, start_s: float, end_s: float, kind: str, text: str) -> dict[str, Any]:
    span = {"start_s": float(start_s), "end_s": float(end_s)}
    return {"space": name, "kind": kind, "text": text, **span}


def _packed(vector: NDArray[np.float32] | None, name: str, known: dict[str, int]) -> bytes | None:
    if vector is None:
        return None
    unit = unit_vector(vector, f"a {name} vector", known.get(name))
    known[name] = unit.size
    return seal(vector if _was_stored(vector) else unit.astype("<f2"))


def _was_stored(vector: NDArray[Any]) -> bool:
    """Say whether a vector is float16 and of unit length already: it then stays bit for bit."""
    if vector.dtype != np.dtype("<f2"):
        return False
    return abs(float(np.linalg.norm(vector.astype(np.float32))) - 1) < _UNIT_ERROR
