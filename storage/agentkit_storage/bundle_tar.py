"""The file that a bundle is: an uncompressed tar of which every byte follows from its members.

A bundle's first two members are the manifest and its SHA-256; the manifest lists the others in
their order with size and SHA-256. Headers, padding and end have one form only, so a reader accepts
what `write` wrote and nothing else: no link, no device, no other name, not one changed bit.
"""

import hashlib
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO

from agentkit_storage.bundle_forms import Manifest, Member, dump, form
from agentkit_storage.errors import StoreError
from agentkit_storage.files import opened_whole

Progress = Callable[[int, int], None]  # bytes done, of how many

MANIFEST, SEAL = "manifest.json", "manifest.sha256"
BLOCK = tarfile.BLOCKSIZE


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
    seal = seal_of(hashlib.sha256(said).hexdigest())
    total, done = sum(part.member.nbytes for part in parts), 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in ((MANIFEST, said), (SEAL, seal)):
            tar.addfile(info_of(name, len(data)), BytesIO(data))
        for part in parts:
            _add(tar, part)
            done += part.member.nbytes
            progress(done, total)


def _add(tar: tarfile.TarFile, part: Part) -> None:
    """Copy a part into the tar, and make sure that it is the one of the manifest."""
    with part.open() as source:
        hashing = _Hashing(source)
        try:
            tar.addfile(info_of(part.member.name, part.member.nbytes), hashing)  # type: ignore[arg-type]  # it only reads
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


def info_of(name: str, nbytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = nbytes
    return info  # mode 0644, time 0, no owner: the same on every machine


def header_of(name: str, nbytes: int) -> bytes:
    return info_of(name, nbytes).tobuf(tarfile.GNU_FORMAT)


def padding_of(nbytes: int) -> int:
    return -nbytes % BLOCK


def seal_of(sha256: str) -> bytes:
    """Return the line that `sha256sum --check` reads."""
    return f"{sha256}  {MANIFEST}\n".encode()
