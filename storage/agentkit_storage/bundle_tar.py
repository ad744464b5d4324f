"""The file that a bundle is: an uncompressed tar of which every byte follows from its members.

A bundle's first two members are the manifest and its SHA-256; the manifest lists the others in
their order with size and SHA-256. Headers, padding and end have one form only, so a reader accepts
what `write` wrote and nothing else: no link, no device, no other name, not one changed bit.
"""

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO

from agentkit_storage.bundle_forms import (
    FORMAT,
    BundleError,
    FormError,
    Manifest,
    Member,
    dump,
    form,
    load,
    parse,
)
from agentkit_storage.errors import StoreError, StoreVersionError
from agentkit_storage.files import opened_whole
from agentkit_storage.schema import REVISION

Progress = Callable[[int, int], None]  # bytes done, of how many

MANIFEST, SEAL = "manifest.json", "manifest.sha256"
BLOCK = tarfile.BLOCKSIZE
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


@dataclass(frozen=True, slots=True)
class Part:
    """A member to be written: `open` gives its bytes, the same each time."""

    member: Member
    open: Callable[[], IO[bytes]]
    on_damage: Callable[[], StoreError]  # what to raise where they are not what they were


def write(path: Path, manifest: Manifest, parts: Sequence[Part], progress: Progress | None) -> None:
    """Write a bundle: to a temporary file, fsync, rename; a part at a time is in memory.

    Raises:
        StoreFullError, StoreError; `path` is then what it was before.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise StoreError(f"{path}: a folder, or in none that is there; name a file to write")
    with opened_whole(path, "bundle") as file:
        _write_members(file, manifest, parts, progress or (lambda done, of: None))


def _write_members(
    file: IO[bytes], manifest: Manifest, parts: Sequence[Part], progress: Progress
) -> None:
    said = dump(form(manifest))
    seal = _seal(hashlib.sha256(said).hexdigest())
    total, done = sum(part.member.nbytes for part in parts), 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in ((MANIFEST, said), (SEAL, seal)):
            tar.addfile(_info(name, len(data)), BytesIO(data))
        for part in parts:
            _add(tar, part)
            done += part.member.nbytes
            progress(done, total)


def _add(tar: tarfile.TarFile, part: Part) -> None:
    """Copy a part into the tar, and make sure that it is the one of the manifest."""
    with part.open() as source:
        hashing = _Hashing(source)
        try:
            tar.addfile(_info(part.member.name, part.member.nbytes), hashing)  # type: ignore[arg-type]  # it only reads
        except tarfile.ReadError as error:
            raise part.on_damage() from error
        except OSError as error:
            if error.errno is None:  # tarfile's own: the source ended early
                raise part.on_damage() from error
            raise
        if hashing.sha256.hexdigest() != part.member.sha256 or source.read(1):
            raise part.on_damage()


@dataclass(slots=True)
class _Hashing:
    """Hashes what is read through it."""

    source: IO[bytes]
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read(self, nbytes: int) -> bytes:
        data = self.source.read(nbytes)
        self.sha256.update(data)
        return data


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
        if seal != _seal(hashlib.sha256(said).hexdigest()):
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
        self._check_zeros(_padding(nbytes))
        return data

    def _walk(self) -> Iterator[tuple[str, tuple[Member, int]]]:
        """Yield where each member of the manifest is; check all headers and the spaces between."""
        self._check_members()
        for member in self.manifest.members:
            self._check_header(self._file.read(BLOCK), member.name, member.nbytes)
            yield member.name, (member, self._file.tell())
            self._file.seek(member.nbytes, os.SEEK_CUR)
            self._check_zeros(_padding(member.nbytes))
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
        if header != _header(name, nbytes):
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


def _info(name: str, nbytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = nbytes
    return info  # mode 0644, time 0, no owner: the same on every machine


def _header(name: str, nbytes: int) -> bytes:
    return _info(name, nbytes).tobuf(tarfile.GNU_FORMAT)


def _padding(nbytes: int) -> int:
    return -nbytes % BLOCK


def _seal(sha256: str) -> bytes:
    """Return the line that `sha256sum --check` reads."""
    return f"{sha256}  {MANIFEST}\n".encode()
