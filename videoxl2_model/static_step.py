"""One row through a decoder at shapes and addresses that never change.

A CUDA graph can hold such a step: a hundred launches a layer become one. The position is a tensor
on the device; attention runs over the whole capacity of the cache and masks what lies beyond the
position. Keys are cut into splits, because one row's heads alone would keep few multiprocessors
busy ("flash decoding"). On a CPU the same step runs eagerly, which is how it is tested.
"""

import logging
import math
import weakref
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from videoxl2_model.cuda import fused
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.rotary import turn

logger = logging.getLogger(__name__)

SPLITS = 32
NOTHING = -1e30  # score of a key that is not there; finite, so that an empty split has no NaN
# Before recording: they load kernels. Recording waits for the device and gives its unused memory
# back, so that a graph is worth it for answers of more than some tokens only.
EAGER_STEPS = 8


class Attention(Protocol):
    """Where a forward's keys and values go, and what its queries see."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Keep un-rotated key and value [H_kv, R, D]; return attention [H_q, R, D]."""

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Keep key and value only: nobody reads this layer's output."""


Run = Callable[[Tensor, Attention], Tensor]  # row [1, hidden] -> logits [vocabulary]


class StaticStep:
    """Runs single rows over a cache; recorded as a CUDA graph once the cache is used for a while.

    A graph is kept for one cache's memory and made again for another's. Caches are not kept alive.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._bound: weakref.ref[DecodeCache] | None = None
        self._memory: tuple[int, torch.Size, torch.dtype] | None = None
        self._inputs: _Inputs | None = None
        self._replay: Callable[[], Tensor] | None = None
        self._steps = 0
        self._records = True

    def step(self, row: Tensor, cache: DecodeCache) -> Tensor:
        """Run row [1, hidden] at the cache's next position; return its logits, [vocabulary]."""
        inputs = self._bind(cache, row)
        inputs.place(cache, row)
        if self._replay is None and self._steps >= EAGER_STEPS:
            self._replay = self._record(cache, inputs)
        self._steps += 1
        if self._replay is None:
            return self._forward(cache, inputs)
        return self._replay().clone()  # the next replay writes over it

    def _bind(self, cache: DecodeCache, row: Tensor) -> "_Inputs":
        if self._bound is None or self._bound() is not cache:
            cache.clear_room()  # masked keys weigh nothing, but nothing times NaN is NaN
            self._bound = weakref.ref(cache)
        memory = (cache.rows.data_ptr(), cache.rows.shape, cache.rows.dtype)
        if self._inputs is None or memory != self._memory:
            self._replay, self._steps = None, 0
            self._memory, self._inputs = memory, _Inputs(cache, row)
        return self._inputs

    def _forward(self, cache: DecodeCache, inputs: "_Inputs") -> Tensor:
        return self._run(inputs.row, _SplitAttention(cache.rows, inputs))

    @staticmethod
    def _records_on(device: torch.device) -> bool:
        return device.type == "cuda"

    def _record(self, cache: DecodeCache, inputs: "_Inputs") -> Callable[[], Tensor] | None:
        if not self._records or not self._records_on(cache.rows.device):
            return None
        try:
            return recorded(lambda: self._forward(cache, inputs))
        except RuntimeError as error:
            self._records = False
            logger.warning("decoding runs without a CUDA graph: %s", error)
            return None


def recorded(forward: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Record a forward as a CUDA graph; return what replays it and gives its output."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    # Other threads may copy frames meanwhile; only this one's calls are recorded.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = forward()

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay


class _Inputs:
    """What changes from step to step, in tensors that stay where they are."""

    def __init__(self, cache: DecodeCache, row: Tensor) -> None:
        device, capacity = cache.rows.device, cache.capacity
        self.row = torch.empty_like(row)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.cos, self.sin = (torch.empty_like(each) for each in cache.turns())
        splits = math.gcd(capacity, SPLITS)
        self.columns = torch.arange(capacity, device=device).view(splits, 1, -1)

    def place(self, cache: DecodeCache, row: Tensor) -> None:
        """Set the row and its position; nothing here waits for the device."""
        cos, sin = cache.turns()
        self.row.copy_(row, non_blocking=True)
        self.position.fill_(cache.length)
        self.cos.copy_(cos)
        self.sin.copy_(sin)


class _SplitAttention:
    """Attention of one row over a whole cache, masked beyond the position."""

    def __init__(self, rows: Tensor, inputs: _Inputs) -> None:
        self._rows = rows
        self._inputs = inputs
        seen = inputs.columns <= inputs.position
        self._bias = torch.zeros_like(seen, dtype=torch.float32).masked_fill_(~seen, NOTHING)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.keep(layer, key, value)
        key, value = self._rows[layer]
        return split_attention(self._turned(query).to(key.dtype), key, value, self._bias)

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        both = torch.stack((self._turned(key), value)).to(self._rows.dtype)
        self._rows[layer].index_copy_(2, self._inputs.position, both)

    def _turned(self, x: Tensor) -> Tensor:
        return turn(x, self._inputs.cos, self._inputs.sin)


def split_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Return attention of one row, query [H_q, 1, D], over key and value [H_kv, K, D].

    `bias` [splits, 1, K / splits] is added to the scores. Softmax in float32, split by split.
    """
    heads, _, dim = key.shape
    splits = bias.shape[0]
    folded = query.reshape(heads, 1, -1, dim).expand(-1, splits, -1, -1).flatten(0, 1)
    key, value = (each.reshape(heads * splits, -1, dim) for each in (key, value))
    scores = _products(folded, key.transpose(1, 2))  # [H_kv * splits, H_q / H_kv, K / splits]
    scores = scores.view(heads, splits, *scores.shape[1:])
    weights, peak, total = _weighed(scores, bias, dim**-0.5, value.dtype)
    out = torch.bmm(weights.flatten(0, 1), value)
    whole = _joined(out.view(heads, splits, *out.shape[1:]), peak, total)
    return whole.reshape(query.shape).to(query.dtype)


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Return products in float32; the CPU has no such product of narrower numbers."""
    if one.device.type == "cpu" or one.dtype == torch.float32:
        return torch.bmm(one, other).float()
    return torch.bmm(one, other, out_dtype=torch.float32)


@fused
def _weighed(
    scores: Tensor, bias: Tensor, scale: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Exponentials below each split's peak, of `dtype`; that peak, and their sum in float32."""
    scores = scores * scale + bias
    peak = scores.amax(-1, keepdim=True)
    weights = (scores - peak).exp()
    return weights.to(dtype), peak, weights.sum(-1, keepdim=True)


@fused
def _joined(out: Tensor, peak: Tensor, total: Tensor) -> Tensor:
    """Add up the splits' sums of values [H_kv, splits, m, D] by how much they weigh."""
    share = (peak - peak.amax(1, keepdim=True)).exp()  # [H_kv, splits, m, 1]
    return (out.float() * share).sum(1) / (total * share).sum(1)
