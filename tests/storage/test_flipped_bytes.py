"""A flipped bit anywhere in a store's files: an error, or nothing changes, or `verify` finds it."""

import logging
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from agentkit_storage import Store
from agentkit_storage.errors import StoreError
from agentkit_storage.testing import (
    KV_FINGERPRINT,
    TEXT_SIZE,
    VISUAL_SIZE,
    draw_chunk,
    draw_vector,
    draw_video,
    ingest,
)
from agentkit_storage.workloads import CHUNKS, WORK, A, B

ERROR = "an error of one line"
EVERY = 397  # bytes from flip to flip where all of a database is tried
Answers = dict[str, object]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of A, whose tokens are rows, and B, whose tokens are ids; both with KV."""
    folder = tmp_path_factory.mktemp("closed")
    with Store.open(folder) as store:
        WORK["two_videos"](store, folder)
    return folder


@pytest.fixture(scope="module")
def known(closed: Path) -> Answers:
    with Store.open(closed) as store:
        return answers(store)


def answers(store: Store) -> Answers:
    """Return what every reading call gives, or that it raised."""
    numbers = np.random.default_rng(0)
    text, visual = draw_vector(TEXT_SIZE, numbers), draw_vector(VISUAL_SIZE, numbers)
    calls: dict[str, Callable[[], object]] = {
        "videos": store.videos,
        "words": lambda: store.search_words("car dog gate lorry bicycle woman", 99),
        "text": lambda: store.search_vectors("text", text, 99),
        "visual": lambda: store.search_vectors("visual", visual, 99),
    }
    for video in (A, B):
        calls |= {f"{video} {what}": call for what, call in _of_video(store, video).items()}
    return {name: _tried(call) for name, call in calls.items()}


def _of_video(store: Store, video: str) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {
        "video": lambda: store.video(video),
        "fingerprint": lambda: store.fingerprint(video),
        "digest": lambda: store.digest(video),
        "chunks": lambda: store.chunks(video),
        "notes": lambda: store.notes(video),
        "sound": lambda: store.sound_notes(video),
        "groups": lambda: _bytes_of_groups(store, video),
        "tiers": lambda: store.tiers(video),
    }
    for index in range(-1, CHUNKS):
        calls[f"texts {index}"] = partial(store.segments, video, index)
        calls[f"kv {index}"] = partial(_bytes_of_kv, store, video, index)
    return calls


def _bytes_of_groups(store: Store, video: str) -> object:
    return [(g, None if g.rows is None else g.rows.tobytes()) for g in store.groups(video)]


def _bytes_of_kv(store: Store, video: str, index: int) -> object:
    arrays = store.kv(video, KV_FINGERPRINT, index)
    return {name: arrays[name].tobytes() for name in sorted(arrays)}


def _tried(call: Callable[[], object]) -> object:
    try:
        return repr(call())
    except StoreError as error:
        return ERROR if "\n" not in str(error) else str(error)


def is_found(store: Store) -> bool:
    try:
        return store.verify() != []
    except StoreError:
        return True


def flipped(source: Path, target: Path, name: str, bit: int) -> Path:
    """Copy a store with one bit of one of its files turned."""
    shutil.copytree(source, target)
    data = bytearray((target / name).read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    (target / name).write_bytes(data)
    return target


def assert_never_wrong(folder: Path, known: Answers) -> None:
    """Every reading gives what it gave, or an error; if another answer, `verify` says so."""
    try:
        store = Store.open(folder)
    except StoreError as error:
        if "\n" in str(error):
            raise
        return
    with store:
        found = answers(store)
        others = [name for name in known if found[name] not in (known[name], ERROR)]
        assert not others or is_found(store), others


FILES = {"database": "store.sqlite", "blob": "blobs/*/*", "snapshot": "index/*.faiss"}


@pytest.mark.parametrize(("kind", "count"), [("database", 12), ("blob", 6), ("snapshot", 4)])
def test_a_flip_is_never_a_wrong_answer_unseen(
    closed: Path, known: Answers, kind: str, count: int, tmp_path: Path
) -> None:
    draws = random.Random(kind)
    names = sorted(str(path.relative_to(closed)) for path in closed.glob(FILES[kind]))
    for at in range(count):
        name = draws.choice(names)
        bit = draws.randrange(8 * (closed / name).stat().st_size)
        assert_never_wrong(flipped(closed, tmp_path / str(at), name, bit), known)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_flips_all_over_the_database_are_never_a_wrong_answer_unseen(
    closed: Path, known: Answers, part: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    nbytes = (closed / "store.sqlite").stat().st_size
    for at in range(part, nbytes // EVERY, 4):
        bit = 8 * at * EVERY + at % 8
        try:
            assert_never_wrong(flipped(closed, tmp_path / "it", "store.sqlite", bit), known)
        except Exception as error:
            error.add_note(f"bit {bit}")
            raise
        shutil.rmtree(tmp_path / "it")


@pytest.mark.long
def test_a_flip_in_any_blob_or_snapshot_is_noticed(
    closed: Path, known: Answers, tmp_path: Path
) -> None:
    for path in sorted([*closed.glob(FILES["blob"]), *closed.glob(FILES["snapshot"])]):
        bits = 8 * path.stat().st_size
        for bit in range(3, bits, bits // 5):
            folder = flipped(closed, tmp_path / "it", str(path.relative_to(closed)), bit)
            with Store.open(folder) as store:
                found = answers(store)
                assert all(found[name] in (known[name], ERROR) for name in known)
                assert (store.verify() != []) == (path.suffix == ".safetensors")
            shutil.rmtree(folder)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.99])
def test_a_flip_in_the_log_takes_whole_transactions_and_the_ingest_goes_on(
    tmp_path: Path, share: float
) -> None:
    """SQLite checks its log as it takes it in: what stands behind the damage never happened."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    with Store.open(live) as store:
        store.add_video(draw_video(A), "drawn")
        for index in range(CHUNKS):
            store.add_chunk(draw_chunk(A, index))
        copy.mkdir()
        for name in ("store.sqlite", "store.sqlite-wal"):  # as after a power cut
            shutil.copy(live / name, copy / name)
        ingest(store, A, CHUNKS)
        digest = store.digest(A)
    log = copy / "store.sqlite-wal"
    data = bytearray(log.read_bytes())
    data[int(share * len(data))] ^= 4
    log.write_bytes(data)
    with Store.open(copy) as store:
        assert store.verify() == []
        for video in store.videos():
            chunks = store.chunks(video.video_id)
            expected = [note for c in chunks for note in draw_chunk(A, c.index).notes]
            assert store.notes(A) == expected
        ingest(store, A, CHUNKS)
        assert store.digest(A) == digest
        assert store.verify() == []


def test_what_lies_in_a_lock_file_does_not_matter(closed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(closed, folder)
    (folder / "locks" / f"{A}.lock").write_bytes(b"\xff" * 100)
    (folder / "locks" / "migrate.lock").write_bytes(b"\xff" * 100)
    with Store.open(folder) as store, store.ingest_lock(A, wait=False) as held:
        assert held
        assert store.verify() == []
