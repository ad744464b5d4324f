"""Files that appear whole or not at all, and what their bytes are."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

_BLOCK_BYTES = 4 << 20


def part_path(target: Path) -> Path:
    """Return the name under which `target` grows until it is whole."""
    return target.with_name(target.name + ".part")


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` last through a loss of power."""
    if os.name != "posix":
        return  # Windows opens no folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of a file in hexadecimal; `progress` is told the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done)
    return digest.hexdigest()
