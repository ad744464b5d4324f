"""Video-XL-2 at full size on a CUDA device: right, how fast, in how much memory. One call.

    python benchmarks/gpu.py                    # all stages, some minutes
    python benchmarks/gpu.py --budget-s 500     # starts no stage later than that

Runs from a bare checkout; needs torch >= 2.11, transformers >= 5.17, safetensors and numpy. The
weights are random, in bfloat16: speed and memory do not depend on them. Figures are written after
every stage, so that a run that is cut leaves what it has. A stage that fails says why and the next
one starts. Shares are of the matrix rate that the first stage measures.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import checkout  # noqa: F401 — the package lies in this checkout
import torch
from gpu_parts import ROOT, TINY, Bench, Figures, Results, Sizes, in_a_line, release, say
from gpu_stages import APART, STAGES


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


def run_all(bench: Bench, results: Results, budget_s: float) -> None:
    start = time.perf_counter()
    for name in STAGES:
        left_s = budget_s - (time.perf_counter() - start)
        if left_s <= 0:
            figures: Figures = {"skipped": f"not started after {budget_s:.0f} s"}
        elif name in APART and not (bench.tiny and name != APART[-1]):
            bench.forget()
            figures = run_apart(name, tiny=bench.tiny, timeout_s=max(left_s, 120))
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    parser.add_argument("--budget-s", type=float, default=1500, help="start no stage after that")
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
    run_all(bench, results, args.budget_s)
    print(table(results.body["stages"]))
    failed = [name for name, figures in results.body["stages"].items() if "error" in figures]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
