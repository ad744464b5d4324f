"""`store export` and `store import`, and what a session answers from an imported bundle."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit import Session
from agentkit.cli import main
from agentkit.errors import OtherEncoderError
from agentkit_storage import Store

OpenSession = Callable[..., Session]
Run = Callable[..., tuple[int, str, str]]
QUESTIONS = ("Is there a cut?", "How much motion is there?", "Where is the submarine?")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; return its exit code and what it wrote to stdout and stderr."""
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run_one(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_one


@pytest.mark.parametrize("encoder", ["notes", "videoxl2"])
def test_an_imported_bundle_answers_without_the_video_file(
    open_session: OpenSession,
    long_clip: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
) -> None:
    """The same words and citations from the same tier; no frame is decoded, nothing encoded."""
    clip = tmp_path / "mine.mp4"
    shutil.copyfile(long_clip, clip)
    first = open_session(tmp_path / "first", encoder=encoder)
    video = first.ingest(clip)
    before = [first.ask(question, video) for question in QUESTIONS]
    assert run("store", "export", video.video_id, "-o", "b.tar", "--store", "first")[0] == 0
    clip.unlink()
    assert run("store", "import", "b.tar", "--store", "second")[0] == 0
    second = open_session(tmp_path / "second", encoder=encoder)
    calls: list[str] = []
    for name in (
        "agentkit.pipeline.probe",
        "agentkit.observing.sample",
        "agentkit.video.open_container",
        "agentkit.encoders.NotesEncoder.encode",
        "agentkit.encoders.VideoXL2Encoder.encode",
        "videoxl2_model.prefill.Prefill.add",
    ):
        monkeypatch.setattr(name, lambda *a, _name=name, **k: calls.append(_name))
    after = [second.ask(question, "mine.mp4") for question in QUESTIONS]
    assert calls == []
    for old, new in zip(before, after, strict=True):
        assert (new.text, new.citations, new.supported) == (old.text, old.citations, old.supported)
        assert new.coverage.dense_chunks == old.coverage.dense_chunks
    assert after[0].coverage.tier == before[0].coverage.tier == "kv"
    assert after[0].citations
    assert second.search("cut") == first.search("cut")


def test_without_kv_it_answers_from_tokens_and_without_tokens_it_says_so(
    open_session: OpenSession, long_clip: Path, tmp_path: Path, run: Run
) -> None:
    first = open_session(tmp_path / "first")
    before = first.ask(QUESTIONS[0], first.ingest(long_clip))
    for tiers in ("tokens", "notes"):
        out = f"{tiers}.tar"
        assert run("store", "export", "long.mp4", "-o", out, "--tiers", tiers, "--store", "first")[
            0
        ] == (0)
        assert run("store", "import", out, "--store", tiers)[0] == 0
    after = open_session(tmp_path / "tokens").ask(QUESTIONS[0])
    assert (after.text, after.citations) == (before.text, before.citations)
    assert after.coverage.tier == "tokens"
    thin = open_session(tmp_path / "notes")
    assert thin.search("cut")
    with pytest.raises(OtherEncoderError, match="import a bundle with tokens"):
        thin.ask(QUESTIONS[0])
    again = thin.ingest(long_clip)  # made anew, not taken for whole
    assert thin.ask(QUESTIONS[0], again).text == before.text


@pytest.fixture
def stored(asked_stores: dict[str, Path]) -> str:
    """The one video of a store that is only read."""
    with Store.open(asked_stores["notes"]) as store:
        return store.videos()[0].video_id


def test_what_the_commands_say(run: Run, asked_stores: dict[str, Path], stored: str) -> None:
    made = ("--store", asked_stores["notes"])
    code, out, err = run("store", "export", "long.mp4", stored, "-o", "b.tar", *made)
    size = Path("b.tar").stat().st_size
    assert (code, out, err) == (0, f"b.tar  1 video  {size / 1e6:.1f} MB\n", "")
    new = ("--store", "new")
    assert run("store", "import", "b.tar", *new) == (0, f"{stored[:12]}  long.mp4  imported\n", "")
    again = f"{stored[:12]}  long.mp4  in the store already\n"
    assert run("store", "import", "b.tar", *new) == (0, again, "")


def test_all_of_a_store(run: Run, asked_stores: dict[str, Path], stored: str) -> None:
    made = ("--store", asked_stores["notes"])
    code, out, err = run("store", "export", "--all", "-o", "b.tar", "--json", *made)
    assert (code, json.loads(out)["videos"], err) == (0, [stored], "")
    done = f"{stored[:12]}  long.mp4  imported\n"
    assert run("store", "import", "b.tar", "--store", "new") == (0, done, "")


def test_all_of_nothing(run: Run) -> None:
    assert run("videos", "list", "--store", "new")[0] == 0
    code, out, err = run("store", "export", "--all", "-o", "b.tar", "--store", "new")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no video to export" in err


def test_json_and_footage(
    run: Run, asked_stores: dict[str, Path], stored: str, tmp_path: Path, long_clip: Path
) -> None:
    made = ("--store", asked_stores["notes"])
    code, out, err = run(
        *("store", "export", stored[:8], "-o", "b.tar", "--with-footage", "--json", *made)
    )
    size = Path("b.tar").stat().st_size
    assert (code, err) == (0, "")
    assert json.loads(out) == {"bundle": "b.tar", "nbytes": size, "videos": [stored]}
    one = {"video_id": stored, "name": "long.mp4"}
    new = ("--store", "new")
    _, out, err = run("store", "import", "b.tar", "--json", *new)
    left = {"outcome": "imported", "footage": None, "left_footage": True}
    assert (json.loads(out), err) == ({"videos": [one | left]}, "")
    _, out, err = run("store", "import", "b.tar", *new)
    assert err == "its video files were left in the bundle; --footage FOLDER takes them out\n"
    _, out, err = run("store", "import", "b.tar", "--footage", "films", "--json", *new)
    placed = tmp_path / "films" / stored[:12] / "long.mp4"
    taken = {"outcome": "skipped", "footage": str(placed), "left_footage": False}
    assert (json.loads(out), err) == ({"videos": [one | taken]}, "")
    assert placed.read_bytes() == long_clip.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["export", "nothing-like-it", "-o", "b.tar"], 2, "unknown video 'nothing-like-it'"),
        (["export", "long.mp4"], 2, "Missing option '-o'"),
        (["export", "-o", "b.tar"], 2, "or say --all"),
        (["export", "--all", "long.mp4", "-o", "b.tar"], 2, "or say --all"),
        (["export", "long.mp4", "-o", "no/b.tar"], 1, "name a file to write"),
        (["export", "long.mp4", "-o", "b.tar", "--tiers", "frames"], 1, "unknown tier 'frames'"),
        (["import", "none.tar"], 1, "none.tar: no file; name one that"),
        (["import", "text.tar"], 1, "damaged or no bundle"),
        (["imprt", "b.tar"], 2, "did you mean 'import'?"),
    ],
)
def test_errors_are_one_line(
    run: Run, asked_stores: dict[str, Path], arguments: list[str], code: int, says: str
) -> None:
    Path("text.tar").write_text("no tar")
    found, out, err = run("store", *arguments, "--store", asked_stores["notes"])
    assert (found, out, err.count("\n")) == (code, "", 1), err
    assert err.startswith("error: ")
    assert says in err


def test_another_making_is_refused_in_one_line(
    run: Run, asked_stores: dict[str, Path], stored: str
) -> None:
    for encoder in ("notes", "videoxl2"):
        made = ("--store", asked_stores[encoder])
        assert run("store", "export", stored, "-o", f"{encoder}.tar", *made)[0] == 0
    assert run("store", "import", "notes.tar", "--store", "new")[0] == 0
    code, out, err = run("store", "import", "videoxl2.tar", "--store", "new")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "import with --replace, or into another store" in err
    done = f"{stored[:12]}  long.mp4  replaced\n"
    assert run("store", "import", "videoxl2.tar", "--store", "new", "--replace") == (0, done, "")
