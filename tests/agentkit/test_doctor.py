"""Which encoder runs and why, and what `doctor` finds in a bare and in a broken place."""

import json
import re
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from agentkit import doctor, encoder_choice
from agentkit.cli import main
from agentkit.config import Settings
from agentkit.doctor import Check, checks
from agentkit.encoder_choice import EncoderChoice, choose_encoder
from agentkit.encoders import ENCODERS
from agentkit.errors import ModelFilesError
from agentkit_storage import Store
from agentkit_storage.types import StoredVideo


@pytest.fixture(autouse=True)
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("AGENTKIT_HOME", str(home))
    for name in ("STORE", "CONFIG", "OFFLINE", "DISABLE_PLUGINS"):
        monkeypatch.delenv(f"AGENTKIT_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in checks(settings)}


def quick(**values: object) -> Settings:
    """Return settings whose only instruments are one that needs weights and one that does not."""
    return Settings.load(notes={"instruments": ["objects", "motion"]}, **values)


def test_auto_takes_notes_where_the_weights_are_missing() -> None:
    assert choose_encoder(Settings.load()) == EncoderChoice(
        "notes", "auto: the weights of videoxl2 are not here"
    )


@pytest.mark.parametrize(
    ("gpu", "name", "reason"),
    [
        (None, "notes", "auto: no GPU for videoxl2 (device auto)"),
        ("Big Card", "videoxl2", "auto: its weights are in {folder} and there is a GPU, Big Card"),
    ],
)
def test_auto_takes_videoxl2_only_with_weights_and_a_gpu(
    weights: Path, monkeypatch: pytest.MonkeyPatch, gpu: str | None, name: str, reason: str
) -> None:
    monkeypatch.setattr(encoder_choice, "gpu_name", lambda settings: gpu)
    choice = choose_encoder(Settings.load(videoxl2_path=weights))
    assert choice == EncoderChoice(name, reason.format(folder=weights))


def test_what_is_asked_for_is_taken_whatever_there_is(weights: Path) -> None:
    asked = Settings.load(videoxl2_path=weights, encoder="notes", device="cpu")
    assert choose_encoder(asked) == EncoderChoice("notes", "asked for")
    asked = Settings.load(videoxl2_path=weights, encoder="videoxl2", device="cpu")
    reason = f"asked for; its weights are in {weights}"
    assert choose_encoder(asked) == EncoderChoice("videoxl2", reason)


def test_videoxl2_without_weights_is_an_error_never_a_fallback(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="videoxl2"):
        choose_encoder(Settings.load(encoder="videoxl2"))
    with pytest.raises(ModelFilesError, match=r"empty: no Video-XL-2 here \(no config.json\)"):
        choose_encoder(Settings.load(encoder="videoxl2", videoxl2_path=tmp_path / "empty"))


def test_a_cpu_is_no_gpu() -> None:
    assert encoder_choice.gpu_name(Settings.load(device="cpu")) is None


def test_a_bare_home_lacks_models_and_each_has_its_remedy(bare_home: Path) -> None:
    bare = found(quick())
    assert bare["language model"] == Check(
        "language model",
        False,
        "qwen2.5-coder-0.5b is not here",
        "agentkit models pull qwen2.5-coder-0.5b",
    )
    assert bare["text embedding"].remedy == "agentkit models pull minilm"
    assert bare["encoder"].ok
    assert bare["instrument motion"].ok
    assert bare["instrument objects"].ok is None
    assert "agentkit models pull yolox-nano" in bare["instrument objects"].detail
    assert bare["store"] == Check("store", True, f"{bare_home / 'store'}; made by the first ingest")
    assert not (bare_home / "store").exists()
    assert bare["plugin media"].ok


def test_the_store_is_counted(bare_home: Path) -> None:
    with Store.open(bare_home / "store") as store:
        for digit, state in (("a", "ready"), ("b", "ingesting")):
            video = StoredVideo(digit * 64, f"/{digit}.mp4", 8.0, 80, 8, 1.0, 1, state, ())
            store.add_video(video, "f")
    detail = f"{bare_home / 'store'}; 2 videos, 1 of them not finished"
    assert found(quick())["store"] == Check("store", True, detail)


@pytest.mark.parametrize(
    ("budget_gb", "free", "ok", "detail"),
    [
        (None, 10**6, True, "0.0 GB, no budget"),
        (None, 1, None, "0.0 GB, no budget"),
        (2, 1, True, "0.0 GB, a budget of 2 GB"),
        (0, 10**6, None, "0.0 GB, a budget of 0 GB"),
    ],
)
def test_stored_kv_is_held_against_its_budget_or_the_disk(
    bare_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget_gb: float | None,
    free: int,
    ok: bool | None,
    detail: str,
) -> None:
    with Store.open(bare_home / "store") as store:
        store.add_video(StoredVideo("ab", "/v", 1.0, 1, 1, 1.0, 0, "ready", ()), "f")
        store.put_kv("ab", "making", 0, {"k": np.zeros(9, np.float32)})
    disk = type(shutil.disk_usage(bare_home))(10**6, 0, free)
    monkeypatch.setattr("agentkit.doctor.shutil.disk_usage", lambda folder: disk)
    check = found(quick(tiers={"kv_budget_gb": budget_gb}))["stored KV"]
    assert (check.ok, check.detail, bool(check.remedy)) == (ok, detail, not ok)


def test_a_store_that_cannot_be_opened_shows_no_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert found(quick(store=tmp_path / "file"))["store"].ok is False
    url = found(quick(store="postgresql://me:secret@here/videos"))["store"]
    assert url.ok is False
    assert "//***@here/videos" in url.detail
    assert "secret" not in url.detail


def test_every_size_of_card_is_told_what_it_takes() -> None:
    bare = found(quick())
    cards = {name: check for name, check in bare.items() if name.startswith("videoxl2 on ")}
    assert list(cards) == [f"videoxl2 on {size} GB" for size in (8, 24, 48, 80, 141)]
    told = {name.split()[2]: check.detail for name, check in cards.items()}
    assert told["24"].startswith("1000 frames take 20.")
    assert "GB (16-bit weights and 16-bit KV); frames at most: " in told["24"]
    assert "1000 frames take" not in told["8"]
    most = {size: [int(n) for n in re.findall(r"(\d+) with", each)] for size, each in told.items()}
    assert [len(each) for each in most.values()] == [1, 4, 4, 4, 4]
    assert all(each == sorted(each) for each in most.values())
    assert most["24"][2] > 10_000  # int8 weights and int8 KV


def test_unknown_names_in_the_settings_are_found() -> None:
    odd = found(Settings.load(language_model="qwen2.5-coder", notes={"instruments": ["ojects"]}))
    assert "did you mean 'qwen2.5-coder" in odd["language model"].detail
    assert odd["instruments"].detail == "unknown instrument 'ojects'; did you mean 'objects'?"
    assert (odd["language model"].ok, odd["instruments"].ok) == (False, False)


def test_little_room_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 62)
    assert found(quick())["disk of the store"].ok is False


def test_plugins_switched_off_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_DISABLE_PLUGINS", "1")
    assert found(quick())["plugins"].detail == "switched off"


def test_the_command_exits_with_1_where_something_needed_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agentkit.toml").write_text('[notes]\ninstruments = ["motion"]\n')
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CHECK", "FOUND"]
    assert [line.split()[0] for line in lines if "minilm" in line] == ["FAIL"]
    assert main(["doctor", "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)["checks"]
    assert {"name", "ok", "detail", "remedy"} == set(listed[0])
    assert [check["ok"] for check in listed if check["name"] == "instrument motion"] == [True]


def test_the_encoders_that_may_be_named_are_those_that_are_known() -> None:
    named = get_args(Settings.model_fields["encoder"].annotation)
    assert set(named) == {"auto", *ENCODERS}


def test_the_disk_of_a_store_in_a_database_is_that_of_its_large_files(tmp_path: Path) -> None:
    settings = Settings.load(store=f"postgresql://me@here/videos?blobs={tmp_path}")
    assert doctor._folder_of(settings) == tmp_path
