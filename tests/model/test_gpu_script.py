"""benchmarks/gpu.py from a bare checkout: every stage at tiny size, figures after each."""

import gc
import json
import subprocess
import sys
import weakref
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
    assert stages == {name: {"skipped": "not started: 0 s of 0 left"} for name in STAGES}


def test_full_sizes_start_no_stage_in_the_last_minute(gpu, monkeypatch, tmp_path):
    from gpu_parts import TINY, Bench, Results

    monkeypatch.setattr(gpu, "STAGES", {"short": lambda bench: {"x": 1}})
    for tiny, budget_s, ran in ((False, 59, 0), (False, 70, 1), (True, 59, 1)):
        results = Results(tmp_path / f"{tiny}{budget_s}.json", {})
        bench = Bench(torch.device("cpu"), TINY, tiny=tiny)
        gpu.run_all(bench, results, ["short"], budget_s)
        assert results.done("short") == ran


def test_a_stage_apart_is_stopped_at_the_end_of_the_budget(gpu, monkeypatch, tmp_path):
    from gpu_parts import TINY, Bench, Results

    def stopped(words, *, timeout, **_):
        assert timeout <= 70
        raise subprocess.TimeoutExpired(words, timeout)

    results = Results(tmp_path / "out.json", {})
    monkeypatch.setattr(subprocess, "run", stopped)
    gpu.run_all(Bench(torch.device("cpu"), TINY, tiny=False), results, ["capped"], 70)
    assert results.stages == {"capped": {"error": "stopped after 70 s"}}


@pytest.fixture
def ran(gpu, monkeypatch):
    """The names of stages that ran; the second one fails, the third reads the matrix rate."""
    names = []

    def ceilings(bench):
        names.append("ceilings")
        bench.matrix_rate = 2e12
        return {"matrix_tflop_per_s": 2.0}

    def broken(bench):
        names.append("broken")
        raise RuntimeError("no such thing")

    def shares(bench):
        names.append("shares")
        return {"share": bench.share(1e12, 1.0)}

    stages = {"ceilings": ceilings, "broken": broken, "shares": shares}
    monkeypatch.setattr(gpu, "STAGES", stages)
    return names


def test_another_run_goes_on_where_one_ended(gpu, ran, monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    options = ("--tiny", "--out", out)
    assert run(gpu, monkeypatch, *options, "--stages", "broken,ceilings") == 1
    assert ran == ["ceilings", "broken"]
    assert run(gpu, monkeypatch, *options) == 1
    assert ran == ["ceilings", "broken", "broken", "shares"]
    stages = json.loads(out.read_text())["stages"]
    assert stages["ceilings"]["matrix_tflop_per_s"] == 2.0
    assert stages["shares"]["share"] == 0.5  # of the earlier run's rate
    assert run(gpu, monkeypatch, *options, "--stages", "shares", "--again") == 1
    assert run(gpu, monkeypatch, *options, "--budget-s", 0, "--again") == 1
    assert ran[4:] == ["shares"]
    assert json.loads(out.read_text())["stages"].keys() == stages.keys()


@pytest.mark.parametrize("name", ["code", "tiny", "machine"])
def test_figures_of_another_code_size_or_machine_are_not_kept(
    gpu, ran, monkeypatch, tmp_path, name
):
    out = tmp_path / "gpu.json"
    run(gpu, monkeypatch, "--tiny", "--out", out, "--stages", "ceilings")
    held = json.loads(out.read_text())
    out.write_text(json.dumps({**held, name: {"gpu": "another"}}))
    run(gpu, monkeypatch, "--tiny", "--out", out, "--stages", "shares")
    assert list(json.loads(out.read_text())["stages"]) == ["shares"]


def test_a_file_that_is_no_result_is_written_over(gpu, ran, monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    out.write_text("{")
    run(gpu, monkeypatch, "--tiny", "--out", out, "--stages", "shares")
    assert json.loads(out.read_text())["stages"]["shares"]["share"] is None


def test_an_unknown_stage_is_refused(gpu, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(gpu, monkeypatch, "--tiny", "--out", tmp_path / "gpu.json", "--stages", "ceiling")
    assert "no stage ceiling; there are ceilings, correctness" in capsys.readouterr().err


def test_decoding_holds_one_cache_at_a_time(gpu, monkeypatch):
    from gpu_parts import TINY, Bench
    from gpu_stages import decode_rates

    bench, caches = Bench(torch.device("cpu"), TINY, tiny=True), []
    whole = bench.kv.assemble

    def assemble(*arguments, **settings):
        gc.collect()
        assert not [each for each in caches if each() is not None]
        made = whole(*arguments, **settings)
        caches.append(weakref.ref(made))
        return made

    monkeypatch.setattr(bench.kv, "assemble", assemble)
    decode_rates(bench, bench.kv)
    assert len(caches) == 2


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
    bench = Bench(torch.device("cpu"), TINY, tiny=True)
    gpu.run_all(bench, results, ["broken", "after"], 100)
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
