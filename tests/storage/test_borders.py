"""What a store does at its borders: another store's folder, values that no database takes."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from agentkit_storage import Store
from agentkit_storage.errors import StoreError
from agentkit_storage.testing import ingest

A = "a1" * 32


@pytest.mark.postgresql
def test_a_database_does_not_take_the_folder_of_a_store_with_sqlite(
    location: str, tmp_path: Path
) -> None:
    """Its gc would free the files of the other."""
    with Store.open(tmp_path / "mine") as mine:
        ingest(mine, A, 2, rows=True)
        url = sa.make_url(location).update_query_dict({"blobs": str(tmp_path / "mine")})
        with pytest.raises(StoreError, match="is a store of its own, with SQLite"):
            Store.open(url.render_as_string())
        assert mine.verify() == []


@pytest.mark.postgresql
def test_no_store_with_sqlite_is_made_where_a_database_keeps_its_files(
    store: Store, folder: Path
) -> None:
    ingest(store, A, 2, rows=True)
    with pytest.raises(StoreError, match="name that store by its URL"):
        Store.open(folder)
    assert not (folder / "store.sqlite").exists()
