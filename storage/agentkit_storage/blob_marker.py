"""Whose blobs a folder has: a database and a folder that do not belong together are not opened."""

from pathlib import Path

from agentkit_storage.errors import StoreError
from agentkit_storage.files import write_whole

NAME = "store-id"
SQLITE = "store.sqlite"  # the database of a store that lies in the folder itself


def claim(folder: Path, store_id: str, has_blobs: bool) -> None:
    """Mark a store's folder, or see that it is this store's.

    Raises:
        StoreError: it is another's, or it is new and the store's blobs are elsewhere.
    """
    if (folder / SQLITE).exists():  # one's gc would free the other's files
        raise StoreError(f"{folder}: is a store of its own, with SQLite; name another folder")
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


def require_unclaimed(folder: Path) -> None:
    """Raise StoreError where a store in PostgreSQL keeps its files."""
    if (folder / NAME).exists():
        raise StoreError(
            f"{folder}: holds the large files of a store in PostgreSQL; name that store by its URL,"
            " or another folder"
        )
