"""The public reference's own numbers: masks, states, logits, mixed entries, tokens."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from videoxl2_model.golden import golden_decoder, parameter
from videoxl2_model.parity import case_names, main, run_case

FOLDER = Path(__file__).parents[1] / "golden"
CASES = {
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
}


@pytest.fixture(scope="module")
def golden_model():
    return golden_decoder(FOLDER)


def test_every_case_is_there():
    assert set(case_names(FOLDER)) == CASES


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(golden_model, name):
    report = run_case(FOLDER, name, golden_model)
    assert not report.mismatches
    assert report.differences
    assert max(report.differences.values()) <= 1e-4


def test_mixed_entries_are_compared_before_rotation(golden_model):
    report = run_case(FOLDER, "g_sel1", golden_model)
    assert {"keys 0", "values 0", "keys 1", "values 1", "prefill_final_hidden"} <= set(
        report.differences
    )


def test_weights_follow_the_formula():
    listed = json.loads((FOLDER / "weights_A.json").read_text())["parameters"]
    small = [each for each in listed if each["key"].startswith("model.layers.")]
    assert len(small) == 24
    for each in small:
        drawn = parameter(each["key"], each["shape"], "A:").numpy()
        assert sha256(drawn.astype("<f4").tobytes()).hexdigest()[:16] == each["sha256_16"]


def test_the_command_says_what_differs(tmp_path, capsys):
    for file in FOLDER.glob("*_A.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for file in FOLDER.glob("e_pure9.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert main([str(tmp_path)]) == 0
    facts = json.loads((tmp_path / "e_pure9.json").read_text())
    facts["greedy_tokens"][3] += 1
    (tmp_path / "e_pure9.json").write_text(json.dumps(facts))
    assert main([str(tmp_path)]) == 1
    good, bad = capsys.readouterr().out.splitlines()
    assert good.startswith("e_pure9\t")
    assert good.endswith("ok ")
    assert "FAIL tokens" in bad
