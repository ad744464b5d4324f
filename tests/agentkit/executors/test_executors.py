"""Workers beside this process: what is stored is what one process would have stored."""

import os
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from agentkit import Session
from agentkit.errors import ChunkLostError, StaleVideoError, UnknownNameError
from agentkit.executors import Outcome, Task
from agentkit.executors.ahead import LONGEST_STRETCH, STRETCHES_PER_WORKER, Ahead
from agentkit.executors.choice import default_workers
from agentkit.executors.local import LocalExecutor, _Process
from agentkit.executors.tasks import FAULT, OtherWorkerError, Recipe, Stretch, portable
from agentkit.observing import Observer, Sight, travelling
from agentkit.stages import StageClock
from agentkit.testing import make_video, tone
from agentkit.types import SamplingPlan
from agentkit.video import probe

OpenSession = Callable[..., Session]
EXACT = {"prefill": {"kv_dtype": "float32"}, "domain": "scale"}
TWO = {"ingest": {"workers": 2}}


def test_two_workers_store_what_one_process_stores(
    open_session: OpenSession,
    sounding: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stored: Callable,
    same_kv: Callable,
) -> None:
    """Also where a worker is killed, with sound and a plugin that describes what is heard."""
    alone = open_session(**EXACT)
    video = alone.ingest(sounding)
    monkeypatch.setenv(FAULT, "2:1")
    helped = open_session(tmp_path / "helped", **EXACT, **TWO)
    events = []
    helped.ingest(sounding, on_event=events.append)
    assert "at 00:32: worker died (signal 9)" in caplog.text
    assert stored(helped, video.video_id) == stored(alone, video.video_id)
    same_kv(helped, alone, video.video_id)
    assert {e.chunk for e in events if e.event == "chunk"} == {1, 2, 3, 4, 5}
    assert any("sounds" in note.text for note in alone.notes(video))


def test_a_worker_that_always_dies_fails_its_video_alone(
    open_session: OpenSession,
    sounding: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stored: Callable,
) -> None:
    monkeypatch.setenv(FAULT, "3:3")
    session = open_session(**EXACT, **TWO)
    with pytest.raises(ChunkLostError, match=r"sounding\.mp4: .* 00:48 died 3 times \(signal 9\)"):
        session.ingest(sounding)
    (broken,) = session.videos()
    jobs = {job.chunk: job for job in session._store.jobs(broken.video_id)}
    assert (jobs[3].attempts, jobs[3].error) == (3, "worker died: signal 9")
    assert broken.chunks == 3
    short = session.ingest(make_video(tmp_path / "short.mp4", seconds=10))
    assert short.state == "ready"
    monkeypatch.delenv(FAULT)
    session.close()
    again, whole = open_session(**EXACT, **TWO), open_session(tmp_path / "whole", **EXACT)
    again.ingest(sounding)
    whole.ingest(sounding)
    assert stored(again, broken.video_id) == stored(whole, broken.video_id)


@pytest.mark.parametrize(("domain", "film"), [("general", "damaged"), ("falls", "sounding")])
def test_what_is_odd_in_a_video_is_stored_as_by_one_process(
    open_session: OpenSession,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    stored: Callable,
    domain: str,
    film: str,
) -> None:
    """Damaged packets, counted over the whole file; an instrument that fails half-way."""
    path = request.getfixturevalue(film)
    alone = open_session(domain=domain)
    video = alone.ingest(path)
    helped = open_session(tmp_path / "helped", domain=domain, **TWO)
    helped.ingest(path)
    assert stored(helped, video.video_id) == stored(alone, video.video_id)
    (said,) = video.warnings if film == "damaged" else video.missing
    assert ("packets are damaged" if film == "damaged" else "falls: failed at 36.0 s") in said


def test_pictures_travel_as_small_as_the_encoder_takes_them(
    open_session: OpenSession, sounding: Path, tmp_path: Path, stored: Callable
) -> None:
    alone = open_session(encoder="videoxl2")
    video = alone.ingest(sounding)
    helped = open_session(tmp_path / "helped", encoder="videoxl2", **TWO)
    helped.ingest(sounding)
    assert stored(helped, video.video_id) == stored(alone, video.video_id)


def observed(session: Session, path: Path, stop: int = 1) -> tuple[Observer, Sight]:
    observer = Observer(session._engine.instruments, session._domain)
    return observer, Sight(probe(path), SamplingPlan(), 4, stop)


def test_what_travels(open_session: OpenSession, sounding: Path) -> None:
    """No picture for the reader of notes; else of the encoder's size, which it leaves as it is."""
    from videoxl2_model.pixels import resize

    torch = pytest.importorskip("torch")
    observer, sight = observed(open_session(), sounding)
    observer.instruments.start(sight.info)
    (chunk,) = observer.observe(sight, (), 0, 1)
    none, small = travelling(chunk, 0), travelling(chunk, 32)
    assert [batch.images.shape for batch in none.batches] == [(4, 0, 0, 3)] * 4
    assert [batch.images.shape for batch in small.batches] == [(4, 32, 32, 3)] * 4
    for batch, whole in zip(small.batches, chunk.batches, strict=True):
        by_encoder = resize(torch.from_numpy(whole.images), 32)
        np.testing.assert_array_equal(resize(torch.from_numpy(batch.images), 32), by_encoder)
        np.testing.assert_array_equal(batch.times_s, whole.times_s)
    assert (none.seen, none.added, none.chunk) == (chunk.seen, chunk.added, chunk.chunk)


class Counting:
    """Does every task at once, and remembers which stretches were asked for."""

    name, workers = "counting", 2

    def __init__(self) -> None:
        self.asked: list[Stretch] = []

    def submit(self, task: Task) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        if isinstance(task.work, Stretch):
            self.asked.append(task.work)
        future.set_result(task.run())
        return future

    def close(self) -> None: ...


def test_no_more_is_looked_at_ahead_than_is_bounded(
    open_session: OpenSession, tmp_path: Path
) -> None:
    session, executor = open_session(), Counting()
    path = make_video(tmp_path / "long.mp4", seconds=40 * 16, fps=2, size_px=(32, 32))
    observer, sight = observed(session, path, 40)
    recipe = Recipe.of(session._settings, observer, 0, 1)
    session._store.add_video(_stored(session, sight), "f")
    ahead = Ahead(executor, observer, recipe, session._store)
    look = ahead.look(sight, 0, False, StageClock(), print)
    most = 0
    for done, chunk in enumerate(look.chunks(())):
        assert chunk.chunk.index == done
        most = max(most, executor.asked[-1].stop - done)
    assert [work.first for work in executor.asked[1:]] == [w.stop for w in executor.asked[:-1]]
    assert executor.asked[-1].stop == 40
    assert most <= LONGEST_STRETCH * (STRETCHES_PER_WORKER * executor.workers + 1)
    jobs = session._store.jobs(sight.info.video_id)
    assert [(job.chunk, job.attempts, job.worker) for job in jobs] == [
        (chunk, 1, "counting") for chunk in range(40)
    ]


def _stored(session: Session, sight: Sight) -> object:
    from agentkit.ingesting import Ingesting

    times_s = np.arange(1.0)
    run = Ingesting(session._pipeline, sight.info, sight.plan, times_s, "f", print)
    return run._stored(times_s)


def test_a_fault_of_ours_is_a_result_and_is_not_tried_again(
    open_session: OpenSession, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=20, sound=tone(440, 20))
    session = open_session()
    observer, sight = observed(session, path, 2)
    recipe = Recipe.of(session._settings, observer, 0, 1)
    make_video(path, seconds=21)
    outcome = Task(recipe, sight, Stretch(0, 1)).run()
    assert isinstance(outcome.error, StaleVideoError)
    session._store.add_video(_stored(session, sight), "f")
    executor = Counting()
    look = Ahead(executor, observer, recipe, session._store).look(
        sight, 0, False, StageClock(), print
    )
    with pytest.raises(StaleVideoError):
        list(look.chunks(()))
    assert [work.attempt for work in executor.asked] == [1, 1]


def test_a_worker_that_would_see_other_things_refuses(
    open_session: OpenSession, sounding: Path
) -> None:
    session = open_session()
    _, sight = observed(session, sounding)
    other = open_session(notes={"instruments": ("shots",)})
    recipe = Recipe.of(session._settings, observed(other, sounding)[0], 0, 1)
    executor = LocalExecutor(1)
    try:
        error = executor.submit(Task(recipe, sight, Stretch(0, 1))).result().error
    finally:
        executor.close()
    assert isinstance(error, OtherWorkerError)
    assert "install the same packages and models" in str(error)


def test_a_worker_takes_whatever_settings_there_may_be(
    open_session: OpenSession, sounding: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget in place of `k`, a store whose name is no UTF-8, a home named from here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTKIT_HOME", "home")
    settings = open_session(ask={"budget_share": 0.5})._settings
    settings = settings.model_copy(update={"store": tmp_path / os.fsdecode(b"\xff")})
    observer, sight = observed(open_session(), sounding)
    recipe = Recipe.of(settings, observer, 0, 1)
    assert dict(recipe.environment)["AGENTKIT_HOME"] == str(tmp_path / "home")
    executor = LocalExecutor(1)
    try:
        outcome = executor.submit(Task(recipe, sight, Stretch(0, 1))).result()
    finally:
        executor.close()
    assert outcome.error is None
    assert len(outcome.chunks) == 1


def test_closing_ends_the_workers(open_session: OpenSession, sounding: Path) -> None:
    session = open_session()
    observer, sight = observed(session, sounding)
    recipe = Recipe.of(session._settings, observer, 0, 1)
    executor = LocalExecutor(1)
    executor.submit(Task(recipe, sight, Stretch(0, 1))).result()
    (process,) = executor._all
    assert process.is_running
    executor.close()
    assert not process.is_running


def test_a_worker_ends_in_the_middle_of_a_task_with_the_process_that_asks(
    open_session: OpenSession, sounding: Path, tmp_path: Path
) -> None:
    from scale_plugin import Endless

    observer, sight = observed(open_session(), sounding)
    recipe = Recipe.of(open_session()._settings, observer, 0, 1)
    os.mkfifo(says := tmp_path / "says")
    process = _Process()
    try:
        process._pipe.send(Task(recipe, sight, Endless(says)))
        assert says.read_text() == "begun"
        process._pipe.close()
        assert process._process.wait(60) == 0
    finally:
        process.end()


class Own(Exception):  # noqa: N818 — not ours to name
    """An error that pickle cannot make again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


@pytest.mark.parametrize(
    "error", [Own("a", "b"), UnknownNameError("setting", "fsp", ["fps"]), StaleVideoError("s", "p")]
)
def test_every_error_survives_the_way_back(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(portable(error)))
    assert str(error) in str(copy)
    assert isinstance(copy, type(error)) == isinstance(error, StaleVideoError)
    assert "in a worker:" in copy.__notes__[0]


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (4, 1), (8, 2), (16, 4), (128, 4)])
def test_a_quarter_of_the_cores_looks(cores: int, workers: int) -> None:
    assert default_workers(cores) == workers
