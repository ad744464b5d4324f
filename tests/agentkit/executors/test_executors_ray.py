"""A Ray on this machine with two workers: killed or not, the store is that of one process."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentkit import Session, Settings
from agentkit.cli import main
from agentkit.cli.ingest_many import ingest_many
from agentkit.errors import UsageError, VideoOpenError
from agentkit.executors import ray_encoders, ray_tasks
from agentkit.executors.ray_encoders import Encoders, How, Ingested
from agentkit.executors.tasks import FAULT
from agentkit.types import IngestEvent, StoredVideo

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: the extra 'ray'"
)
OpenSession = Callable[..., Session]
EXACT = {"prefill": {"kv_dtype": "float32"}, "domain": "scale"}
RAY = {"executor": "ray", "workers": 2, "encoders": 2}


@pytest.fixture(scope="module", autouse=True)
def ray(plugin: None) -> Iterator[None]:
    """One Ray of our own for all tests here; sessions that find it leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path[:2]))  # where the plugin is
        assert ray_tasks.start(2)
    yield
    ray_tasks.imported().shutdown()


def test_a_killed_worker_and_two_encoders_store_what_one_process_stores(
    open_session: OpenSession,
    sounding: Path,
    damaged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stored: Callable,
    same_kv: Callable,
) -> None:
    films = [str(sounding), str(damaged), str(tmp_path / "none.mp4")]
    alone = open_session(**EXACT)
    videos = [alone.ingest(film) for film in films[:2]]
    monkeypatch.setenv(FAULT, "2:1")
    helped = open_session(tmp_path / "helped", **EXACT, ingest=RAY, ask={"budget_share": 0.5})
    events: dict[str, list[IngestEvent]] = {film: [] for film in films}
    ended: dict[str, Ingested] = {}
    with Encoders(helped._settings) as encoders:
        for film, step in encoders.ingest(films, How(tags=("seen",))):
            if isinstance(step, Ingested):
                ended[film] = step
            else:
                events[film].append(step)
    assert "no such file" in str(ended[films[2]].error)
    for film, video in zip(films, videos, strict=False):
        assert ended[film].video == helped.video(video.video_id)
        assert helped.video(video.video_id).tags == ("seen",)
        helped.tag(video.video_id, (), ("seen",))
        assert stored(helped, video.video_id) == stored(alone, video.video_id)
        same_kv(helped, alone, video.video_id)
        told = [(event.event, event.chunk) for event in events[film] if event.event != "stage"]
        assert told == [("start", 0), *(("chunk", n) for n in range(1, 6)), ("done", 5)]
        assert {event.video_id for event in events[film]} == {video.video_id}


def test_an_encoder_that_dies_is_made_anew_and_goes_on(
    open_session: OpenSession,
    sounding: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stored: Callable,
    same_kv: Callable,
) -> None:
    """It is killed as it has committed its third chunk: the next one begins there."""
    alone = open_session(**EXACT)
    video = alone.ingest(sounding)
    helped = open_session(tmp_path / "helped", **EXACT, ingest={**RAY, "encoders": 1})
    monkeypatch.setenv(ray_encoders.STORE_FAULT, "chunk.commit:3")
    with Encoders(helped._settings) as encoders:
        steps = [step for _, step in encoders.ingest([str(sounding)], How())]
    monkeypatch.delenv(ray_encoders.STORE_FAULT)
    starts = [step.chunk for step in steps if getattr(step, "event", "") == "start"]
    assert starts == [0, 3]
    assert caplog.text.count("its encoder died") == 1
    assert stored(helped, video.video_id) == stored(alone, video.video_id)
    same_kv(helped, alone, video.video_id)


def test_a_session_encodes_here_what_ray_looks_at(
    open_session: OpenSession,
    sounding: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stored: Callable,
) -> None:
    alone = open_session(**EXACT)
    video = alone.ingest(sounding)
    monkeypatch.setenv(FAULT, "1:1")
    helped = open_session(tmp_path / "helped", **EXACT, ingest=RAY)
    helped.ingest(sounding)
    assert "at 00:16: worker died (WorkerCrashedError" in caplog.text
    assert stored(helped, video.video_id) == stored(alone, video.video_id)


def test_the_command_prints_json_alone_also_where_a_worker_dies(
    open_session: OpenSession,
    sounding: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(sounding, films)
    (films / "text.mp4").write_text("no video at all")
    config = tmp_path / "agentkit.toml"
    config.write_text(
        f'encoder = "notes"\nlanguage_model = "{open_session()._settings.language_model}"\n'
        'domain = "scale"\n[notes]\ninstruments = ["shots", "motion"]\n'
    )
    monkeypatch.setenv(FAULT, "2:1")
    command = ["ingest", "--executor", "ray", "--workers", "2", "--json", "--config", str(config)]
    assert main([*command, "--store", str(tmp_path / "many"), str(films)]) == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    (refused,) = [line for line in lines if line["event"] == "error"]
    assert refused["path"].endswith("text.mp4")
    told = [line for line in lines if line is not refused]
    assert [line["event"] for line in told] == ["start", *["chunk"] * 5, "done"]
    assert len({line["video_id"] for line in told}) == 1
    (error,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert "text.mp4" in error


def test_people_get_a_line_for_each_film(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two films at once, their events mixed; what fails for all films ends the command."""
    video = StoredVideo("ab" * 32, "/v/a.mp4", 80.0, 800, 80, 1.0, 5, "ready", ("notes",))
    skipped = StoredVideo("cd" * 32, "/v/b.mp4", 60.0, 600, 60, 1.0, 4, "ready", ("notes",))
    steps: list[ray_encoders.Step] = [
        ("a.mp4", IngestEvent("start", video.video_id, "/v/a.mp4", of=5)),
        ("b.mp4", IngestEvent("skip", skipped.video_id, "/v/b.mp4", chunk=4, of=4)),
        ("c.mp4", Ingested("c.mp4", error=VideoOpenError("c.mp4: not a video"))),
        ("a.mp4", IngestEvent("chunk", video.video_id, "/v/a.mp4", 5, 5, 2.5)),
        ("b.mp4", Ingested("b.mp4", skipped)),
        ("a.mp4", Ingested("a.mp4", video)),
    ]
    monkeypatch.setattr(Encoders, "__init__", lambda self, settings: None)
    monkeypatch.setattr(Encoders, "__exit__", lambda *_: None)
    monkeypatch.setattr(Encoders, "ingest", lambda self, files, how: iter(steps))
    assert ingest_many(Settings(), ["a.mp4", "b.mp4", "c.mp4"], How(), as_json=False) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "cdcdcdcdcdcd  b.mp4  01:00  4 chunks  in the store already",
        "abababababab  a.mp4  01:20  5 chunks  2.5 s of work",
    ]
    assert err == "error: c.mp4: not a video\n"
    steps[2] = ("c.mp4", Ingested("c.mp4", error=UsageError("no model")))
    with pytest.raises(UsageError, match="no model"):
        ingest_many(Settings(), ["a.mp4", "b.mp4", "c.mp4"], How(), as_json=False)


def test_a_folder_is_no_store_for_several_machines(
    open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = open_session(ingest=RAY)._settings
    monkeypatch.setattr(ray_encoders, "is_many_machines", lambda: True)
    with pytest.raises(UsageError, match="name a PostgreSQL database"):
        Encoders(settings)


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "film.mp4").write_bytes(b"")
    store = ["--store", str(tmp_path / "store")]
    assert main(["ingest", "--executor", "ray", *store, str(tmp_path / "film.mp4")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith('which is not installed; pip install "videoxl2-agentkit[ray]"')
