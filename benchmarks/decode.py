"""How much faster is a decoding step with folded heads, a cache that never grows, and fewer keys?

The baseline of the first ratio keeps keys and values by concatenation and repeats them for the
query heads that they serve, layer by layer, with the same weights around it. The second sets a
bi-level cache against a dense one. Weights and keys are random; speed does not depend on them.
Times are CPU seconds of one thread, so that what else a shared machine does changes little.

    python benchmarks/decode.py             # 20,000 keys
    python benchmarks/decode.py --tiny      # the same in seconds, figures that mean nothing
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, Ratio, show, timed, write_results
from torch import Tensor
from torch.nn import functional as F

from videoxl2_model import Decoder, VideoKV
from videoxl2_model.config import SparseRule
from videoxl2_model.rotary import rotary
from videoxl2_model.testing import tiny_config, tiny_tensors
from videoxl2_model.weights import empty_model, fill

AIM_STEP = 5.0
TIME_ROWS, TOKENS = 9, 144
SHAPE = {  # heads of Qwen2.5-0.5B, fewer layers
    "hidden_size": 896,
    "intermediate_size": 2432,
    "num_hidden_layers": 6,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
}


def random_decoder() -> Decoder:
    config = tiny_config(**SHAPE)
    model = empty_model(config)
    fill(model, tiny_tensors(config), Path("random weights"))
    return Decoder(model.eval(), steps="model")


def random_video(decoder: Decoder, count: int) -> VideoKV:
    """Return the cache of a video whose keys and values are random."""
    random = torch.Generator().manual_seed(0)
    kv = VideoKV(decoder.spec, [])
    spec = decoder.spec
    for _ in range(count):
        row = kv.append(0, TIME_ROWS, TOKENS)
        shape = (spec.layers, 2, spec.kv_heads, TIME_ROWS + TOKENS, spec.head_dim)
        kv.pages.write_all(row, torch.randn(shape, generator=random))
    return kv


class Concatenated:
    """The plain way: keys and values grow by concatenation and are repeated for every step."""

    def __init__(self, rows: Tensor, length: int, decoder: Decoder) -> None:
        spec = decoder.spec
        self.length = length
        self._rotary = rotary(spec.head_dim, spec.rope_base)
        self._times = decoder.query_heads // spec.kv_heads
        self._keys = [layer[0, :, :length].clone() for layer in rows]
        self._values = [layer[1, :, :length].clone() for layer in rows]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.keep(layer, key, value)
        query = self._turned(query)
        keys = self._keys[layer].repeat_interleave(self._times, dim=0)
        values = self._values[layer].repeat_interleave(self._times, dim=0)
        return F.scaled_dot_product_attention(query[None], keys[None], values[None])[0]

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        self._keys[layer] = torch.cat((self._keys[layer], self._turned(key)), dim=1)
        self._values[layer] = torch.cat((self._values[layer], value), dim=1)

    def _turned(self, x: Tensor) -> Tensor:
        return self._rotary.rotate(x, range(self.length, self.length + 1))


def step_s(step: Callable[[int], Tensor], steps: int) -> float:
    """Return the median seconds of a step, after two that warm up."""
    times = []
    for index in range(steps + 2):
        with timed() as elapsed:
            step(index % 200)
        times.append(elapsed.cpu_s)
    return sorted(times[2:])[steps // 2]


def folded_against_repeated(
    decoder: Decoder, kv: VideoKV, steps: int
) -> tuple[dict[str, Any], Ratio]:
    chunks = range(kv.num_groups)
    cache = kv.assemble(chunks, chunk_groups=1, room=steps + 4)
    plain = Concatenated(cache.rows, cache.length, decoder)

    def plain_step(token: int) -> Tensor:
        logits = decoder.run_row(decoder.embed([token]), plain)
        plain.length += 1
        return logits

    far = float((plain_step(7) - decoder.step(cache, 7)).abs().max())
    theirs = step_s(plain_step, steps)
    ours = step_s(lambda token: decoder.step(cache, token), steps)
    ratio = Ratio("step, concatenated and repeated over folded", theirs, ours, "s", AIM_STEP)
    return {"keys": cache.length, "largest_difference": far}, ratio


def dense_against_bi_level(
    decoder: Decoder, kv: VideoKV, steps: int
) -> tuple[dict[str, Any], Ratio]:
    chunks = -(-kv.num_groups // 4)
    seconds, lengths = [], []
    for dense in (range(chunks), [chunks // 3, 2 * chunks // 3]):
        cache = kv.assemble(dense, chunk_groups=4, sparse=SparseRule(), room=steps + 4)
        lengths.append(cache.length)
        seconds.append(step_s(lambda token, cache=cache: decoder.step(cache, token), steps))
    figures = {"keys": lengths[0], "bi_level_keys": lengths[1]}
    return figures, Ratio("step, dense over bi-level", *seconds, "s")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="few keys; writes no results")
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    count, steps = (9, 2) if args.tiny else (131, 16)
    decoder = random_decoder()
    kv = random_video(decoder, count)
    folded, first = folded_against_repeated(decoder, kv, steps)
    mixed, second = dense_against_bi_level(decoder, kv, steps)
    ratios = (show(first), show(second))
    print(f"largest difference of the logits: {folded['largest_difference']:.1e}")
    if args.out or not args.tiny:
        figures = {"step": folded, "bi_level": mixed}
        print(write_results("decode", figures, ratios, args.out or RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
