"""Where the bytes of blobs lie: a local folder now. Knows no array and no SQL.

Another place, such as a bucket, is another class with these six methods.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from agentkit_storage import faults
from agentkit_storage.files import TMP, write_whole


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A file that is there. One that is not whole was begun, maybe by somebody still at it."""

    name: str
    nbytes: int
    is_whole: bool
    age_s: float


class BlobFiles(Protocol):
    """Files that are written whole, never changed, and named by their SHA-256."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a file: durable and whole when this returns, or not there."""

    def open(self, name: str) -> BufferedReader:
        """Return a file for reading and seeking; OSError where it cannot be read."""

    def nbytes(self, name: str) -> int | None:
        """Return how long a file is; None where it is not there."""

    def remove(self, name: str) -> int:
        """Remove a file, if it is there; return its bytes."""

    def listed(self) -> Iterator[BlobFile]:
        """Yield all files, unfinished ones too."""

    def remove_unfinished(self, grace_s: float) -> int:
        """Remove what was begun and is older than this; return bytes."""


class LocalFiles:
    """Files in a folder, in one of 256 others by the beginning of the name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name}.safetensors"

    def write(self, name: str, data: bytes) -> None:
        write_whole(self.path(name), data, "blob")

    def open(self, name: str) -> BufferedReader:
        return self.path(name).open("rb")

    def nbytes(self, name: str) -> int | None:
        try:
            return self.path(name).stat().st_size
        except OSError:
            return None

    def remove(self, name: str) -> int:
        return remove(self.path(name))

    def listed(self) -> Iterator[BlobFile]:
        for path in self._folder.glob("??/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # finished, or removed, a moment ago
                continue
            if path.is_file():
                age_s = time.time() - stat.st_mtime
                yield BlobFile(path.stem, stat.st_size, path.suffix != TMP, age_s)

    def remove_unfinished(self, grace_s: float) -> int:
        return remove_unfinished(self._folder, "??/*", grace_s)


def remove_unfinished(folder: Path, pattern: str, grace_s: float) -> int:
    """Remove temporary files that are older than `grace_s`; return their bytes."""
    return sum(remove(path) for path in folder.glob(f"{pattern}{TMP}") if _age_s(path) >= grace_s)


def remove(path: Path) -> int:
    """Remove a file, if it is there; return its bytes."""
    try:
        nbytes = path.stat().st_size
    except FileNotFoundError:
        return 0
    path.unlink(missing_ok=True)
    faults.point("file.gone")
    return nbytes


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # finished in between
        return -1.0
