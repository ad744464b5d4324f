"""What a store does at its borders: another store's folder, values that no database takes."""

import contextlib
import dataclasses
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agentkit_storage import Filter, Segment, Store
from agentkit_storage.errors import DamagedChunkError, RecordError, StoreBusyError, StoreError
from agentkit_storage.postgres_search import PgVectors
from agentkit_storage.testing import draw_chunk, draw_video, ingest
from agentkit_storage.vector_kinds import IndexSettings

A, B = "a1" * 32, "b2" * 32
_HELD = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


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


def test_a_statement_names_any_number_of_rows(store: Store) -> None:
    """Databases limit how many values a statement has: PostgreSQL to 65,535."""
    count = 70_000
    ingest(store, A, 1, kv=False)
    columns = "video_id, chunk_id, space, start_s, end_s, kind, text"
    with store._db.write("many") as conn:
        conn.execute(
            sa.text(
                f"INSERT INTO segment ({columns}) WITH RECURSIVE number (n) AS"
                " (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)"
                f" SELECT {columns} FROM segment, number"
                " WHERE segment.id = (SELECT min(id) FROM segment)"
            ),
            {"count": count},
        )
    assert len(store.segments(A, 0)) == count + 4
    assert store.trim_kv(0, keep=[f"{number:x}" for number in range(count)]) == 0


@pytest.mark.postgresql
def test_a_text_of_letters_that_become_many_is_kept_and_found(store: Store) -> None:
    """Without accents a Korean syllable is three letters; the server takes a megabyte of them."""
    texts = [f"{chr(0xAC00 + n % 11172)}{chr(0xAC00 + n // 11172)}가나다" for n in range(40_000)]
    store.add_video(draw_video(A), "drawn")
    segment = Segment(0.0, 16.0, "speech", " ".join(texts))
    store.add_chunk(dataclasses.replace(draw_chunk(A, 0), segments=(segment,)))
    assert len(store.search_words(texts[0], 5)) == 1


class _LateLock:
    """A lock before which something happens, once."""

    def __init__(self, lock: threading.Lock, before: Callable[[], object]) -> None:
        self._lock, self._before = lock, [before]

    def __enter__(self) -> None:
        if self._before:
            thread = threading.Thread(target=self._before.pop())
            thread.start()
            thread.join()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.sqlite
def test_a_search_that_waits_for_another_sees_what_that_one_has_seen(store: Store) -> None:
    """Its nearest would else be a row that it cannot see: it came back with nothing."""
    ingest(store, A, 1, kv=False)
    record = draw_chunk(A, 1)
    nearest = record.segments[0].vector
    assert nearest is not None
    store.search_vectors("text", nearest, 1)

    def another() -> None:
        store.add_chunk(record)
        store.search_vectors("text", nearest, 1)

    index: Any = store._indexes["text"]
    index._lock = _LateLock(index._lock, another)
    (found,) = store.search_vectors("text", nearest, 1)
    assert found.chunk_index == 1


@pytest.mark.postgresql
def test_one_process_at_a_time_makes_indexes_of_any_space(store: Store) -> None:
    """Two at once on one table wait for each other: the server calls it a deadlock."""
    ingest(store, A, 4, kv=False)
    db: Any = store._db
    text, visual = (PgVectors(db, name, IndexSettings(sq8_from=2)) for name in ("text", "visual"))
    maker = threading.Thread(target=text.save)
    with db.read() as conn:  # an index is done once all older transactions are
        assert text._size(conn) is not None
        maker.start()
        while not conn.scalar(sa.text(_HELD)):
            assert maker.is_alive()
        visual.save()
    maker.join()
    with db.read() as conn:
        assert (text._is_indexed(conn), visual._is_indexed(conn)) == (True, False)
    visual.save()
    with db.read() as conn:
        assert visual._is_indexed(conn)


def test_what_another_process_removes_meanwhile_is_no_damage(store: Store, location: str) -> None:
    for video_id in (A, B):
        ingest(store, video_id, 2, rows=True)
    with Store.open(location) as other:

        def remove(done: int, _: int) -> None:
            if done == 1:
                other.drop_kv(A)
                other.remove_video(B)
                other.gc()

        assert store.verify(remove) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.videos(Filter(collection="\udcff")),
        lambda store: store.videos(Filter(tags=("\udcff",))),
        lambda store: store.notes("\udcff"),
        lambda store: store.tag_video(A, ["\udcff"]),
        lambda store: store.update_video(A, domain="\udcff"),
        lambda store: store.groups(A, 0, 10**30),
        lambda store: store.use_space("a'b", "drawn", 4),
        lambda store: store.add_chunk(dataclasses.replace(draw_chunk(A, 1), visual_space="a'b")),
    ],
)
def test_a_value_that_no_database_takes_is_the_callers_error(
    store: Store, ask: Callable[[Store], object]
) -> None:
    ingest(store, A, 1, kv=False)
    with pytest.raises(RecordError):
        ask(store)
    assert store.verify() == []


@pytest.mark.parametrize(
    "query", ['"' + "red car " * 20_000 + '"', "\ufdfa" * 10_000, "a_" * 9_999]
)
def test_a_phrase_may_have_any_length(store: Store, query: str) -> None:
    ingest(store, A, 1, kv=False)
    assert store.search_words(query, 3) == []


def test_more_threads_than_connections_are_told(store: Store) -> None:
    engine: Any = store._db._engine
    engine.pool._timeout = 0
    with contextlib.ExitStack() as held:
        for _ in range(engine.pool.size() + engine.pool._max_overflow):
            held.enter_context(engine.connect())
        with pytest.raises(StoreBusyError, match="all connections of this process are in use"):
            store.videos()


def test_a_port_that_is_no_number_is_told_in_one_line() -> None:
    with pytest.raises(StoreError, match="no URL of a database"):
        Store.open("postgresql://me@host:abc/db?blobs=/films")


@pytest.mark.postgresql
def test_options_of_a_connection_are_kept(location: str, tmp_path: Path) -> None:
    """Two stores lie in two schemas of one database."""
    url = sa.make_url(location)
    with Store.open(location) as store:
        ingest(store, A, 1)
        with store._db.write("schema") as conn:
            conn.execute(sa.text("CREATE SCHEMA mine"))
            conn.execute(sa.text("ALTER EXTENSION vector SET SCHEMA pg_catalog"))
    blobs, options = str(tmp_path / "mine"), "-csearch_path=mine"
    other = url.update_query_dict({"blobs": blobs, "options": options}).render_as_string()
    with Store.open(other) as store:
        assert store.videos() == []


@pytest.mark.sqlite
def test_a_lock_that_cannot_be_made_is_told_in_one_line(store: Store, folder: Path) -> None:
    shutil.rmtree(folder / "locks")
    (folder / "locks").write_text("")
    with pytest.raises(StoreError, match="check the store folder's permissions"):
        store.ingest_lock(A).__enter__()


@pytest.mark.sqlite
def test_what_goes_while_it_is_counted_counts_nothing(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary files of an index come and go beside `stats`."""
    ingest(store, A, 1)
    glob = Path.glob

    def more(path: Path, pattern: str) -> list[Path]:
        return [*glob(path, pattern), path / "gone.tmp"]

    before = store.stats()
    monkeypatch.setattr(Path, "glob", more)
    assert store.stats() == before


def test_a_file_that_is_missing_is_no_fault_of_the_bundle(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    ingest(store, A, 1)
    for path in (folder / "blobs").glob("*/*.safetensors"):
        path.unlink()
    with pytest.raises(DamagedChunkError, match="no file, or its SHA-256 differs"):
        store.export_bundle([A], tmp_path / "bundle.tar")
    assert not (tmp_path / "bundle.tar").exists()
