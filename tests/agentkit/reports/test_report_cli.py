"""`agentkit report` on a store that is really there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.cli import main
from agentkit.testing import make_video, stored_video
from agentkit.types import Note
from agentkit_storage import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with film.mp4, of which something was heard and a cut was seen."""
    folder = tmp_path_factory.mktemp("reported")
    video = stored_video(make_video(folder / "film.mp4", seconds=12, fps=5))
    with Store.open(folder / "store") as kept:
        kept.add_video(video, "drawn")
        kept.put_sound_notes(
            video.video_id, [Note(1.0, 3.0, "speech", "Cut here!"), Note(6.0, 6.0, "shot", "cut")]
        )
    return folder


@pytest.fixture
def run(
    folder: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run `agentkit report` on that store; give code, stdout and stderr."""
    monkeypatch.setenv("AGENTKIT_HOME", str(folder / "home"))  # no weights

    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(["--store", str(folder / "store"), "report", *arguments])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return go


def test_markdown_goes_to_stdout(run: Run) -> None:
    code, out, err = run("film.mp4", "--no-summary")
    assert (code, err) == (0, "")
    assert out.startswith("# Report on film.mp4\n")
    assert "| 00:01\u201300:03 | Cut here! | <a id=" in out
    assert "Summary: off" in out


def test_the_language_is_that_of_the_flag(run: Run) -> None:
    _, out, _ = run("film.mp4", "--no-summary", "--language", "zh")
    assert out.startswith("# \u89c6\u9891\u62a5\u544a\uff1afilm.mp4\n")


def test_a_file_gets_the_format_of_its_ending_and_replaces_what_is_there(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")
    code, out, _ = run("film.mp4", "--no-summary", "-o", str(path))
    assert code == 0
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert out.startswith(f"{path}  3 places cited  ")


def test_json_says_what_was_written(run: Run, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    code, out, err = run("film.mp4", "--no-summary", "--unredacted", "-o", str(path), "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    made = json.loads(path.read_bytes())
    assert told == {
        "path": str(path),
        "format": "json",
        "nbytes": path.stat().st_size,
        "title": "Report on film.mp4",
        "videos": [stored_video(folder / "film.mp4").video_id],
        "sections": ["Notes over time", "What is said", "Shots"],
        "findings": {"supported": 3, "contradicted": 0, "unsupported": 0},
        "exhibits": 3,
        "notices": made["notices"],
    }
    assert made["notices"][0].startswith("Nothing in this report is redacted")


def test_where_the_model_cannot_be_asked_the_report_says_why(run: Run) -> None:
    code, out, err = run("film.mp4")  # this store has no tokens for any model
    assert code == 0
    assert "There is no summary: " in out
    assert "ingested with another encoder" in out
    assert err.startswith("warning: no summary: ")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("nosuch",), 2, "error: unknown video 'nosuch'"),
        (("film.mp4", "--format", "htlm"), 2, "error: unknown format of a report 'htlm'; did you"),
        (("film.mp4", "-o", "r.docx"), 2, "error: unknown format of a report 'docx'"),
        (("film.mp4", "-o", "report"), 2, "error: report: no ending says the format"),
        (("film.mp4", "-o", "nowhere/r.md"), 2, "error: nowhere: no such folder; make it first"),
        (("film.mp4", "--json"), 2, "error: --json says what was written to a file; name one"),
        (("film.mp4", "--language", "fr"), 2, "error: setting 'language': input should be 'auto'"),
        ((), 2, "error: Missing argument 'VIDEO'"),
    ],
)
def test_errors_are_one_line(run: Run, arguments: tuple[str, ...], code: int, error: str) -> None:
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert err.startswith(error)
    assert err.count("\n") == 1


def test_the_video_is_never_written_over(run: Run, folder: Path) -> None:
    before = (folder / "film.mp4").read_bytes()
    code, _, err = run("film.mp4", "--format", "md", "-o", str(folder / "film.mp4"))
    assert code == 2
    assert err.endswith("is the video itself; name another file\n")
    assert (folder / "film.mp4").read_bytes() == before
