"""Killed at every point that a store's work passes: what is there is what was committed, exactly.

An unbroken run of each piece of work is watched from outside: what a second reader sees at each
fault point. Then the work is killed at each of these points, and what a reopened store gives must
be what was seen there: every row, every array, every hit. Run again, it must end as if unbroken.
"""

import multiprocessing
import os
import re
import shutil
import signal
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from agentkit_storage import Store, faults, workloads
from agentkit_storage.errors import DamagedChunkError
from agentkit_storage.files import TMP
from agentkit_storage.row_codec import TokensDtype
from agentkit_storage.testing import TEXT_SIZE, VISUAL_SIZE, draw_kv, draw_vector
from agentkit_storage.workloads import WORK, A, B

DATA = Path(__file__).parent / "data"
KILLS = 200  # at least, in all
POINT = "point"
WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
View = dict[str, object]

# A server of tests/storage/conftest.py; what it has loaded is not loaded again.
_PROCESSES = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Place:
    """A store of its own for one kill, and a folder beside it."""

    location: str
    folder: Path
    outside: Path


@dataclass(frozen=True)
class Case:
    """A piece of work, and what is there before it."""

    work: str
    before: Callable[[Place], None]
    tokens_dtype: TokensDtype = "lossless"


def nothing(place: Place) -> None:
    """No store yet: it is made, migrated and named first."""


def both(place: Place) -> None:
    with Store.open(place.location) as store:
        WORK["two_videos"](store, place.outside)


def garbage(place: Place) -> None:
    with Store.open(place.location) as store:
        WORK["two_videos"](store, place.outside)
        store.remove_video(A)
        store.drop_kv(B)
    (place.folder / "blobs" / "ab").mkdir(exist_ok=True)
    (place.folder / "blobs" / "ab" / "unfinished.1.tmp").write_bytes(b"half")


def a_bundle(place: Place) -> None:
    workloads.write_bundle(place.outside / workloads.BUNDLE, place.folder.parent / "scratch")


def a_bundle_and_another_making(place: Place) -> None:
    a_bundle(place)
    with Store.open(place.location) as store:
        WORK["another_making"](store, place.outside)


def no_snapshot(place: Place) -> None:
    both(place)
    shutil.rmtree(place.folder / "index")


def a_damaged_blob(place: Place) -> None:
    both(place)
    with Store.open(place.location) as store:
        blob = store._blobs.put(draw_kv(A, 0))
    path = place.folder / "blobs" / blob.sha256[:2] / f"{blob.sha256}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def first_revision(place: Place) -> None:
    with tarfile.open(DATA / "first_revision.tar.gz") as archive:
        archive.extractall(place.folder, filter="data")


def second_revision(place: Place) -> None:
    with tarfile.open(DATA / "second_revision.tar.gz") as archive:
        archive.extractall(place.folder, filter="data")


CASES = {
    "ingest": Case("two_videos", nothing),
    "ingest in 8 bits": Case("two_videos", nothing, "int8"),
    "make anew": Case("another_making", both),
    "put other KV": Case("other_kv", both),
    "heal KV": Case("healed", a_damaged_blob),
    "use KV": Case("used_kv", both),
    "trim KV": Case("no_kv", both),
    "gc": Case("freed", garbage),
    "remove": Case("removed", both),
    "labels": Case("labelled", both),
    "jobs": Case("worked_on", both),
    "export": Case("exported", both),
    "import": Case("imported", a_bundle),
    "import in place of another making": Case("imported", a_bundle_and_another_making),
    "rebuild the index": Case("rebuilt", no_snapshot),
    "a snapshot at close": Case("searched", no_snapshot),
    "migrate from 1": Case("searched", first_revision),
    "migrate from 2": Case("searched", second_revision),
}


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Place]:
    """Yield one place after another, each empty."""

    def make() -> Iterator[Place]:
        for number in range(10_000):
            place = Place(
                str(tmp_path / f"{number}" / "store"),
                tmp_path / f"{number}" / "store",
                tmp_path / f"{number}" / "outside",
            )
            place.outside.mkdir(parents=True)
            yield place
            shutil.rmtree(tmp_path / f"{number}")

    return make()


@dataclass(frozen=True)
class Passed:
    """A fault point, and what another process saw when it was passed; None: no store yet."""

    fault: str
    seen: View | None


def watched(case: Case, place: Place) -> tuple[list[Passed], View]:
    """Do the work unbroken; return what was seen at each point, and at the end."""
    since = _prepared(case, place)
    passed: list[Passed] = []
    with (
        _watching(place, since, passed) as begin,
        Store.open(place.location, tokens_dtype=case.tokens_dtype) as store,
    ):
        begin()
        WORK[case.work](store, place.outside)
    with Store.open(place.location) as store:
        return passed, view(store, place, since)


@contextmanager
def _watching(place: Place, since: float, passed: list[Passed]) -> Iterator[Callable[[], None]]:
    """Note each point that is passed; `begin` says that the store can be looked at."""
    counts: Counter[str] = Counter()
    viewers: list[Store] = []
    is_open = looking = False

    def point(name: str) -> None:
        nonlocal looking
        if looking:
            return
        counts[name] += 1
        looking = True
        if is_open and not viewers:
            viewers.append(Store.open(place.location))
        seen = view(viewers[0], place, since) if viewers else None
        passed.append(Passed(f"{name}:{counts[name]}", seen))
        looking = False

    def begin() -> None:
        nonlocal is_open
        is_open = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "point", point)
        yield begin
    for viewer in viewers:
        viewer.close()


def _prepared(case: Case, place: Place) -> float:
    """Lay what is there before the work; return the time after it."""
    case.before(place)
    return time.time()


def view(store: Store, place: Place, since: float) -> View:
    """Return all that a store gives, and all files around it, comparable from place to place."""
    return {
        "videos": [_video(store, place, video.video_id, since) for video in store.videos()],
        "collections": store.collections(),
        "words": store.search_words("car dog gate lorry bicycle woman", 999),
        **vector_hits(store),
        "colour": store.setting("colour"),
        "problems": store.verify(),
        "files": {
            str(path.relative_to(place.outside)): path.read_bytes()
            for path in sorted(place.outside.rglob("*"))
            if path.is_file() and path.suffix != TMP
        },
    }


def vector_hits(store: Store) -> View:
    random = np.random.default_rng(0)
    sizes = {"text": TEXT_SIZE, "visual": VISUAL_SIZE}
    return {
        space: store.search_vectors(space, draw_vector(size, random), 999)
        for space, size in sizes.items()
    }


def _video(store: Store, place: Place, video_id: str, since: float) -> View:
    video = store.video(video_id)
    tiers = store.tiers(video_id)
    makings = [tier.fingerprint for tier in tiers if tier.name == "kv"]
    return {
        "row": replace(video, path=video.path.replace(str(place.folder.parent), "")),
        "fingerprint": store.fingerprint(video_id),
        "digest": store.digest(video_id),
        "chunks": store.chunks(video_id),
        "notes": store.notes(video_id),
        "sound": store.sound_notes(video_id),
        "groups": [
            (
                replace(group, rows=None),
                None if group.rows is None else (str(group.rows.dtype), group.rows.tolist()),
            )
            for group in store.groups(video_id)
        ],
        "texts": [store.segments(video_id, chunk.index) for chunk in store.chunks(video_id)],
        "jobs": [replace(job, updated_at=0.0) for job in store.jobs(video_id)],
        "tiers": [(replace(tier, used_at=None), (tier.used_at or 0.0) > since) for tier in tiers],
        "kv": {
            (making, index): _kv(store, (video_id, making, index))
            for making in makings
            for index in sorted(store.kv_indices(video_id, making))
        },
    }


def _kv(store: Store, key: tuple[str, str, int]) -> object:
    try:
        arrays = store.kv(*key)
    except DamagedChunkError as error:
        return str(error)
    return {name: (str(array.dtype), array.tolist()) for name, array in arrays.items()}


def kill(case: Case, place: Place, fault: str, seen: View, end: View) -> None:
    """Kill the work at a point; what is left must be what was seen there, and the work goes on."""
    since = _prepared(case, place)
    assert _run(case, place, fault) == -signal.SIGKILL
    with Store.open(place.location) as store:
        assert view(store, place, since) == seen
        store.rebuild_index()
        assert vector_hits(store).items() <= seen.items()
    with Store.open(place.location, tokens_dtype=case.tokens_dtype) as store:
        WORK[case.work](store, place.outside)
        store.gc(grace_s=0)
        assert view(store, place, since) == end
        assert store.stats().unreferenced == 0
    assert not list(place.folder.rglob(f"*{TMP}"))


def _run(case: Case, place: Place, fault: str) -> int | None:
    given = (place.location, place.outside, case.tokens_dtype, case.work, fault)
    process = _PROCESSES.Process(target=workloads.run, args=given, daemon=True)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("name", CASES)
def test_every_fsync_rename_and_commit_has_a_point_on_both_sides(
    name: str, places: Iterator[Place]
) -> None:
    case, place = CASES[name], next(places)
    case.before(place)
    with _logged() as log, Store.open(place.location, tokens_dtype=case.tokens_dtype) as store:
        WORK[case.work](store, place.outside)
    steps = [at for at, what in enumerate(log) if what != POINT]
    assert steps
    for at in steps:
        assert log[max(at - 1, 0) : at + 2] == [POINT, log[at], POINT], f"step {at} of {log}"


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Give a list of the points and the durable steps, in the order in which they happen."""
    log: list[str] = []

    def executed(conn: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().upper().startswith(WRITES):
            conn.info["wrote"] = True

    def committed(conn: sa.Connection) -> None:
        if conn.info.pop("wrote", False):
            log.append("commit")

    def noted(what: str, call: Callable[..., None]) -> Callable[..., None]:
        def noting(*arguments: object) -> None:
            log.append(what)
            call(*arguments)

        return noting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "point", lambda name: log.append(POINT))
        patch.setattr(os, "fsync", noted("fsync", os.fsync))
        patch.setattr(os, "replace", noted("rename", os.replace))
        sa.event.listen(sa.Engine, "before_cursor_execute", executed)
        sa.event.listen(sa.Engine, "commit", committed)
        try:
            yield log
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", executed)
            sa.event.remove(sa.Engine, "commit", committed)


def test_bytes_are_forced_to_disk_in_one_place() -> None:
    """So that the test above, which sees only what these pieces of work do, sees all there is."""
    package = Path(str(faults.__file__)).parent
    durable = re.compile(r"os\.(?:fsync|fdatasync|rename|replace|link)\(|\.rename\(|\.commit\(")
    found = {path.name for path in package.rglob("*.py") if durable.search(path.read_text())}
    assert found == {"files.py"}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_kill_at_any_point_leaves_what_was_committed(name: str, places: Iterator[Place]) -> None:
    case = CASES[name]
    passed, end = watched(case, next(places))
    assert end["problems"] == []
    for at, point in enumerate(passed):
        seen = next((later.seen for later in passed[at:] if later.seen is not None), end)
        try:
            kill(case, next(places), point.fault, seen, end)
        except Exception as error:
            error.add_note(f"killed at {point.fault}")
            raise


@pytest.mark.long
def test_the_matrix_is_large_enough(places: Iterator[Place]) -> None:
    passed = {name: len(watched(case, next(places))[0]) for name, case in CASES.items()}
    assert min(passed.values()) > 0
    assert sum(passed.values()) >= KILLS
