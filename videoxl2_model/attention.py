"""Exact attention in pieces: over some keys now, over others later, merged without loss.

Every piece carries the logarithm of its softmax denominator, so that pieces over disjoint keys
add up to the softmax over all of them. Knows tensors; knows no position, no cache.
"""

import logging
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from videoxl2_model.cuda import fused

logger = logging.getLogger(__name__)

# query [H_q, R, D], key and value [H_kv, K, D], causal -> out [H_q, R, D], log weights [H_q, R]
Kernel = Callable[[Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor]]

PLAIN_SCORES = 1 << 24  # elements of scores that the plain kernel holds at a time: 64 MiB
PROBE_HEADS, PROBE_ROWS, PROBE_KEYS = 4, 20, 70
PROBE_TOLERANCE = 0.05  # 16-bit rounding passes; another base of the logarithm does not


class Partial(NamedTuple):
    """Attention over some of the keys."""

    out: Tensor  # [H_q, R, D]
    log_weight: Tensor  # [H_q, R] float32: log of the sum of exponentials


def attend(query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False) -> Partial:
    """Return attention of query [H_q, R, D] over key and value [H_kv, K, D].

    With `causal` (R equals K) row i sees keys 0..i; without, all rows see all keys. Each
    key head serves H_q / H_kv consecutive query heads. Scale D^-1/2, softmax in float32.
    """
    heads, rows, dim = query.shape
    kernel = kernel_for(query.device, query.dtype, dim)
    if not causal:  # all rows see the same: the heads of a key head become its rows
        query = query.reshape(key.shape[0], -1, dim)
    out, log_weight = kernel(query, key, value, causal)
    return Partial(out.reshape(heads, rows, dim), log_weight.reshape(heads, rows))


@lru_cache
def kernel_for(device: torch.device, dtype: torch.dtype, head_dim: int) -> Kernel:
    """Return the first kernel that computes what it should here; found out once by trying."""
    for kernel in candidates(device.type, dtype):
        if works(kernel, device, dtype, head_dim):
            logger.debug("attention on %s in %s: %s", device, dtype, kernel.__name__)
            return kernel
    return plain


def candidates(device_type: str, dtype: torch.dtype) -> Sequence[Kernel]:
    """Return the kernels that also give log weights, best first; none holds R x K scores."""
    if device_type == "cuda":
        return (efficient,) if dtype == torch.float32 else (flash, efficient)
    # In 16 bits the CPU's kernel is no faster than the products alone.
    return (flash_cpu,) if device_type == "cpu" and dtype == torch.float32 else ()


def works(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """True where a kernel exists and agrees with the plain one on a small example."""
    random = torch.Generator().manual_seed(0)

    def drawn(heads: int, rows: int) -> Tensor:
        return torch.randn(heads, rows, head_dim, generator=random).to(device, dtype)

    query, own = drawn(PROBE_HEADS, PROBE_ROWS), drawn(PROBE_HEADS // 2, PROBE_ROWS)
    folded, other = query.view(PROBE_HEADS // 2, -1, head_dim), drawn(PROBE_HEADS // 2, PROBE_KEYS)
    try:
        for example in ((query, own, own, True), (folded, other, other, False)):
            for got, wanted in zip(kernel(*example), plain(*example), strict=True):
                if not torch.allclose(got, wanted, atol=PROBE_TOLERANCE, rtol=0.0):
                    return False
    except (RuntimeError, AttributeError) as error:  # not built for it, or no such operator
        logger.debug("%s on %s: %s", kernel.__name__, device, error)
        return False
    return True


def flash(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """FlashAttention on CUDA, 16 bits; splits the keys itself where rows are few."""
    key, value = _repeated(query, key, value)
    both = torch.ops.aten._scaled_dot_product_flash_attention(
        query[None], key[None], value[None], 0.0, causal, False
    )
    return both[0][0], both[1][0]


def efficient(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """The memory-efficient kernel on CUDA, any type; its log weights are padded to runs of 32."""
    key, value = _repeated(query, key, value)
    both = torch.ops.aten._scaled_dot_product_efficient_attention(
        query[None], key[None], value[None], None, True, 0.0, causal
    )
    return both[0][0], both[1][0, :, : query.shape[1]]


def flash_cpu(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """The one built-in kernel for CPUs that also returns the log weights."""
    key, value = _repeated(query, key, value)
    out, log_weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query[None], key[None], value[None], 0.0, causal
    )
    return out[0], log_weight[0]


def plain(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """Products and a softmax, some rows at a time so that the scores stay bounded."""
    key, value = _repeated(query, key, value)
    rows = max(1, PLAIN_SCORES // (query.shape[0] * key.shape[1]))
    starts = range(0, query.shape[1], rows)
    parts = [
        _plain(query[:, start : start + rows], key, value, start if causal else None)
        for start in starts
    ]
    if len(parts) == 1:
        return parts[0]
    return torch.cat([out for out, _ in parts], 1), torch.cat([log for _, log in parts], 1)


def _plain(query: Tensor, key: Tensor, value: Tensor, first: int | None) -> tuple[Tensor, Tensor]:
    """With `first` the rows stand at first, first + 1, ... and see no key after their own."""
    scores = (query @ key.transpose(-1, -2)).float() / math.sqrt(query.shape[-1])
    if first is not None:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill_(ahead.triu_(first + 1), -math.inf)
    log_weight = scores.logsumexp(-1)
    weights = scores.sub_(log_weight[..., None]).exp_().to(value.dtype)
    return weights @ value, log_weight


def _repeated(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat key heads for the query heads they serve: a block's own keys, which are few."""
    times = query.shape[0] // key.shape[0]
    if times == 1:
        return key, value
    return key.repeat_interleave(times, dim=0), value.repeat_interleave(times, dim=0)


def merge(one: Partial, other: Partial) -> Partial:
    """Return the attention over the keys of both; the two sets of keys must be disjoint."""
    return Partial(*_merged(one.out, one.log_weight, other.out, other.log_weight))


@fused
def _merged(out: Tensor, log: Tensor, other_out: Tensor, other_log: Tensor) -> tuple[Tensor, ...]:
    log_weight = torch.logaddexp(log, other_log)
    share = (other_log - log_weight).exp()[..., None].to(out.dtype)
    return torch.lerp(out, other_out, share), log_weight


def attend_one(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return attention of a single row, query [H_q, 1, D], over all keys [H_kv, K, D].

    The query heads of a key head are folded into the query axis: 3 to 13 times faster on a CPU
    than repeating keys.
    """
    folded = query.reshape(1, key.shape[0], -1, query.shape[-1])
    out = F.scaled_dot_product_attention(folded, key[None], value[None])
    return out.reshape(query.shape)
