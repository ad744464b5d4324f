"""The parity command on folders it has never seen, and every check made to fail.

The folders come from the naive twin: other sizes, salts and names than the public golden data. The
twin itself is held against the public numbers first.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import naive
import numpy as np
import pytest
import torch
from torch import Tensor

from videoxl2_model.golden import Case
from videoxl2_model.parity import Golden, main
from videoxl2_model.parity_report import Report

GOLDEN = Path(__file__).parents[1] / "golden"
B: dict[str, Any] = {
    "name": "B",
    "salt": "B:",
    "vision": {
        "hidden_size": 96,
        "intermediate_size": 112,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "image_size": 384,
        "patch_size": 14,
        "num_channels": 3,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu_pytorch_tanh",
    },
    "language_model": {
        "hidden_size": 48,
        "intermediate_size": 72,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "vocab_size": 151700,
        "rope_theta": 50000.0,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "rope_scaling": None,
    },
}
C = {**B, "name": "C", "salt": "other/", "vision": {**B["vision"], "hidden_size": 64}}
C["vision"] |= {"num_attention_heads": 2, "num_hidden_layers": 2, "image_size": 140}
C["language_model"] = {**B["language_model"], "num_key_value_heads": 1, "num_attention_heads": 3}
CHARACTERS = sorted(set("".join(map(chr, range(32, 127))) + "\n"))
VOCABULARY = {each: 7 + 3 * index for index, each in enumerate(CHARACTERS)}


def seconds(frames: int, step: float) -> list[float]:
    return [round(index * step, 1) for index in range(frames)]


def forged(folder: Path) -> Path:
    """Write a folder of every kind of case."""
    for config in (B, C):
        (folder / f"config_{config['name']}.json").write_text(json.dumps(config))
    b, c, far = forge.Forge(B), forge.Forge(C), seconds(44, 33.4)
    cases = {
        "a_tower3": b.tower_case(3, "x/pixels"),
        "a_small": c.tower_case(1, "small"),
        "b_video12": b.connector_case(12, "y/features", video=True, stages=True),
        "b_video1": c.connector_case(1, "one", video=True),
        "b_image2": c.connector_case(2, "two", video=False, stages=True),
        "c_dts_other": forge.dts_case("Q", "elsewhere.", "in", [3, 64, 4, 3, 5]),
        "d_rows": b.assembled_case(seconds(6, 0.7), "p6"),
        "e_pure6": b.pure_case(seconds(6, 0.7), "p6"),
        "e_one": c.pure_case([0.0], "p1"),
        "f_chunk20_b2_p1": c.chunk_case(seconds(20, 1.5), "p20", 2, 1),
        "f_masks_more": forge.masks_case("C", [(seconds(30, 50.1), 1, 2), ([0.0], 3, 1)]),
        "g_sel7": c.selected_case(far, "p44", 3, 1, [12, 99], 5, 7, mixed=True),
        "g_odd": c.selected_case(far, "p44", 2, 2, [4, 1], 3, 5),
        "g_empty": c.selected_case(seconds(6, 0.7), "p6", 1, 1, [], 1, 4),
        "g_none": c.selected_case(seconds(6, 0.7), "p6", 1, 1, None, 0, 0),
        "h_more": forge.sampling_case(
            [
                (900, 23.976, 1, 64, 4),
                (31, 10.0, 1, 12, 4),
                (77, 25.0, 2, 0, None),
                (9, 0.3, 1, 8, 4),
            ],
            [(1000, 25.0, 17), (5, 30.0, 9)],
        ),
        "prompt_2": forge.prompt_case(
            ["Who?", "At 10:59 and 59:101", "See <image>\nfrom 00:00"], [0.0, 99999.9], VOCABULARY
        ),
        "preprocess_x": forge.preprocess_case("B:", [(40, 500), (333, 250)], (101, 250)),
    }
    for name, made in cases.items():
        forge.write(folder, name, made)
    tokenizer = {"version": "1.0", "model": {"type": "BPE", "vocab": VOCABULARY, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forged(tmp_path_factory.mktemp("unseen"))


@pytest.fixture(scope="module")
def golden(folder: Path) -> Golden:
    return Golden(folder)


def test_the_twin_gives_the_public_numbers() -> None:
    twin = forge.Forge(json.loads((GOLDEN / "config_A.json").read_text()))
    names = ("a_vision_tower", "b_video3", "b_video8", "g_sel1", "g_sel3_odd_chunk")
    tower, short, long, first, odd = (Case.load(GOLDEN, name) for name in names)
    rows = first.arrays["inputs_embeds"][first.facts["visual_start"] :]
    is_row = torch.tensor(first.facts["time_embedding_ids"]) == naive.PAD
    twin.seen["g/pixels", 40] = rows[: len(is_row)][is_row].unflatten(0, (10, 144))
    made = (
        twin.tower_case(2, "a/pixels"),
        twin.connector_case(3, "b/features3", video=True, scale=1.0),
        twin.connector_case(8, "b/features8", video=True, scale=1.0, stages=True),
        twin.selected_case(first.facts["times"], "g/pixels", 2, 1, [2], 2, 4, mixed=True),
        twin.selected_case(odd.facts["times"], "g/pixels", 3, 2, [4, 1], 3, 4),
    )
    for case, (facts, arrays) in zip((tower, short, long, first, odd), made, strict=True):
        for key, value in case.arrays.items():
            torch.testing.assert_close(arrays[key], value, rtol=0, atol=5e-5)
        assert facts.get("greedy_tokens") == case.facts.get("greedy_tokens")


def test_every_unseen_case_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[:-1]]
    assert set(names) == {path.stem for path in folder.glob("[a-hp]_*.json")} | {
        "prompt_2",
        "preprocess_x",
    }
    assert all(line.endswith(" ok") for line in lines[:-1])


def test_names_say_nothing_that_fields_do_not(folder: Path, golden: Golden) -> None:
    for name in ("b_video1", "g_empty", "f_masks_more", "c_dts_other", "prompt_2", "h_more"):
        case = Case.load(folder, name)
        assert golden.run(Case("whatever", case.facts, case.arrays)).ok


# --- every check can fail


def changed(value: Tensor) -> Tensor:
    """One number of an array, or one bit, made another."""
    out = value.clone().flatten()
    at = 2 * len(out) // 3
    out[at] = out[at] ^ 4 if out.dtype == torch.uint8 else out[at] + 5e-4
    return out.reshape(value.shape)


@pytest.mark.parametrize(
    "name",
    "a_tower3 b_video12 b_image2 c_dts_other d_rows e_pure6 f_chunk20_b2_p1 f_masks_more g_sel7"
    " g_none preprocess_x".split(),
)
def test_one_number_of_any_array_is_seen(folder: Path, golden: Golden, name: str) -> None:
    case = Case.load(folder, name)
    report = Report(name, {key: changed(value) for key, value in case.arrays.items()})
    golden.check(case, report)
    assert not report.passed
    assert {fault.partition(":")[0] for fault in report.faults} == set(case.arrays)


def test_what_is_not_a_number_fails(folder: Path, golden: Golden) -> None:
    case = Case.load(folder, "b_image2")
    arrays = {**case.arrays, "tokens": case.arrays["tokens"] * np.nan}
    line = golden.run(Case(case.name, case.facts, arrays))
    assert line.difference is None
    assert line.reason == "tokens: not a number"


Change = Callable[[dict[str, Any]], object]


def put(*path: str | int, value: object = None, by: float = 1) -> Change:
    """Set what a path of a case's JSON leads to, or add to it."""

    def change(facts: Any) -> None:
        *inner, last = path
        for each in inner:
            facts = facts[each]
        facts[last] = facts[last] + by if value is None else value

    return change


CHANGES: list[tuple[str, Change, str]] = [
    ("a_tower3", put("pixels_name", value="y"), "embeddings_out"),
    ("a_tower3", put("layers_kept"), "layers_kept"),
    ("a_small", put("pixels_shape", 2), "pixels_shape"),
    ("b_video12", put("features_scale", by=0.01), "interpolated_frame0"),
    ("b_video1", put("dts_input_shape", 0), "dts_input_shape"),
    ("b_video1", put("frames"), "frames"),
    ("b_video1", put("video", value=False), "tokens"),
    ("b_image2", put("video", value=True), "dts_input_shape"),
    ("c_dts_other", put("salt", value="R"), "layer0"),
    ("c_dts_other", put("weight_key_prefix", value=""), "layer0"),
    ("c_dts_other", put("width", value=32), "groups of shape"),
    ("d_rows", put("times", 4, value=9.9), "time_embedding_ids"),
    ("d_rows", put("input_ids", 3), "inputs_embeds"),
    ("d_rows", put("visual_end"), "visual_end"),
    ("d_rows", put("prompt_len"), "prompt_len"),
    ("d_rows", put("frames", value=9), "2 time texts for 3 groups"),
    ("e_pure6", put("greedy_tokens", 7), "greedy_tokens"),
    ("e_pure6", put("steps", 5, "token"), "tokens of the steps"),
    ("e_pure6", put("steps", 5, "top8_ids", 3), "best logits"),
    ("e_pure6", put("steps", 5, "top8_logits", 3, by=3e-4), "best logits"),
    ("e_pure6", put("steps", 5, "gap_top1_top2", by=3e-4), "gap"),
    ("e_one", put("pixels_name", value="p"), "inputs_embeds"),
    ("f_chunk20_b2_p1", put("block_size"), "final_hidden"),
    ("f_chunk20_b2_p1", put("prev_blocks"), "mask_packed"),
    ("f_chunk20_b2_p1", put("ratio", by=1e-9), "ratio"),
    ("f_chunk20_b2_p1", put("kv_len_per_step", 3, 0), "kv_len_per_step"),
    ("f_masks_more", put("masks", 0, "prev_blocks"), "mask_f30_b1_p2"),
    ("f_masks_more", put("masks", 0, "allowed"), "mask_f30_b1_p2 pairs"),
    ("f_masks_more", put("masks", 1, "num_blocks"), "num_blocks"),
    ("f_masks_more", put("masks", 1, "time_token_end_indices", 0), "time_token_end_indices"),
    ("g_sel7", put("selected_units", value=[3]), "mixed length"),
    ("g_sel7", put("selected_config", "compression"), "mixed length"),
    ("g_odd", put("selected_config", "selected_chunk_size"), "mixed length"),
    ("g_odd", put("mixed_kv_length_per_layer", 2), "mixed length"),
    ("g_empty", put("position_ids_first_last_per_forward", 1, 0), "position_ids"),
    ("g_none", put("kv_len_per_forward", 2, 1), "kv_len_per_forward"),
    ("g_none", put("number_of_model_forwards"), "forwards"),
    ("h_more", put("load_video", 0, "w_chunk", "frame_indices", 30), "video 0 w_chunk"),
    ("h_more", put("load_video", 1, "pure", "timestamps", 3, by=0.1), "video 1 pure"),
    ("h_more", put("load_video", 2, "pure", "time_texts", 0, value="Time 2s:"), "video 2 pure"),
    ("h_more", put("load_video", 1, "max_fps", value=2), "video 1 pure"),
    ("h_more", put("load_video_uniform", 1, "frame_indices", 4), "uniform 1"),
    ("h_more", put("load_video_uniform", 0, "timestamps", 4, by=0.1), "uniform 0 times"),
    ("h_more", put("load_video", 0, "bilevel", value={"error": "ValueError"}), "no field"),
    ("prompt_2", put("prompts", 0, "prompt", value="Who?"), "prompt 0"),
    ("prompt_2", put("prompts", 1, "prompt_after_time_conversion", by="s"), "prompt 1 converted"),
    ("prompt_2", put("prompts", 2, "input_ids", 90), "prompt 2 ids"),
    ("prompt_2", put("time_texts", 1, "ids", 4), "ids of time 99999.9"),
    ("prompt_2", put("time_texts", 0, "text", by=" "), "time 0.0"),
    ("preprocess_x", put("cases", 0, "exact_values_first_pixel", 2, by=1e-7), "values of"),
    ("preprocess_x", put("still_image", value="a picture"), "does not say"),
    ("preprocess_x", put("input_formula", value="drawn"), "names no crc32"),
]


@pytest.mark.parametrize(("name", "change", "said"), CHANGES)
def test_one_other_entry_of_the_json_is_seen(
    folder: Path, golden: Golden, name: str, change: Change, said: str
) -> None:
    case = Case.load(folder, name)
    facts = copy.deepcopy(dict(case.facts))
    change(facts)
    line = golden.run(Case(name, facts, case.arrays))
    assert not line.ok
    assert said in line.reason


def test_the_command_names_the_case_that_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.iterdir():
        if path.stem in ("config_C", "b_video1", "b_image2", "e_one", "h_more"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    stored = bytearray((tmp_path / "b_image2.safetensors").read_bytes())
    stored[-1] ^= 0x40  # the highest bit of the last number's exponent
    (tmp_path / "b_image2.safetensors").write_bytes(stored)
    facts = json.loads((tmp_path / "e_one.json").read_text())
    facts["greedy_tokens"][0] += 1
    (tmp_path / "e_one.json").write_text(json.dumps(facts))
    assert main([str(tmp_path)]) == 1
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert [name for name, line in lines.items() if " FAIL " in line] == ["b_image2", "e_one"]


def test_rows_of_a_case_without_pixels_are_the_golden_ones(folder: Path, golden: Golden) -> None:
    case = Case.load(folder, "e_pure6")
    facts = {key: value for key, value in case.facts.items() if key != "pixels_name"}
    line = golden.run(Case("e_pure6", facts, case.arrays))
    assert line.ok
    assert line.what.endswith("golden rows")
    bare = {key: value for key, value in case.arrays.items() if key != "inputs_embeds"}
    assert golden.run(Case("e_pure6", facts, bare)).reason == "no field 'inputs_embeds'"


def test_an_array_that_nothing_is_compared_with_is_named(folder: Path, golden: Golden) -> None:
    case = Case.load(folder, "b_video1")
    line = golden.run(Case("b_video1", case.facts, {**case.arrays, "more": torch.zeros(1)}))
    assert line.ok
    assert line.reason == "not compared: more"
