"""The tables as the models want them, from every version on, on each database."""

import signal
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql

from agentkit_storage import Store, database, sqlite
from agentkit_storage.errors import StoreBusyError, StoreVersionError
from agentkit_storage.schema import REVISION, Base
from agentkit_storage.sqlite import SQLite
from agentkit_storage.testing import draw_chunk, draw_sound, draw_video

A, B = "a1" * 32, "b2" * 32
DATA = Path(__file__).parent / "data"


def test_the_newest_revision_is_the_one_that_the_code_knows() -> None:
    config = Config()
    config.set_main_option("script_location", "agentkit_storage:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_migrated_tables_are_the_models(tmp_path: Path) -> None:
    db = SQLite(tmp_path / "db.sqlite")
    db.migrate()
    with db.read() as conn:
        context = MigrationContext.configure(
            conn,
            opts={"include_name": lambda name, kind, parents: not str(name).startswith("words")},
        )
        assert compare_metadata(context, Base.metadata) == []
    db.close()


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_models_can_be_said_in_postgresql(table: sa.Table) -> None:
    statement = str(sa.schema.CreateTable(table).compile(dialect=postgresql.dialect()))
    assert statement.strip().startswith(f"CREATE TABLE {table.name}")


def test_a_store_of_the_first_revision_opens_and_goes_on(folder: Path) -> None:
    """Written by the first version; what it must give is written out here, not drawn again."""
    with tarfile.open(DATA / "first_revision.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    with Store.open(folder) as store:
        assert store.digest(A) == "735bb64322d7a889b52a7edc4d621a30a504bcfff303a7382226ee6f23a37950"
        assert store.digest(B) == "aa1d12272573bc01270c1284e66c7e4ffa99a13e626f5db5732e5343c76f2ce9"
        assert [video.chunks for video in store.videos()] == [2, 1]
        hits = store.search_words("woman car dog gate lorry bicycle", 99)
        assert [hit.text for hit in hits][:2] == ["open gate", "green bicycle"]
        assert len(hits) == 12
        assert len(store.search_vectors("text", np.ones(16, np.float32), 99)) == 12
        found = store.kv(A, "drawn", 1)["k.0"].ravel()[:3]
        np.testing.assert_allclose(found, [-1.2749625, -0.02508399, 1.3590629], rtol=1e-6)
        assert store.verify() == []
        store.add_chunk(draw_chunk(A, 2))
        assert store.num_chunks(A) == 3
        assert [video.collection for video in store.videos()] == ["default", "default"]


def test_a_store_of_the_second_revision_gets_bytes_and_uses_of_its_kv(folder: Path) -> None:
    """A has rows of tokens in blobs, B ids; what each must give is written out here."""
    with tarfile.open(DATA / "second_revision.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    with Store.open(folder) as store:
        assert store.digest(A) == "9e2593f9f43250895049461fd7c915b1844ace936e02b4e07e67885e3445c705"
        assert store.digest(B) == "2ebebcb3d276f0e7accb6281f077a9c5b7c1faafdf06a85e723806ce00afa9fa"
        rows = store.groups(A)[5].rows
        assert rows is not None
        np.testing.assert_allclose(rows[0, :3], [-1.0643439, 0.6266622, 1.346737], rtol=1e-6)
        kv = {id_: store.tiers(id_)[-1] for id_ in (A, B)}
        assert [(tier.nbytes, tier.chunks, tier.dtype) for tier in kv.values()] == [
            (5112, 2, ""),
            (3408, 1, ""),
        ]
        assert store.kv_nbytes() == 5112 + 3408
        assert (kv[A].used_at or 0) < (kv[B].used_at or 0)  # A came before B
        store.trim_kv(store.kv_nbytes() - 1)
        assert [video.tiers[-1] for video in store.videos()] == ["tokens", "kv"]
        assert store.verify() == []


@pytest.mark.sqlite
def test_a_kill_while_migrating_leaves_the_old_store(
    folder: Path, start_worker: Callable[..., Any]
) -> None:
    with tarfile.open(DATA / "first_revision.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    assert start_worker("migrate.rows:1", "videos").finish()[0] == -signal.SIGKILL
    with sqlite3.connect(folder / "store.sqlite") as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    raw.close()
    with Store.open(folder) as store:
        assert store.sound_notes(A) == tuple(draw_sound())
        assert store.verify() == []


def test_a_store_of_a_newer_version_is_left_alone(folder: Path) -> None:
    Store.open(folder).close()
    with sqlite3.connect(folder / "store.sqlite") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match="newer version"):
        Store.open(folder)


def test_the_database_is_set_up_for_many(folder: Path) -> None:
    Store.open(folder).close()
    db = SQLite(folder / "store.sqlite")
    with db.read() as conn:
        found = [
            conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        ]
    db.close()
    assert found == ["wal", 1, 2, int(database.BUSY_TIMEOUT_S * 1000)]


def test_readers_read_while_a_writer_holds_on_and_writers_say_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.1)
    with Store.open(folder) as store:
        store.add_video(draw_video(A), "drawn")
        holder = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with Store.open(folder) as reader:
            assert [video.video_id for video in reader.videos()] == [A]
        with pytest.raises(StoreBusyError, match="another process is writing"):
            store.add_video(draw_video(B), "drawn")
        holder.close()
        store.add_video(draw_video(B), "drawn")
