"""One chunk of a bundle: its lines and arrays, as the record that an ingest would have made.

Every line is untrusted; what contradicts itself raises FormError or RecordError, and the caller
says in which bundle. Knows no tar.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from agentkit_storage import bundle_names as names
from agentkit_storage import row_codec
from agentkit_storage.bundle_forms import SHA256, Form, FormError, parse
from agentkit_storage.chunks import PackedRows
from agentkit_storage.records import (
    Array,
    ChunkRecord,
    GroupRecord,
    Segment,
    check_notes,
    check_record,
    unit_vector,
)
from agentkit_storage.segments import TEXT
from agentkit_storage.types import Chunk, Note

_CODECS = ("float16", "float32", "uint16")  # what int8 tokens may have been given in


@dataclass(frozen=True, slots=True)
class _ChunkHead:
    """The first line of a chunk."""

    chunk: Chunk
    rows: str | None  # the SHA-256 of the blob that holds its groups' rows


@dataclass(frozen=True, slots=True)
class _Segment:
    """A line of a text that can be found, or of the chunk's own vector."""

    space: str
    start_s: float
    end_s: float
    kind: str
    text: str
    has_vector: bool


@dataclass(frozen=True, slots=True, eq=False)
class ImportedChunk:
    """A chunk as `Store` adds it: its record, and its rows just as they were kept."""

    record: ChunkRecord
    packed: PackedRows
    rows: str | None  # the SHA-256 of the blob that they are in


@dataclass(frozen=True, slots=True)
class ChunkReader:
    """Reads chunks whose members' arrays `arrays` gives, and whose spaces have these `sizes`."""

    arrays: Callable[[str], dict[str, Array]]
    sizes: Mapping[str, int]

    def read(self, video_id: str, index: int, lines: list[object]) -> ImportedChunk:
        """Return what the lines say, if nothing of it contradicts the rest."""
        start = parse(_ChunkHead, lines[0] if lines else None)
        if (start.chunk.video_id, start.chunk.index) != (video_id, index):
            raise FormError("it is of another video or chunk")
        if start.rows is not None and not SHA256.fullmatch(start.rows):
            raise FormError("its tokens are not named by a SHA-256")
        kinds = [_only(line) for line in lines[1:]]
        packed = self._packed([form for kind, form in kinds if kind == "group"], start.rows)
        if len(packed.groups) != start.chunk.num_groups:  # before anything is made of that number
            raise FormError(f"{len(packed.groups)} groups instead of {start.chunk.num_groups}")
        segments = [parse(_Segment, form) for kind, form in kinds if kind == "segment"]
        if unknown := {kind for kind, _ in kinds} - {"note", "group", "segment"}:
            raise FormError(f"a line of {min(unknown)[:80]!r}")
        record = ChunkRecord(
            chunk=start.chunk,
            notes=tuple(parse(Note, form) for kind, form in kinds if kind == "note"),
            groups=packed.groups,
            **self._found_by(video_id, index, segments),
        )
        check_record(record)
        return ImportedChunk(record, packed, start.rows)

    def _packed(self, forms: list[Form], rows: str | None) -> PackedRows:
        """Return groups with the rows that their chunk's blob holds."""
        arrays = {} if rows is None else self.arrays(names.blob_name(rows))
        codecs: dict[int, str] = {}
        groups = []
        for given in forms:
            codec = given.pop("codec", None)
            group = parse(GroupRecord, given, {"rows": None})
            if f"rows.{group.index}" in arrays:
                codecs[group.index] = _codec(arrays, group.index, codec)
                values = row_codec.decoded(arrays, group.index, codecs[group.index])
                group = parse(GroupRecord, given, {"rows": values})
            groups.append(group)
        used = {name for index, codec in codecs.items() for name in row_codec.names(index, codec)}
        if used != arrays.keys():
            raise FormError("its tokens hold what no group reads")
        return PackedRows(tuple(groups), codecs, arrays)

    def _found_by(self, video_id: str, index: int, lines: list[_Segment]) -> Form:
        """Return the searchable part of a chunk's record."""
        arrays = self.arrays(names.chunk_name(video_id, index, "vectors", "safetensors"))
        texts = [line for line in lines if line.space == TEXT]
        visual = [line for line in lines if line.space != TEXT]
        if strays := arrays.keys() - {names.VECTORS_TEXT, names.VECTORS_VISUAL}:
            raise FormError(f"vectors of {min(strays)[:80]!r}")
        vectors = self._vectors(arrays, names.VECTORS_TEXT, texts)
        found: Form = {
            "segments": tuple(
                Segment(
                    line.start_s,
                    line.end_s,
                    line.kind,
                    line.text,
                    next(vectors) if line.has_vector else None,
                )
                for line in texts
            )
        }
        if len(visual) > 1 or any(not line.has_vector for line in visual):
            raise FormError("more than one vector of its own")
        for line, vector in zip(
            visual, self._vectors(arrays, names.VECTORS_VISUAL, visual), strict=True
        ):
            found |= {"visual": vector, "visual_space": line.space}
        return found

    def _vectors(
        self, arrays: dict[str, Array], name: str, lines: list[_Segment]
    ) -> Iterator[Array]:
        """Return the vectors [E] of the lines that have one, each looked at."""
        mine = [line for line in lines if line.has_vector]
        found = arrays.get(name)
        if found is None:
            found = np.zeros((0, 0), "<f2")
        if found.dtype != np.dtype("<f2") or found.ndim != 2 or len(found) != len(mine):
            raise FormError(f"{name} vectors of shape {found.shape}, {found.dtype}")
        for line, vector in zip(mine, found, strict=True):
            if line.space not in self.sizes:
                raise FormError(f"space {line.space[:80]!r} is not in the manifest")
            unit_vector(vector, f"a {line.space} vector", self.sizes[line.space])
        return iter(found)


def _codec(arrays: dict[str, Array], index: int, codec: object) -> str:
    """Return how a group's rows are kept, once its arrays are found to be so."""
    rows, scales = arrays[f"rows.{index}"], arrays.get(f"scales.{index}")
    if scales is None:
        if codec not in (None, str(rows.dtype)):
            raise FormError(f"rows of {rows.dtype} said to be {str(codec)[:40]!r}")
        return str(rows.dtype)
    blocks = -(-rows.shape[-1] // row_codec.BLOCK)
    fits = rows.ndim == 2 and scales.shape == (len(rows), blocks)
    if not fits or (str(rows.dtype), str(scales.dtype)) != ("int8", "float32"):
        raise FormError(f"int8 rows of shape {rows.shape} with scales of {scales.shape}")
    if codec not in [f"int8:{given}" for given in _CODECS]:
        raise FormError(f"int8 rows said to be {str(codec)[:40]!r}")
    return str(codec)


def read_notes(lines: list[object]) -> tuple[Note, ...]:
    """Return the notes of a member that has nothing else, or raise FormError, RecordError."""
    kinds = [_only(line) for line in lines]
    if unknown := {kind for kind, _ in kinds} - {"note"}:
        raise FormError(f"a line of {min(unknown)[:80]!r}")
    notes = tuple(parse(Note, given) for _, given in kinds)
    check_notes(notes)
    return notes


def _only(line: object) -> tuple[str, Form]:
    """Return the kind and the form of a line, which is an object of one key."""
    if not isinstance(line, dict) or len(line) != 1:
        raise FormError("a line that is no object of one key")
    ((kind, given),) = line.items()
    if not isinstance(given, dict):
        raise FormError(f"no {kind[:80]!r}")
    return kind, given
