"""What is handed to the store chunk by chunk, with its arrays. Checked here, before any write."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit_storage.errors import RecordError, VectorError
from agentkit_storage.types import Chunk, Note

Array = NDArray[Any]
MAX_ID = 2**31 - 1
_FLOAT16_EXPONENT = np.uint16(0x7C00)  # all of its bits are set in NaN and in infinities alone


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group as the language model reads it: ids (a line of text) or rows (an encoder's output).

    `rows` is [n, D] of any dtype that numpy knows; bfloat16 travels as a uint16 view.
    """

    index: int
    start_s: float
    end_s: float
    time_text: str
    text: str = ""
    ids: tuple[int, ...] | None = None
    rows: Array | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.ids or ()) if self.rows is None else len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A searchable piece of a chunk; without a vector it is found by its words alone."""

    start_s: float
    end_s: float
    kind: str
    text: str
    vector: NDArray[np.float32] | None = None  # [E]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRecord:
    """All that one chunk adds to the store, in one transaction."""

    chunk: Chunk
    notes: tuple[Note, ...] = ()
    groups: tuple[GroupRecord, ...] = ()
    segments: tuple[Segment, ...] = ()
    visual: NDArray[np.float32] | None = None  # [E], in the space `visual_space`
    visual_space: str = "visual"


def clean_text(text: str) -> str:
    """Return text that every database takes: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def check_record(record: ChunkRecord) -> None:
    """Raise RecordError where a record contradicts itself."""
    chunk = record.chunk
    if chunk.index < 0 or chunk.num_groups < 1 or chunk.first_group < 0:
        raise RecordError(f"chunk {chunk.index}: indices must be from 0, with at least one group")
    _check_span(f"chunk {chunk.index}", chunk.start_s, chunk.end_s)
    wanted = range(chunk.first_group, chunk.first_group + chunk.num_groups)
    # A count that lies is not made into a list.
    fits = len(record.groups) == len(wanted)
    if not fits or [group.index for group in record.groups] != list(wanted):
        raise RecordError(f"chunk {chunk.index}: its groups must be {wanted.start}..{wanted[-1]}")
    for group in record.groups:
        _check_group(group)
    check_notes(record.notes)
    for segment in record.segments:
        _check_span("a segment", segment.start_s, segment.end_s)


def check_notes(notes: Iterable[Note]) -> None:
    """Raise RecordError for a note without a proper span, score or box."""
    for note in notes:
        what = f"a note of kind {note.kind!r}"
        _check_span(what, note.start_s, note.end_s)
        if not all(math.isfinite(number) for number in (note.score or 0.0, *(note.box or ()))):
            raise RecordError(f"{what}: its score or box is not finite")


def unit_vector(vector: Array, what: str, size: int | None = None) -> NDArray[np.float32]:
    """Return `vector` [E] with length 1, or raise VectorError."""
    array = np.asarray(vector, np.float32)
    if array.ndim != 1 or not array.size:
        raise VectorError(f"{what}: a vector has one axis, not shape {array.shape}")
    if size is not None and array.size != size:
        raise VectorError(f"{what}: {array.size} numbers, but the store's have {size}")
    length = float(np.linalg.norm(array.astype(np.float64)))
    if not math.isfinite(length) or length == 0.0:
        raise VectorError(f"{what}: NaN, infinite or all zero; was the embedder given real input?")
    return (array / length).astype(np.float32)


def all_finite(array: Array) -> bool:
    """Say whether no number is NaN or infinite; numpy is slow to say so of float16."""
    if array.dtype == np.float16:
        exponents = array.view(np.uint16) & _FLOAT16_EXPONENT
        return not bool((exponents == _FLOAT16_EXPONENT).any())
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _check_group(group: GroupRecord) -> None:
    what = f"group {group.index}"
    _check_span(what, group.start_s, group.end_s)
    if group.ids is not None and group.rows is not None:
        raise RecordError(f"{what}: either ids or rows, not both")
    if group.ids and not 0 <= min(group.ids) <= max(group.ids) <= MAX_ID:
        raise RecordError(f"{what}: ids must be between 0 and {MAX_ID}")
    if group.rows is not None and (group.rows.ndim != 2 or not len(group.rows)):
        raise RecordError(
            f"{what}: rows have two axes and one row at least, not {group.rows.shape}"
        )
    if group.rows is not None and not all_finite(group.rows):
        raise RecordError(f"{what}: NaN or infinite rows")


def _check_span(what: str, start_s: float, end_s: float) -> None:
    if not (math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s <= end_s):
        raise RecordError(f"{what}: the span {start_s}..{end_s} s is not one of a video")
