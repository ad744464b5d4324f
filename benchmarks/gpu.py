"""Video-XL-2 at full size on a CUDA device: right, how fast, in how much memory. One call.

    python benchmarks/gpu.py                            # what fits in ten minutes
    python benchmarks/gpu.py                            # again: the stages that are left
    python benchmarks/gpu.py --stages decoding,capped   # these, of those that are left
    python benchmarks/gpu.py --stages decoding --again  # this one, whatever is there

Runs from a bare checkout; needs torch >= 2.11, transformers >= 5.17, safetensors and numpy. The
weights are random, in bfloat16: speed and memory do not depend on them. Figures are written after
every stage to `--out`, so that a run that is cut leaves what it has, and the next one with the same
code on the same kind of GPU goes on: it runs what has no result yet, or failed. A stage that fails
says why and the next one starts. None starts with less than a minute of the budget left; those that
run in a process of their own are stopped at its end. Shares are of the matrix rate that the first
stage measures, in this run or in an earlier one.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import checkout  # noqa: F401 — the package lies in this checkout
import torch
from gpu_parts import ROOT, TINY, Bench, Figures, Results, Sizes, in_a_line, release, say
from gpu_stages import APART, STAGES

LEAST_S = 60  # of the budget, for a stage to start


def run_stage(bench: Bench, name: str) -> Figures:
    """Run one stage; whatever it raises is its result."""
    start = time.perf_counter()
    try:
        figures = STAGES[name](bench)
    except Exception as error:  # noqa: BLE001 — a stage that fails must not end the others
        figures = {"error": in_a_line(error)}
    release()
    return {**figures, "stage_s": round(time.perf_counter() - start, 4)}


def run_apart(name: str, *, tiny: bool, timeout_s: float) -> Figures:
    """Run one stage in a process of its own, whose last line is its result."""
    words = [sys.executable, __file__, "--alone", name, *(["--tiny"] if tiny else [])]
    # Pages that grow in place: what is held stays near what is used.
    known = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", **os.environ}
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, text=True, env=known, timeout=timeout_s, check=False
        )
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {timeout_s:.0f} s"}
    except (IndexError, ValueError):
        return {"error": f"the process ended with status {done.returncode} and no result"}
    return figures


def run_all(bench: Bench, results: Results, names: Sequence[str], budget_s: float) -> None:
    """Run stages one after the other, as far as the budget goes."""
    start, least_s = time.perf_counter(), 0 if bench.tiny else LEAST_S
    rate = results.stages.get("ceilings", {}).get("matrix_tflop_per_s")
    bench.matrix_rate = rate * 1e12 if rate else None
    for name in names:
        left_s = max(0.0, budget_s - (time.perf_counter() - start))
        if left_s <= least_s:
            if results.stages.get(name):  # what an earlier run found says more
                continue
            figures: Figures = {"skipped": f"not started: {left_s:.0f} s of {budget_s:.0f} left"}
        elif name in APART and not (bench.tiny and name != APART[-1]):
            bench.forget()
            figures = run_apart(name, tiny=bench.tiny, timeout_s=left_s)
        else:
            figures = run_stage(bench, name)
        results.add(name, figures)
        say(f"{name}: {figures.get('error') or figures.get('skipped') or figures['stage_s']}")


# What came out

Row = tuple[str, tuple[str, ...], str, str]
GB = 1e9
TABLE: tuple[Row, ...] = (
    ("matrix rate, TFLOP/s", ("ceilings", "matrix_tflop_per_s"), "", ""),
    ("copy, GB/s", ("ceilings", "copy_gb_per_s"), "", ""),
    ("golden cases passed", ("correctness", "golden", "passed"), "", "all"),
    ("pixels to KV, s", ("pixels_to_kv", "total_s"), "", "6 or less"),
    ("share of the matrix rate", ("pixels_to_kv", "share_of_matrix_rate", "total"), "", ""),
    ("first token, stored video, s", ("first_token", "bi_level", "seconds"), "", "0.5 or less"),
    ("group to queryable, s", ("arrival", "group_s"), "", "0.1 or less"),
    ("decode, tokens/s, dense", ("decoding", "dense", "tokens_per_s"), "", ""),
    ("first steps of a cache, s", ("decoding", "bi_level", "first_steps_s"), "", ""),
    ("bi-level over dense", ("decoding", "bi_level_over_dense"), "", "1.25 or more"),
    ("load and first token, s", ("revisit", "load_and_first_token_s"), "", ""),
    ("capped: held, GB", ("capped", "with_question", "peak_held_bytes"), "GB", "24 or less"),
    ("long: held, GB", ("long_bfloat16", "with_dense_decoding", "peak_held_bytes"), "GB", "< 45"),
    ("long: bi-level over dense", ("long_bfloat16", "decoding", "bi_level_over_dense"), "", "2"),
    ("long, int8: held, GB", ("long_int8", "with_question", "peak_held_bytes"), "GB", "< 24"),
)


def table(stages: Figures) -> str:
    lines = []
    for name, path, unit, aim in TABLE:
        value: Any = stages
        for each in path:
            value = value.get(each) if isinstance(value, dict) else None
        if value is not None and unit == "GB":
            value /= GB
        shown = "-" if value is None else f"{value:.4g}"
        lines.append(f"{name:32} {shown:>10}  {aim}".rstrip())
    return "\n".join(lines)


def chosen(text: str) -> list[str]:
    """Return the stages that are named, in their own order."""
    names = text.split(",")
    if unknown := sorted(set(names) - set(STAGES)):
        raise argparse.ArgumentTypeError(f"no stage {unknown[0]}; there are {', '.join(STAGES)}")
    return [name for name in STAGES if name in names]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    parser.add_argument("--budget-s", type=float, default=540, help="seconds for all stages")
    parser.add_argument("--stages", type=chosen, default=list(STAGES), metavar="NAME,...")
    parser.add_argument("--again", action="store_true", help="also stages that have a result")
    parser.add_argument("--tiny", action="store_true", help="all stages at tiny size, on a CPU too")
    parser.add_argument("--alone", choices=APART, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not torch.cuda.is_available() and not args.tiny:
        say("no CUDA device here; --tiny runs every stage at tiny size on a CPU")
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(device, TINY if args.tiny else Sizes(), tiny=args.tiny)
    if args.alone:
        print(json.dumps(run_stage(bench, args.alone)))
        return 0
    results = Results(args.out, {"tiny": args.tiny, "budget_s": args.budget_s})
    names = [name for name in args.stages if args.again or not results.done(name)]
    run_all(bench, results, names, args.budget_s)
    print(table(results.stages))
    failed = [name for name, figures in results.stages.items() if "error" in figures]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
