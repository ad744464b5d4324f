"""What comes out of a bundle: videos as an ingest would hand them to the store, or an error.

Everything here is untrusted: the bundle's own hashes say that it is whole, not that it means well.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from agentkit_storage import bundle_names as names
from agentkit_storage.bundle_chunk import ChunkReader, ImportedChunk, read_notes
from agentkit_storage.bundle_file import BundleFile
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
)
from agentkit_storage.errors import RecordError
from agentkit_storage.records import Array, all_finite
from agentkit_storage.types import Note, StoredVideo
from agentkit_storage.videos import VALID_ID

STATES = ("ingesting", "ready")

T = TypeVar("T")


class Contents:
    """The videos of an open bundle."""

    def __init__(self, file: BundleFile) -> None:
        self._file = file
        self.spaces: tuple[BundleSpace, ...] = file.manifest.spaces
        self.videos: tuple[BundleVideo, ...] = file.manifest.videos
        self._chunks = ChunkReader(self._arrays, {each.name: each.size for each in self.spaces})
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
        return self._right(lambda: read_notes(self._lines(name)), name)

    def chunk(self, video: BundleVideo, index: int) -> ImportedChunk:
        """Return one chunk, with its vectors and tokens."""
        name = names.chunk_name(video.video_id, index, "chunk", "jsonl")
        return self._right(
            lambda: self._chunks.read(video.video_id, index, self._lines(name)), name
        )

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


def _finite(arrays: dict[str, Array]) -> dict[str, Array]:
    for name, array in arrays.items():
        if not all_finite(array):
            raise FormError(f"NaN or infinite numbers in {name[:80]!r}")
    return arrays
