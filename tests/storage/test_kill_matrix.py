"""Killed at every point that a store's work passes: what is there is what was committed, exactly.

An unbroken run of each piece of work is watched from outside: what a second reader sees at each
fault point. Then the work is killed at each of these points, and what a reopened store gives must
be what was seen there: every row, every array, every hit. Run again, it must end as if unbroken.
"""

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from agentkit_storage import Store, faults, workloads
from agentkit_storage.files import TMP
from agentkit_storage.workloads import WORK

from .kill_cases import CASES, Case, Place, View, vector_hits, view

KILLS = 200  # at least, in all
POINT = "point"
WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
ON_SQLITE = [(name, SQLITE) for name in CASES]
ON_POSTGRESQL = [(name, POSTGRESQL) for name, case in CASES.items() if not case.only_sqlite]
EVERY = {SQLITE: 1, POSTGRESQL: 3}  # which of the points are killed at
NewPlace = Callable[[], AbstractContextManager[Place]]

# A server of tests/storage/conftest.py; what it has loaded is not loaded again.
_PROCESSES = multiprocessing.get_context("forkserver")


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> NewPlace:
    """Give one empty place after another on the database that the test names."""
    count = itertools.count()

    @contextmanager
    def on_sqlite() -> Iterator[Place]:
        root = tmp_path / str(next(count))
        (root / "outside").mkdir(parents=True)
        yield Place(str(root / "store"), root / "store", root / "outside")
        shutil.rmtree(root)

    @contextmanager
    def on_postgresql() -> Iterator[Place]:
        server: sa.Engine = request.getfixturevalue("postgres")
        with on_sqlite() as place, server.connect() as conn:
            database = f"kill_{place.folder.parent.name}"
            conn.execute(sa.text(f"CREATE DATABASE {database}"))
            url = server.url.set(drivername="postgresql", database=database)
            url = url.update_query_dict({"blobs": str(place.folder)})
            yield replace(place, location=url.render_as_string())
            conn.execute(sa.text(f"DROP DATABASE {database} WITH (FORCE)"))

    return on_sqlite if request.param == "sqlite" else on_postgresql


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


def kill(case: Case, place: Place, fault: str, seen: View, end: View) -> None:
    """Kill the work at a point; what is left must be what was seen there, and the work goes on."""
    since = _prepared(case, place)
    assert _run(case, place, fault) == -signal.SIGKILL
    with Store.open(place.location) as store:
        assert view(store, place, since) == seen
        assert case.is_damaged or store.verify() == []
        store.rebuild_index()
        assert vector_hits(store).items() <= seen.items()
    with Store.open(place.location, tokens_dtype=case.tokens_dtype) as store:
        WORK[case.work](store, place.outside)
        store.gc(grace_s=0)
        assert view(store, place, since) == end
        assert store.stats().unreferenced == 0
        assert store.verify() == []
    assert not list(place.folder.rglob(f"*{TMP}"))


def _run(case: Case, place: Place, fault: str) -> int | None:
    given = (place.location, place.outside, case.tokens_dtype, case.work, fault)
    process = _PROCESSES.Process(target=workloads.run, args=given, daemon=True)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize(
    ("name", "new_place"),
    [*ON_SQLITE, *(pytest.param(*one, marks=pytest.mark.long) for one in ON_POSTGRESQL)],
    indirect=["new_place"],
)
def test_every_fsync_rename_and_commit_has_a_point_on_both_sides(
    name: str, new_place: NewPlace
) -> None:
    with new_place() as place:
        log = _steps(CASES[name], place)
    steps = [at for at, what in enumerate(log) if what != POINT]
    assert steps
    for at in steps:
        assert log[max(at - 1, 0) : at + 2] == [POINT, log[at], POINT], f"step {at} of {log}"


def _steps(case: Case, place: Place) -> list[str]:
    """Do the work unbroken; return the points and the durable steps that it passed."""
    case.before(place)
    with _logged() as log, Store.open(place.location, tokens_dtype=case.tokens_dtype) as store:
        WORK[case.work](store, place.outside)
    return log


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
@pytest.mark.parametrize(
    ("name", "new_place"), [*ON_SQLITE, *ON_POSTGRESQL], indirect=["new_place"]
)
def test_a_kill_at_any_point_leaves_what_was_committed(
    name: str, new_place: NewPlace, request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    with new_place() as place:
        passed, end = watched(case, place)
    assert passed
    for at in range(0, len(passed), EVERY[request.node.callspec.params["new_place"]]):
        seen = next((later.seen for later in passed[at:] if later.seen is not None), end)
        try:
            with new_place() as place:
                kill(case, place, passed[at].fault, seen, end)
        except Exception as error:
            error.add_note(f"killed at {passed[at].fault}")
            raise


@pytest.mark.parametrize("new_place", [SQLITE], indirect=True)
def test_the_matrix_is_large_enough(new_place: NewPlace) -> None:
    kills = 0
    for case in CASES.values():
        with new_place() as place:
            kills += _steps(case, place).count(POINT)
    assert kills >= KILLS
