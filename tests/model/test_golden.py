"""The public reference's own numbers, from pixels to tokens, and what the parity command says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from videoxl2_model.golden import Case
from videoxl2_model.parity import Golden, main
from videoxl2_model.parity_report import Report

FOLDER = Path(__file__).parents[1] / "golden"
CASES = {
    "a_vision_tower",
    "b_image1",
    "b_video3",
    "b_video5",
    "b_video8",
    "c_dts_true_width",
    "d_assembled_embeddings",
    "e_pure12",
    "e_pure9",
    "f_chunk24_b1_p2",
    "f_chunk26_b2_p1",
    "f_masks",
    "g_sel1",
    "g_sel2",
    "g_sel3_odd_chunk",
    "g_sel4_empty",
    "g_sel5_none",
    "h_sampling",
    "preprocess",
    "prompt",
    "weights_A",
}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden(FOLDER)


def test_every_case_is_there(golden: Golden) -> None:
    assert set(golden.names()) == CASES


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(golden: Golden, name: str) -> None:
    line = golden.line(name)
    assert line.ok, str(line)
    assert not line.reason  # nothing was left uncompared
    assert line.tolerance <= (2e-4 if name.startswith("c_") else 1e-4)
    assert line.difference is not None
    assert line.difference <= line.tolerance


@pytest.mark.parametrize("name", ["b_video8", "e_pure9", "g_sel1", "g_sel3_odd_chunk"])
def test_every_array_is_compared_and_every_case_starts_from_pixels(
    golden: Golden, name: str
) -> None:
    case = Case.load(FOLDER, name)
    report = Report(name, case.arrays)
    golden.check(case, report)
    assert set(load_file(FOLDER / f"{name}.safetensors")) <= set(report.differences)
    assert "golden rows" not in report.what


def copy(folder: Path, *names: str) -> Path:
    for name in ("config_A", *names):
        for file in FOLDER.glob(f"{name}.*"):
            shutil.copyfile(file, folder / file.name)
    return folder


def test_the_command_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy(tmp_path, "e_pure9")
    assert main([str(tmp_path)]) == 0
    good = capsys.readouterr().out.splitlines()
    facts = json.loads((tmp_path / "e_pure9.json").read_text())
    facts["greedy_tokens"][3] += 1
    (tmp_path / "e_pure9.json").write_text(json.dumps(facts))
    assert main([str(tmp_path)]) == 1
    bad = capsys.readouterr().out.splitlines()
    assert good[0].startswith("e_pure9 ")
    assert good[0].endswith(" ok")
    assert good[1] == f"{tmp_path}: 1 of 1 cases ok"
    assert "FAIL greedy_tokens: entry 3: " in bad[0]
    assert bad[1] == f"{tmp_path}: 0 of 1 cases ok"


def test_json_names_every_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy(tmp_path, "h_sampling", "prompt")
    assert main([str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["case"] for each in told["cases"]] == ["h_sampling", "prompt"]
    assert all(each["ok"] and each["difference"] == 0 for each in told["cases"])


def test_what_cannot_be_read_fails_by_name_and_the_others_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy(tmp_path, "h_sampling", "b_video3", "b_video5", "b_image1")
    (tmp_path / "b_cut.json").write_text('{"config": "A", "fra')
    (tmp_path / "a_list.json").write_text("[1, 2]")
    (tmp_path / "z_other.json").write_text('{"config": "A"}')
    (tmp_path / "e_short.json").write_text('{"config": "A"}')
    (tmp_path / "e_other_config.json").write_text('{"config": "Z"}')
    (tmp_path / "b_video5.safetensors").write_bytes(b"\x10")
    (tmp_path / "b_video3.safetensors").unlink()
    (tmp_path / "b_image1.json").unlink()
    (tmp_path / "h_empty.json").write_text("{}")
    assert main([str(tmp_path)]) == 1
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["h_sampling"].endswith(" ok")
    reasons = {
        "b_cut": "b_cut.json: cannot be read",
        "a_list": "a_list.json: holds no JSON object",
        "z_other": "unknown kind of case",
        "e_short": "no field 'frames'",
        "e_other_config": "config_Z.json: cannot be read",
        "b_video5": "b_video5.safetensors: cannot be read",
        "b_video3": "b_video3.safetensors: no array",
        "b_image1": "b_image1.json: cannot be read",
        "h_empty": "nothing to compare",
    }
    assert {name for name, line in lines.items() if "FAIL" in line} == set(reasons)
    for name, reason in reasons.items():
        assert reason in lines[name]


def test_a_config_that_the_model_cannot_be_fails(tmp_path: Path) -> None:
    copy(tmp_path, "b_video3")
    facts = json.loads((tmp_path / "config_A.json").read_text())
    facts["connector"]["mm_spatial_pool_mode"] = "max"
    (tmp_path / "config_A.json").write_text(json.dumps(facts))
    line = Golden(tmp_path).line("b_video3")
    assert not line.ok
    assert (
        line.reason == "config_A.json: connector.mm_spatial_pool_mode is 'max'; only 'average' is"
    )


def test_an_empty_folder_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path}: 0 of 0 cases ok\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: folder"),
        (["nowhere"], "nowhere: no such folder"),
        ([str(FOLDER), "--tokenizer", "nowhere"], "nowhere: no such file"),
        ([str(FOLDER), "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert said in error[0]


def test_the_module_is_a_command(tmp_path: Path) -> None:
    copy(tmp_path, "h_sampling")
    command = [sys.executable, "-m", "videoxl2_model.parity", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("h_sampling ")
