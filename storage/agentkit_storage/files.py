"""Files that are whole or not there. Knows no SQL."""

import errno
import os
import secrets
from pathlib import Path

from agentkit_storage import faults
from agentkit_storage.errors import StoreError, StoreFullError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TMP = ".tmp"


def write_whole(path: Path, data: bytes, point: str) -> None:
    """Write `data` as `path`: tmp, fsync, rename, fsync folder. `point` names the fault points."""
    make_folder(path.parent)
    tmp = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}{TMP}")
    try:
        with tmp.open("xb") as file:
            file.write(data)
            file.flush()
            faults.point(f"{point}.tmp")
            os.fsync(file.fileno())
        faults.point(f"{point}.fsync")
        tmp.replace(path)
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        tmp.unlink(missing_ok=True)
    faults.point(f"{point}.rename")
    fsync_folder(path.parent)
    faults.point(f"{point}.folder")


def make_folder(folder: Path) -> None:
    """Make a folder whose name survives a power cut."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fsync_folder(folder.parent)
    except OSError as error:
        raise file_error(error, folder) from error


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
    if error.errno in _FULL:
        return StoreFullError(f"{path.parent}: the disk is full; make room and run it again")
    return StoreError(f"{path}: {error.strerror or error}; check the store folder's permissions")
