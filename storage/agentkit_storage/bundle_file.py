"""An open bundle: its members by name, each checked when it is read. Knows nothing of videos.

What `bundle_tar.write` wrote is accepted and nothing else; sizes are bounded before they are read.
"""

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from agentkit_storage.bundle_forms import (
    FORMAT,
    BundleError,
    FormError,
    Manifest,
    Member,
    load,
    parse,
)
from agentkit_storage.bundle_tar import (
    BLOCK,
    MANIFEST,
    SEAL,
    Progress,
    header_of,
    padding_of,
    seal_of,
)
from agentkit_storage.errors import StoreError, StoreVersionError
from agentkit_storage.schema import REVISION

PIECE = 1 << 20
_AGAIN = "make the bundle again with `agentkit store export`, or copy it again"
_NAMES = re.compile(
    r"videos/[0-9a-f]{64}/(?:sound\.jsonl|chunk-\d{8}\.jsonl|vectors-\d{8}\.safetensors)"
    r"|blobs/[0-9a-f]{64}\.safetensors|footage/[0-9a-f]{64}"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest bundle that is read; each stands far above what videos of a day need."""

    manifest_bytes: int = 256 << 20
    text_bytes: int = 64 << 20  # of one chunk's notes, groups and texts
    array_bytes: int = 1 << 30  # of one file of arrays: a chunk's tokens or KV
    footage_bytes: int = 1 << 40
    members: int = 4_000_000

    def of(self, name: str) -> int:
        """Return the most bytes that a member of this name may have."""
        if name.startswith("footage/"):
            return self.footage_bytes
        return self.text_bytes if name.endswith(".jsonl") else self.array_bytes


class BundleFile:
    """An open bundle: its manifest, and its members by name, each checked when it is read."""

    def __init__(
        self, path: Path, file: BufferedReader, limits: Limits, progress: Progress
    ) -> None:
        self._path = path
        self._file = file
        self._limits = limits
        self._progress = progress
        self._done = 0
        self._left = os.fstat(file.fileno()).st_size
        self.manifest = self._read_manifest()
        self._places = dict(self._walk())
        self._total = 2 * sum(member.nbytes for member in self.manifest.members)

    def error(self, what: str) -> BundleError:
        return BundleError(f"{self._path}: {what}; {_AGAIN}")

    def has(self, name: str) -> bool:
        return name in self._places

    def member(self, name: str) -> Member:
        """Return what the manifest says of a member."""
        return self._place(name)[0]

    def read(self, name: str) -> bytes:
        """Return a member's bytes; not for footage, which may be larger than memory."""
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes; after the last piece they are known to be the right ones.

        Raises:
            BundleError: there is no such member, or its SHA-256 differs.
        """
        member, start = self._place(name)
        sha256, left = hashlib.sha256(), int(member.nbytes)
        self._file.seek(start)
        while left and (piece := self._file.read(min(left, PIECE))):
            left -= len(piece)
            sha256.update(piece)
            self._tell(len(piece))
            yield piece
        if left or sha256.hexdigest() != member.sha256:
            raise self.error(f"member {name!r} is damaged, its SHA-256 differs")

    def _tell(self, nbytes: int) -> None:
        """Tell how far it is: everything is read twice, to be checked and to be stored."""
        self._done += nbytes
        self._progress(min(self._done, self._total), self._total)

    def _place(self, name: str) -> tuple[Member, int]:
        if name not in self._places:
            raise self.error(f"member {name!r} is missing")
        return self._places[name]

    def _read_manifest(self) -> Manifest:
        said = self._read_first(MANIFEST, self._limits.manifest_bytes)
        seal = self._read_first(SEAL, BLOCK)
        if seal != seal_of(hashlib.sha256(said).hexdigest()):
            raise self.error("the manifest is damaged, its SHA-256 differs")
        try:
            given = load(said)
            self._check_version(given)
            return parse(Manifest, given)
        except FormError as error:
            raise self.error(f"the manifest: {error}") from error

    def _check_version(self, given: object) -> None:
        """Refuse what a newer version wrote, before its forms are looked at."""
        if not isinstance(given, dict):
            raise FormError("no Manifest")
        made, schema = given.get("format"), given.get("schema")
        if type(made) is not int or made < 1 or not re.fullmatch(r"\d{4}", str(schema)):
            raise FormError(f"unknown format {made!r} of schema {schema!r}")
        if made > FORMAT or str(schema) > REVISION:
            raise StoreVersionError(
                f"{self._path}: the bundle was made by a newer version; update agentkit"
            )

    def _read_first(self, name: str, most: int) -> bytes:
        """Read a member whose size only its own header tells."""
        header = self._file.read(BLOCK)
        nbytes = self._parsed(header).size
        if nbytes > min(most, self._left):
            raise self.error(f"{name} of {nbytes} bytes is beyond the limit of {most}, or cut")
        self._check_header(header, name, nbytes)
        data = self._file.read(nbytes)
        self._check_zeros(padding_of(nbytes))
        return data

    def _walk(self) -> Iterator[tuple[str, tuple[Member, int]]]:
        """Yield where each member of the manifest is; check all headers and the spaces between."""
        self._check_members()
        for member in self.manifest.members:
            self._check_header(self._file.read(BLOCK), member.name, member.nbytes)
            yield member.name, (member, self._file.tell())
            self._file.seek(member.nbytes, os.SEEK_CUR)
            self._check_zeros(padding_of(member.nbytes))
        end = 2 * BLOCK
        end += -(self._file.tell() + end) % tarfile.RECORDSIZE
        if self._left - self._file.tell() > end:
            raise self.error(self._explained(self._file.read(BLOCK), "what is not in the manifest"))
        self._check_zeros(end)

    def _check_members(self) -> None:
        members = self.manifest.members
        if len(members) > self._limits.members:
            raise self.error(f"{len(members)} members are beyond {self._limits.members}")
        if len({member.name for member in members}) < len(members):
            raise self.error("a member is listed twice")
        for member in members:
            if not _NAMES.fullmatch(member.name):
                raise self.error(f"{member.name[:80]!r} is no name of a member")
            most = self._limits.of(member.name)
            if member.nbytes > most:
                raise self.error(f"{member.name}: {member.nbytes} bytes are beyond {most}")

    def _check_header(self, header: bytes, name: str, nbytes: int) -> None:
        if header != header_of(name, nbytes):
            raise self.error(self._explained(header, f"{name!r} of {nbytes} bytes should be"))

    def _explained(self, header: bytes, instead: str) -> str:
        """Say what a header is that is not ours."""
        info = self._parsed(header)
        kind = "" if info.isreg() else "a link, " if info.issym() or info.islnk() else "no file, "
        return f"where {instead}, there is {info.name[:80]!r} ({kind}{info.size} bytes)"

    def _parsed(self, header: bytes) -> tarfile.TarInfo:
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise self.error(f"it is damaged or no bundle ({error})") from error
        if info.size < 0:
            raise self.error("it is damaged, a member has a size below 0")
        return info

    def _check_zeros(self, nbytes: int) -> None:
        if self._file.read(nbytes) != bytes(nbytes):
            raise self.error("it is damaged or cut between two members")


@contextmanager
def opened(path: Path, limits: Limits, progress: Progress | None = None) -> Iterator[BundleFile]:
    """Open a bundle and look at all but its members' contents.

    Raises:
        BundleError: it is no bundle, cut, or not as its manifest says.
        StoreVersionError: a newer version made it.
    """
    try:
        if not path.is_file():
            raise BundleError(f"{path}: no file; name one that `agentkit store export` made")
        with path.open("rb") as file:
            yield BundleFile(path, file, limits, progress or (lambda done, of: None))
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise BundleError(f"{path}: {error.strerror or error}; is it readable?") from error
