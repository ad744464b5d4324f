"""Whose blobs a folder has: a database and a folder that do not belong together are not opened."""

from pathlib import Path

from agentkit_storage.errors import StoreError
from agentkit_storage.files import write_whole

NAME = "store-id"


def claim(folder: Path, store_id: str, has_blobs: bool) -> None:
    """Mark a store's folder, or see that it is this store's.

    Raises:
        StoreError: it is another's, or it is new and the store's blobs are elsewhere.
    """
    path = folder / NAME
    try:
        found = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        if has_blobs:
            raise StoreError(
                f"{folder}: this store's large files are not here; name the folder that they are in"
                " (blobs=/FOLDER), the same on every machine"
            ) from None
        write_whole(path, store_id.encode(), "marker")
        return
    if found != store_id:
        raise StoreError(f"{folder}: holds the large files of another store; name another folder")
