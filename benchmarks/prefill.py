"""How much faster is the chunked prefill than a dense L x L mask, in how much less memory?

The baseline is what the public reference does: transformers' own Qwen2 over the whole prompt at
once, with an additive mask of the same visible pairs. Weights are random; speed and memory do not
depend on them. Every figure comes from a process of its own. Times are CPU seconds of one thread,
so that what else a shared machine does changes little.

    python benchmarks/prefill.py            # about 7,400 tokens, then four times as many
    python benchmarks/prefill.py --tiny     # the same in seconds, figures that mean nothing
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from common import (
    RESULTS,
    PeakMemory,
    Ratio,
    release_memory,
    show,
    timed,
    tree_rss_bytes,
    write_results,
)
from torch import Tensor

from videoxl2_model import Decoder, Prefill, PrefillConfig, TokenGroup
from videoxl2_model.testing import tiny_config, tiny_tensors
from videoxl2_model.weights import empty_model, fill

AIM_TIME, AIM_MEMORY, LIMIT_FLAT = 2.5, 10.0, 1.10
SIZES: dict[str, dict[str, int]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "medium": {
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
}
SYSTEM = list(range(14))
TIME_ROWS, TOKENS = 9, 144
CONFIG = PrefillConfig(block_groups=4, lookback_blocks=3)


def random_decoder(size: str) -> Decoder:
    config = tiny_config(**SIZES[size], max_position_embeddings=1 << 19)
    model = empty_model(config)
    fill(model, tiny_tensors(config), Path("random weights"))
    return Decoder(model.eval(), steps="model")


def groups(decoder: Decoder, count: int) -> Iterator[TokenGroup]:
    """Yield groups of a timestamp and 144 rows, one at a time."""
    random = torch.Generator().manual_seed(0)
    for _ in range(count):
        ids = torch.randint(0, 256, (TIME_ROWS,), generator=random).tolist()
        rows = torch.randn(TOKENS, decoder.hidden_size, generator=random)
        yield TokenGroup(tuple(ids), rows=rows)


def chunked(decoder: Decoder, count: int, *, states: bool = False) -> tuple[int, Tensor | None]:
    """Prefill block by block; return the KV's bytes, and all last states if asked for."""
    seen: list[Tensor] = []
    observe = (lambda _, rows: seen.append(rows)) if states else None
    run = Prefill(decoder, SYSTEM, CONFIG, observe=observe)
    for group in groups(decoder, count):
        run.add(group)
    run.flush()
    return run.kv.nbytes, torch.cat(seen) if states else None


@torch.no_grad()
def dense(decoder: Decoder, count: int, *, states: bool = False) -> tuple[int, Tensor | None]:
    """Run the whole prompt at once under a mask; the same result and what is kept of it."""
    rows = [decoder.embed(SYSTEM)]
    for group in groups(decoder, count):
        rows += [decoder.embed(group.time_ids), group.rows]
    whole = torch.cat(rows)
    del rows
    mask = torch.zeros(len(whole), len(whole)).masked_fill_(~visible(count), float("-inf"))
    out = decoder.model.model(
        inputs_embeds=whole[None], attention_mask=mask[None, None], use_cache=True
    )
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in out.past_key_values.layers)
    return kept, out.last_hidden_state[0] if states else None


def visible(count: int) -> Tensor:
    """Return the pairs that may see each other, [L, L]."""
    per_group = TIME_ROWS + TOKENS
    row = torch.arange(count * per_group)
    block = torch.cat((torch.full((len(SYSTEM),), -1), row // per_group // CONFIG.block_groups))
    everywhere = torch.cat((torch.ones(len(SYSTEM)), (row % per_group < TIME_ROWS).float())) > 0
    behind = (block[:, None] - block[None, :]).to(torch.int16)
    lookback = CONFIG.lookback_blocks
    assert lookback is not None
    near = (behind >= 0) & (behind <= lookback)
    return (near | everywhere[:, None] | everywhere[None, :]).tril_()


WAYS = {"chunked": chunked, "dense": dense}


def measure(way: str, size: str, count: int, repeats: int) -> dict[str, Any]:
    """Measure in this process: median time, and peak memory less what was there before."""
    torch.set_num_threads(1)
    decoder = random_decoder(size)
    run = WAYS[way]
    run(decoder, 2)
    release_memory()
    before = tree_rss_bytes()
    with PeakMemory(step_s=0.002) as memory:
        times = []
        for _ in range(repeats):
            with timed() as elapsed:
                kv_bytes, _ = run(decoder, count)
            times.append(elapsed.cpu_s)
    return {
        "groups": count,
        "tokens": len(SYSTEM) + count * (TIME_ROWS + TOKENS),
        "work_s": sorted(times)[repeats // 2],
        "kv_bytes": kv_bytes,
        "peak_bytes": memory.peak_bytes,
        "extra_bytes": memory.peak_bytes - before - kv_bytes,
    }


def measured(way: str, size: str, count: int, repeats: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    words = [sys.executable, __file__, "--alone", way, size, str(count), str(repeats)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {size}, {way}, {figures['tokens']} tokens: {figures['work_s']:.2f} s", flush=True)
    return figures


def largest_difference(size: str, count: int) -> float:
    """Return how far the last states of both ways are from each other."""
    decoder = random_decoder(size)
    states = [way(decoder, count, states=True)[1] for way in WAYS.values()]
    assert states[0] is not None
    return float((states[0] - states[1]).abs().max())


def compare(size: str, count: int, repeats: int) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure both ways, and the chunked one at four times the length."""
    ours = measured("chunked", size, count, repeats)
    theirs = measured("dense", size, count, repeats)
    long = measured("chunked", size, 4 * count, 1)
    megabytes = {
        name: each["extra_bytes"] / 1e6
        for name, each in (("ours", ours), ("theirs", theirs), ("long", long))
    }
    ratios = [
        Ratio(f"time, dense over chunked, {size}", theirs["work_s"], ours["work_s"], "s", AIM_TIME),
        Ratio(
            f"memory beyond the KV, dense over chunked, {size}",
            megabytes["theirs"],
            megabytes["ours"],
            "MB",
            AIM_MEMORY,
        ),
    ]
    if size != "tiny":  # whose few megabytes are as much as the allocator's own comings and goings
        name = f"memory beyond the KV at four times the length, {size}"
        flat = (megabytes["long"], megabytes["ours"], "MB")
        ratios.append(Ratio(name, *flat, limit=LIMIT_FLAT))
    figures = {"chunked": ours, "dense": theirs, "chunked at 4x": long}
    return {**figures, "largest_difference": largest_difference(size, count)}, ratios


def long_video(short: int, long: int) -> tuple[dict[str, Any], Ratio]:
    """Hold the peak memory less the KV of a long video against that of a short one."""
    figures = {str(4 * count): measured("chunked", "tiny", count, 1) for count in (short, long)}
    rest = [(each["peak_bytes"] - each["kv_bytes"]) / 1e6 for each in figures.values()]
    name = f"peak memory less the KV, {4 * long} frames over {4 * short}"
    return figures, Ratio(name, rest[1], rest[0], "MB", limit=LIMIT_FLAT)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="few tokens; writes no results")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        way, size, count, repeats = args.alone
        print(json.dumps(measure(way, size, int(count), int(repeats))))
        return 0
    count, repeats, lengths = (5, 1, (8, 16)) if args.tiny else (48, 3, (625, 2500))
    figures: dict[str, Mapping[str, Any]] = {}
    ratios: list[Ratio] = []
    for size in ("tiny",) if args.tiny else SIZES:
        figures[size], found = compare(size, count, repeats)
        print(f"  largest difference of the last states: {figures[size]['largest_difference']:.1e}")
        ratios += [show(ratio) for ratio in found]
    figures["long"], flat = long_video(*lengths)
    ratios.append(show(flat))
    if args.out or not args.tiny:
        where = args.out or RESULTS
        print(write_results("prefill", figures, tuple(ratios), where))
    return 0


if __name__ == "__main__":
    sys.exit(main())
