"""Files that are whole or not there. Knows no SQL.

The only place of the store that forces bytes to disk or renames a file: each of these steps has a
fault point right before and right after it.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from agentkit_storage import faults
from agentkit_storage.errors import StoreError, StoreFullError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NAME_CHARS = 40  # of the name that a temporary file is called after: names have 255 bytes
TMP = ".tmp"


def write_whole(path: Path, data: bytes, point: str) -> None:
    """Write `data` as `path`, whole or not at all. `point` names the fault points."""
    with opened_whole(path, point) as file:
        file.write(data)


@contextmanager
def opened_whole(path: Path, point: str) -> Iterator[IO[bytes]]:
    """Give a file that takes the name `path` at the end: tmp, fsync, rename, fsync folder.

    Raises:
        StoreFullError, StoreError; `path` is then what it was before.
    """
    make_folder(path.parent, point)
    token = f"{os.getpid()}.{secrets.token_hex(4)}"
    tmp = path.with_name(f"{path.name[:_NAME_CHARS]}.{token}{TMP}")
    try:
        with tmp.open("xb") as file:
            yield file
            file.flush()
            faults.point(f"{point}.tmp")
            os.fsync(file.fileno())
            faults.point(f"{point}.fsync")
        tmp.replace(path)
        faults.point(f"{point}.rename")
        fsync_folder(path.parent)
        faults.point(f"{point}.folder")
    except StoreError:
        raise
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        tmp.unlink(missing_ok=True)


def make_folder(folder: Path, point: str = "store") -> None:
    """Make a folder whose name survives a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent, point)
    try:
        folder.mkdir(exist_ok=True)
        faults.point(f"{point}.mkdir")
        fsync_folder(folder.parent)
        faults.point(f"{point}.parent")
    except OSError as error:
        raise file_error(error, folder) from error


def nbytes_of_files(folder: Path, pattern: str) -> int:
    """Return the bytes of the files that match; those that go meanwhile count nothing."""
    total = 0
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_error(error: OSError, path: Path) -> StoreError:
    """Return our error for one of the system."""
    if is_full(error):
        return StoreFullError(f"{path.parent}: the disk is full; make room and run it again")
    return StoreError(f"{path}: {error.strerror or error}; check the store folder's permissions")


def is_full(error: OSError) -> bool:
    """Say whether there was no room."""
    return error.errno in _FULL
