"""The benchmark from file to answer runs whole on a tiny model, and its shares add up."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import file_to_answer  # noqa: E402 — found by the line above


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path))
    monkeypatch.setattr(file_to_answer, "PIECE_S", 4.0)
    monkeypatch.setattr(file_to_answer, "KEYFRAME_S", 2)
    return tmp_path


def test_a_film_is_drawn_once_and_repeats_its_piece(home: Path) -> None:
    path = file_to_answer.film(home / "bench", 0.2, (160, 90))
    assert path.name == "drawn-90p-4s-x3.mkv"
    with av.open(str(path)) as film:
        frames = [(frame.time, frame.key_frame) for frame in film.decode(video=0)]
    np.testing.assert_allclose([time for time, _ in frames], np.arange(288) / 24, atol=2e-3)
    assert [i for i, (_, is_key) in enumerate(frames) if is_key] == list(range(0, 288, 48))
    stamp = path.stat().st_mtime_ns
    assert file_to_answer.film(home / "bench", 0.2, (160, 90)).stat().st_mtime_ns == stamp
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_sampling_runs_without_instruments_and_with_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert file_to_answer.SAMPLING == ("keyframes", "fps")
    monkeypatch.setattr(file_to_answer, "SAMPLING", ("keyframes",))  # one will do, and is quick
    given = ["--tiny", "--minutes", "0.2", "--height", "90", "--set", "ask.max_new_tokens=4"]
    assert file_to_answer.main(given) == 0
    runs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(run["sampling"], run["instruments"], run["frames_seen"]) for run in runs] == [
        ("keyframes", [], 6),
        ("keyframes", ["shots", "motion"], 6),
    ]
    for run in runs:
        assert sum(run["shares"].values()) == pytest.approx(1, abs=1e-2)
        assert {"decode", "encode", "prefill", "question"} <= set(run["shares"])
        assert run["engine"].startswith("videoxl2/")


def test_three_minutes_are_the_limit() -> None:
    figures = {"sampling": "keyframes", "instruments": [], "file_to_answer_s": 90.0}
    ratio = file_to_answer.against_limit(figures)
    assert (ratio.value, ratio.met) == (0.5, True)
    assert not file_to_answer.against_limit({**figures, "file_to_answer_s": 181.0}).met
