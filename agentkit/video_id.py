"""The id of a video is the SHA-256 of its bytes; remembered by what the file system says of it."""

import hashlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agentkit.paths import home
from agentkit.video_open import FileStamp, check_path, open_file, stamp_of

logger = logging.getLogger(__name__)

# A file written this recently may change again without a new modification time.
SETTLED_NS = 2_000_000_000
BUSY_S = 10.0

_TABLE = """CREATE TABLE IF NOT EXISTS content_ids (
    device INTEGER, inode INTEGER, nbytes INTEGER, mtime_ns INTEGER, sha256 TEXT NOT NULL,
    PRIMARY KEY (device, inode)) WITHOUT ROWID"""


def content_id(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal; read again only if the file changed.

    Raises:
        VideoPathError: missing, or not a regular file.
    """
    with open_file(check_path(path)) as file:
        stamp = stamp_of(file)
        known = _recall(stamp)
        if known is not None:
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if stamp_of(file) == stamp and time.time_ns() - stamp.mtime_ns > SETTLED_NS:
            _remember(stamp, digest)
        return digest


@contextmanager
def _cache() -> Iterator[sqlite3.Connection]:
    """Open the cache; SQLite's own locks let several processes share it."""
    folder = home() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "content_ids.sqlite", timeout=BUSY_S)) as cache, cache:
        cache.execute(_TABLE)
        yield cache


def _recall(stamp: FileStamp) -> str | None:
    key = (_signed(stamp.device), _signed(stamp.inode))
    try:
        with _cache() as cache:
            row = cache.execute(
                "SELECT nbytes, mtime_ns, sha256 FROM content_ids WHERE device = ? AND inode = ?",
                key,
            ).fetchone()
    except (sqlite3.Error, OSError) as error:
        _forget(error)
        return None
    found = row is not None and tuple(row[:2]) == (stamp.nbytes, stamp.mtime_ns)
    return str(row[2]) if found else None


def _remember(stamp: FileStamp, digest: str) -> None:
    key = (_signed(stamp.device), _signed(stamp.inode))
    values = (*key, stamp.nbytes, stamp.mtime_ns, digest)
    try:
        with _cache() as cache:
            cache.execute("INSERT OR REPLACE INTO content_ids VALUES (?, ?, ?, ?, ?)", values)
    except (sqlite3.Error, OSError) as error:
        _forget(error)


def _forget(error: Exception) -> None:
    """Go on without the cache; one that is no database is removed, so that the next start works."""
    logger.warning("the cache of content ids cannot be used: %s", error)
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        (home() / "cache" / "content_ids.sqlite").unlink(missing_ok=True)


def _signed(number: int) -> int:
    """Return a 64-bit number as SQLite can hold it."""
    return number - 2**64 if number >= 2**63 else number
