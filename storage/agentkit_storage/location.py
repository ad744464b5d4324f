"""What a store is named by: a folder, or a PostgreSQL database with a folder for its blobs."""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from agentkit_storage.errors import StoreError

BLOBS = "blobs"  # the part of a URL that says where the blobs are
DRIVER = "postgresql+psycopg"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store's parts are. `url` is None for SQLite, which lies in `folder` itself."""

    folder: Path  # of blobs, and of SQLite's files, the index and the locks
    url: sa.URL | None = None

    @classmethod
    def of(cls, name: Path | str) -> "Location":
        """Read `FOLDER`, or `postgresql://user@host/db?blobs=/FOLDER`.

        Raises:
            StoreError: it is neither.
        """
        if "://" not in str(name):
            return cls(Path(name))
        try:
            url = sa.make_url(str(name))
        except (sa.exc.ArgumentError, ValueError) as error:  # ValueError: of the port
            raise StoreError(f"{_scheme(name)}://...: no URL of a database; {_FORM}") from error
        shown = url.render_as_string(hide_password=True)
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise StoreError(f"{shown}: only a folder or PostgreSQL can be a store; {_FORM}")
        blobs = url.query.get(BLOBS)
        if not isinstance(blobs, str) or not Path(blobs).is_absolute():
            raise StoreError(f"{shown}: say where its large files are, as a full path; {_FORM}")
        return cls(Path(blobs), url.difference_update_query([BLOBS]).set(drivername=DRIVER))


_FORM = "write postgresql://USER@HOST/DATABASE?blobs=/FOLDER"


def _scheme(name: Path | str) -> str:
    return str(name).partition("://")[0]
