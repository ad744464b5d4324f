"""`agentkit export` on a store that is really there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.cli import main
from agentkit.exports.formats import FORMATS
from agentkit.testing import make_video, stored_video
from agentkit.types import Note
from agentkit.video import probe
from agentkit_storage import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with cuts.mp4: 12 s at 5 frames a second, with cuts at 4 and 8 s."""
    folder = tmp_path_factory.mktemp("exported")
    options = {"g": "250", "sc_threshold": "0"}
    film = make_video(folder / "cuts.mp4", seconds=12, fps=5, options=options)
    video = stored_video(film)
    with Store.open(folder / "store") as kept:
        kept.add_video(video, "drawn")
        kept.put_sound_notes(
            video.video_id,
            [
                Note(1.0, 3.0, "speech", "Cut here!", 0.9),
                Note(4.0, 4.0, "shot", "cut"),
                Note(8.0, 8.0, "shot", "cut"),
            ],
        )
    return folder / "store"


@pytest.fixture
def run(store: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run `agentkit export` on that store; give code, stdout and stderr."""

    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(["--store", str(store), "export", *arguments])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return go


def test_text_goes_to_stdout_as_it_is(run: Run) -> None:
    code, out, err = run("cuts.mp4", "--format", "csv", "--kind", "shot", "--to", "9")
    assert (code, err) == (0, "")
    assert [row.split(",")[1:7] for row in out.split("\r\n")[1:-1]] == [
        ["4.000", "4.000", "20", "21", "shot", "cut"],
        ["8.000", "8.000", "40", "41", "shot", "cut"],
    ]


def test_segments_are_what_an_edit_list_holds(run: Run) -> None:
    code, out, _ = run("cuts.mp4", "--format", "edl", "--from", "0:02", "--to", "0:09.6")
    assert code == 0
    assert [line.split()[4:6] for line in out.split("\r\n") if line[:3].isdigit()] == [
        ["00:00:02:00", "00:00:04:00"],
        ["00:00:04:00", "00:00:08:00"],
        ["00:00:08:00", "00:00:09:03"],
    ]


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_is_the_same_as_stdout_and_as_json(run: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    _, shown, _ = run("cuts.mp4", "--format", name)
    code, said, _ = run("cuts.mp4", "--format", name, "-o", str(out))
    assert (code, out.read_bytes().decode()) == (0, shown)
    assert said.startswith(str(out))
    _, form, _ = run("cuts.mp4", "--format", name, "--json")
    made = json.loads(form)
    assert made.pop("text") == shown
    assert made.pop("video_id")
    assert made == {"format": name, "path": None, "nbytes": len(shown.encode())}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_clip_is_written_and_told_of(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    asked = ("cuts.mp4", "--format", "clip", "--from", "3.4", "--to", "5", "-o", str(out))
    code, said, remarks = run(*asked)
    assert (code, said) == (0, f"{out}  8 frames, 1.600 s\n")
    assert remarks == "encoded anew: no keyframe stands at its start\n"
    assert probe(out).frames_in_file == 8
    _, form, _ = run(*asked, "--json")
    made = json.loads(form)
    assert made.pop("video_id")
    assert made == {
        "path": str(out),
        "nbytes": out.stat().st_size,
        "start_s": pytest.approx(3.4),
        "end_s": 5.0,
        "frames": 8,
        "copied": False,
        "remarks": ["encoded anew: no keyframe stands at its start"],
    }


def test_formats_are_listed(run: Run) -> None:
    code, out, _ = run("--formats")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["FORMAT", *FORMATS, "clip"]
    _, form, _ = run("--formats", "--json")
    assert [each["name"] for each in json.loads(form)["formats"]] == [*FORMATS, "clip"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("cuts.mp4",), "name a video and a --format; agentkit export --formats lists them"),
        (("cuts.mp4", "--format", "otoi"), "unknown format 'otoi'; did you mean 'otio'?"),
        (("cuts.mp4", "--format", "clip"), "a clip is no text; name its file: -o clip.mp4"),
        (
            ("cuts.mp4", "--format", "clip", "-o", "x.mp4", "--kind", "ocr"),
            "a clip holds the video itself; --kind is for the other formats",
        ),
        (
            ("cuts.mp4", "--format", "csv", "--kind", "shto"),
            "unknown kind of note 'shto'; did you mean 'shot'?",
        ),
        (
            ("cuts.mp4", "--format", "csv", "-o", "/no/where.csv"),
            "/no: no such folder; make it first",
        ),
    ],
)
def test_what_cannot_be_is_said_with_its_remedy(
    run: Run, arguments: tuple[str, ...], error: str
) -> None:
    assert run(*arguments) == (2, "", f"error: {error}\n")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--format", "vtt", "--from", "5"), "no speech there, so the vtt is empty"),
        (("--format", "srt", "--kind", "ocr"), "no ocr there, so the srt is empty"),
        (("--format", "csv", "--from", "9"), "no notes there, so the csv is empty"),
    ],
)
def test_that_a_file_holds_nothing_is_said(run: Run, arguments: tuple[str, ...], what: str) -> None:
    code, _, err = run("cuts.mp4", *arguments)
    assert (code, err) == (0, f"warning: cuts.mp4: {what}\n")


def test_that_a_video_is_not_whole_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = stored_video("/films/half.mp4", state="ingesting")
    with Store.open(tmp_path) as kept:
        kept.add_video(video, "drawn")
        kept.put_sound_notes(video.video_id, [Note(1.0, 3.0, "speech", "Cut here!", 0.9)])
    assert main(["--store", str(tmp_path), "export", "half.mp4", "--format", "vtt"]) == 0
    out, err = capsys.readouterr()
    assert "Cut here!" in out
    assert err == "the video is not ingested to its end; agentkit ingest it again to go on\n"


@pytest.mark.parametrize("span", [("--from", "-1"), ("--from", "nan"), ("--to", "13")])
def test_times_outside_are_refused(run: Run, span: tuple[str, str]) -> None:
    code, out, err = run("cuts.mp4", "--format", "vtt", *span)
    assert code != 0
    assert out == ""
    assert err.startswith("error: ")
