"""What comes out of a bundle: records as an ingest would hand them to the store, or an error.

Everything here is untrusted: the bundle's own hashes say that it is whole, not that it means well.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from agentkit_storage import bundle_write as names
from agentkit_storage import row_codec
from agentkit_storage.bundle_forms import (
    SHA256,
    BundleError,
    BundleKv,
    BundleSpace,
    BundleVideo,
    Form,
    FormError,
    checked,
    is_safe_name,
    load,
    parse,
)
from agentkit_storage.bundle_tar import BundleFile
from agentkit_storage.chunks import PackedRows
from agentkit_storage.errors import RecordError
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
from agentkit_storage.types import Chunk, Note, StoredVideo
from agentkit_storage.videos import VALID_ID

STATES = ("ingesting", "ready")
_CODECS = ("float16", "float32", "uint16")  # what int8 tokens may have been given in

T = TypeVar("T")


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


class Contents:
    """The videos of an open bundle."""

    def __init__(self, file: BundleFile) -> None:
        self._file = file
        self.spaces: tuple[BundleSpace, ...] = file.manifest.spaces
        self.videos: tuple[BundleVideo, ...] = file.manifest.videos
        self._sizes = {space.name: space.size for space in self.spaces}
        self._check_manifest()

    def check(self) -> None:
        """Read all of it, so that nothing is stored of a bundle that is not right in all parts.

        Raises:
            BundleError
        """
        right = set(self._checked())
        if strays := {member.name for member in self._file.manifest.members} - right:
            raise self._file.error(f"member {min(strays)!r} belongs to no video")

    def stored_video(self, video: BundleVideo) -> StoredVideo:
        """Return a video's row as it begins: without chunks, and not ready yet."""
        known: Form = {"video_id": video.video_id, "path": video.name, "chunks": 0, "tiers": ()}
        left_out = [name for name in names.NOT_CARRIED if name in StoredVideo.__slots__]
        row = self._right(lambda: checked(StoredVideo, video.row, left_out), "a video's row")
        if row["state"] not in STATES or min(row["duration_s"], row["step_s"]) < 0:
            raise self._file.error(f"video {video.video_id[:12]}: its row is not one of a video")
        return StoredVideo(**known, **row)

    def sound(self, video: BundleVideo) -> tuple[Note, ...]:
        """Return what was heard."""
        name = names.sound_name(video.video_id)
        return self._right(lambda: _notes(self._lines(name)), name)

    def chunk(self, video: BundleVideo, index: int) -> ImportedChunk:
        """Return one chunk, with its vectors and tokens."""
        name = names.chunk_name(video.video_id, index, "chunk", "jsonl")
        return self._right(lambda: self._chunk(video, index, self._lines(name)), name)

    def kv(self, part: BundleKv) -> dict[str, Array]:
        """Return one stored cache."""
        return self._arrays(names.blob_name(part.blob))

    def footage(self, video: BundleVideo) -> Iterator[bytes]:
        """Yield the video file's bytes; after the last piece they are known to be right."""
        return self._file.pieces(names.footage_name(video.video_id))

    def _checked(self) -> Iterator[str]:
        """Yield the names of members as they are found to be right."""
        for video in self.videos:
            self.stored_video(video)
            if video.has_heard:
                self.sound(video)
                yield names.sound_name(video.video_id)
            next_group = 0
            for index in range(video.chunks):
                made = self.chunk(video, index)
                chunk = made.record.chunk
                if chunk.first_group < next_group:
                    raise self._file.error(f"chunk {index} holds groups of the one before")
                next_group = chunk.first_group + chunk.num_groups
                yield from self._names_of(video, index, made.rows)
            for part in video.kv:
                self.kv(part)
                yield names.blob_name(part.blob)
            if video.has_footage:
                for _ in self.footage(video):
                    pass
                yield names.footage_name(video.video_id)

    def _names_of(self, video: BundleVideo, index: int, rows: str | None) -> Iterator[str]:
        yield names.chunk_name(video.video_id, index, "chunk", "jsonl")
        yield names.chunk_name(video.video_id, index, "vectors", "safetensors")
        if rows is not None:
            yield names.blob_name(rows)

    def _check_manifest(self) -> None:
        for member in self._file.manifest.members:
            if member.name.startswith("blobs/") and member.name != names.blob_name(member.sha256):
                raise self._file.error(f"{member.name!r} is not named by its SHA-256")
        for space in self.spaces:
            if not VALID_ID.fullmatch(space.name) or space.size < 1:
                raise self._file.error(f"{space.name[:80]!r} is no name of a space")
        if len({video.video_id for video in self.videos}) < len(self.videos):
            raise self._file.error("a video is listed twice")
        for video in self.videos:
            self._check_video(video)

    def _check_video(self, video: BundleVideo) -> None:
        if not SHA256.fullmatch(video.video_id):
            raise self._file.error(f"{video.video_id[:80]!r} is not the SHA-256 of a video")
        what = f"video {video.video_id[:12]}"
        if not is_safe_name(video.name):
            raise self._file.error(f"{what}: {video.name[:80]!r} is no file name")
        if set(video.tiers) - set(names.TIERS) or not set(names.ALWAYS) <= set(video.tiers):
            raise self._file.error(f"{what}: unknown tiers")
        has_tokens = names.TOKENS in video.tiers
        if video.fingerprint.endswith(names.WITHOUT_TOKENS) == has_tokens or video.chunks < 0:
            raise self._file.error(f"{what}: its tiers and its fingerprint contradict each other")
        if video.kv and names.KV not in video.tiers:
            raise self._file.error(f"{what}: KV without its tier")
        for part in video.kv:
            if not 0 < len(part.fingerprint) <= 200 or not -1 <= part.number < video.chunks:
                raise self._file.error(f"{what}: KV of a chunk that it has not")
        film = names.footage_name(video.video_id)
        if video.has_footage and self._file.member(film).sha256 != video.video_id:
            raise self._file.error(f"{what}: its footage is another video")

    def _chunk(self, video: BundleVideo, index: int, lines: list[object]) -> ImportedChunk:
        start = parse(_ChunkHead, lines[0] if lines else None)
        if (start.chunk.video_id, start.chunk.index) != (video.video_id, index):
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
            **self._found_by(video, index, segments),
        )
        check_record(record)
        return ImportedChunk(record, packed, start.rows)

    def _packed(self, forms: list[Form], rows: str | None) -> PackedRows:
        """Return groups with the rows that their chunk's blob holds."""
        arrays = {} if rows is None else self._arrays(names.blob_name(rows))
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

    def _found_by(self, video: BundleVideo, index: int, lines: list[_Segment]) -> Form:
        """Return the searchable part of a chunk's record."""
        arrays = self._arrays(names.chunk_name(video.video_id, index, "vectors", "safetensors"))
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
            if line.space not in self._sizes:
                raise FormError(f"space {line.space[:80]!r} is not in the manifest")
            unit_vector(vector, f"a {line.space} vector", self._sizes[line.space])
        return iter(found)

    def _lines(self, name: str) -> list[object]:
        return [load(line) for line in self._file.read(name).splitlines()]

    def _arrays(self, name: str) -> dict[str, Array]:
        """Return the arrays of a member; safetensors runs no code, whatever is in the file."""
        data = self._file.read(name)
        return self._right(lambda: _finite(load_arrays(data)), name)

    def _right(self, read: Callable[[], T], name: str) -> T:
        """Return what `read` gives, its complaints in the words of this bundle."""
        try:
            return read()
        except BundleError:
            raise
        except (FormError, RecordError, SafetensorError) as error:
            raise self._file.error(f"{name}: {' '.join(str(error).split())[:200]}") from error
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._file.error(f"{name}: not as a bundle has it") from error


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


def _finite(arrays: dict[str, Array]) -> dict[str, Array]:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FormError(f"NaN or infinite numbers in {name[:80]!r}")
    return arrays


def _notes(lines: list[object]) -> tuple[Note, ...]:
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
