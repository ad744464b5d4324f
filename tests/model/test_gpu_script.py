"""benchmarks/gpu.py from a bare checkout: every stage at tiny size, figures after each."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
STAGES = [
    "ceilings",
    "correctness",
    "pixels_to_kv",
    "first_token",
    "decoding",
    "revisit",
    "arrival",
    "capped",
    "long_bfloat16",
    "long_int8",
]
# What the script may not need: it runs from a checkout with nothing installed but the four.
ABSENT = ("agentkit", "agentkit_storage", "av", "faiss", "sqlalchemy", "pydantic", "onnxruntime")
GUARDED = """
import runpy, sys
for name in {absent!r}:
    sys.modules[name] = None  # importing it fails
sys.path[0] = {folder!r}  # as `python benchmarks/gpu.py` has it
runpy.run_path({folder!r} + "/gpu.py", run_name="__main__")
"""


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    import gpu as module

    return module


def run(gpu, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, arguments)])
    return gpu.main()


def flat(figures, path=""):
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def test_every_stage_runs_and_its_figures_are_kept(gpu, monkeypatch, tmp_path, capsys):
    """The last stage in a process of its own, which finds only what a bare checkout has."""
    bare = tmp_path / "bare.py"
    bare.write_text(GUARDED.format(absent=ABSENT, folder=str(ROOT / "benchmarks")))
    monkeypatch.setattr(gpu, "__file__", str(bare))
    out = tmp_path / "out" / "gpu.json"
    status = run(gpu, monkeypatch, "--tiny", "--out", out)
    stages = json.loads(out.read_text())["stages"]
    faults = {name: value for name, value in flat(stages) if name.endswith("error")}
    assert (faults, status) == ({}, 0)
    assert list(stages) == STAGES
    assert [path.name for path in out.parent.iterdir()] == ["gpu.json"]
    right = stages["correctness"]
    assert right["resize_equal"]
    assert right["golden"]["passed"] == right["golden"]["of"] == 1
    assert right["float32"]["tokens_equal"]
    for name in ("keys_and_values", "blocks_together", "static_step"):
        assert right["float32"][name] < 1e-4
        assert right["bfloat16"][name] < 0.1
    for name, value in flat(stages):
        if name.endswith(("_s", "seconds", "tokens_per_s")):
            assert value > 0, name
    assert stages["long_int8"]["kv_bytes"] < stages["long_bfloat16"]["kv_bytes"] / 2
    told = capsys.readouterr().out
    assert "pixels to KV, s" in told
    assert "None" not in told


def test_a_stage_that_is_late_is_not_started(gpu, monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    assert run(gpu, monkeypatch, "--tiny", "--budget-s", 0, "--out", out) == 0
    stages = json.loads(out.read_text())["stages"]
    assert stages == {name: {"skipped": "not started after 0 s"} for name in STAGES}


def test_without_a_device_it_says_so_in_a_line(gpu, monkeypatch, tmp_path, capsys):
    assert run(gpu, monkeypatch, "--out", tmp_path / "gpu.json") == 2
    told = capsys.readouterr().err
    assert told == "no CUDA device here; --tiny runs every stage at tiny size on a CPU\n"
    assert not list(tmp_path.iterdir())


def test_a_stage_that_fails_leaves_the_others_alone(gpu, monkeypatch, tmp_path):
    from gpu_parts import TINY, Bench, Results

    def broken(bench):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(gpu, "STAGES", {"broken": broken, "after": lambda bench: {"x": 1}})
    results = Results(tmp_path / "out.json", {})
    gpu.run_all(Bench(torch.device("cpu"), TINY, tiny=True), results, 100)
    stages = json.loads(results.path.read_text())["stages"]
    assert stages["broken"]["error"] == (
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    )
    assert stages["after"]["x"] == 1


@pytest.mark.parametrize("name", ["a_vision_tower", "b_image1", "b_video3"])
def test_golden_cases_run_on_another_device(gpu, monkeypatch, name):
    """As far as no number is read: the meta device mixes with no other, as CUDA does not."""
    from gpu_correctness import GoldenOnDevice, OnDevice

    from videoxl2_model.parity_report import Report

    def close(self, name, value, golden):
        assert (value.device.type, value.shape) == ("meta", golden.shape)
        self.differences[name] = 0.0

    monkeypatch.setattr(OnDevice, "device", torch.device("meta"))
    monkeypatch.setattr(Report, "close", close)
    line = GoldenOnDevice(ROOT / "tests" / "golden").line(name)
    assert (line.ok, line.reason) == (True, "")


def test_arithmetic_is_that_of_the_published_sizes(gpu):
    """GFLOP of one frame, group and token, as counted from the architecture's shapes."""
    from gpu_arithmetic import connector_flop, linear_flop, tower_flop

    from videoxl2_model.published import full_size

    config = full_size()
    assert tower_flop(config) / 1e9 == pytest.approx(641.8, abs=0.05)
    # DTS, and a projector whose second Linear runs on a quarter of its 14.8.
    assert connector_flop(config) / 1e9 == pytest.approx(206.5 + 4.76 + 14.80 / 4, abs=0.05)
    whole_token = 13.05 - (2 * 3584**2 + 6 * 3584 * 18944) / 1e9
    assert linear_flop(config) / 1e9 == pytest.approx(whole_token, abs=0.01)


def test_attention_is_counted_by_what_rows_see(gpu):
    from gpu_arithmetic import attention_flop

    from videoxl2_model.config import PrefillConfig
    from videoxl2_model.layout import SegmentLayout
    from videoxl2_model.testing import tiny_videoxl2_config

    config, layout = tiny_videoxl2_config(), SegmentLayout(14, PrefillConfig(2, 1))
    for _ in range(15):
        layout.add(7, 20)
    pairs = sum(sum(map(len, layout.visible(row))) for row in range(14, layout.stop))
    assert attention_flop(config, layout) == 4 * config.hidden_size * pairs  # of one layer of two
