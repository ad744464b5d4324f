"""Exact attention in pieces: over some keys now, over others later, merged without loss.

Every piece carries the logarithm of its softmax denominator, so that pieces over disjoint keys
add up to the softmax over all of them. Knows tensors; knows no position, no cache.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


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
    kv_heads = key.shape[0]
    if causal:
        # A folded query axis would break the triangle; a block's own keys are few, so repeat.
        key = key.repeat_interleave(heads // kv_heads, dim=0)
        value = value.repeat_interleave(heads // kv_heads, dim=0)
    else:
        query = query.reshape(kv_heads, -1, dim)
    kernel = _flash if query.device.type == "cpu" and query.dtype == torch.float32 else _plain
    out, log_weight = kernel(query, key, value, causal)
    return Partial(out.reshape(heads, rows, dim), log_weight.reshape(heads, rows))


def _flash(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    # The one built-in kernel for CPUs that also returns the log weights: nothing of size R x K.
    out, log_weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query[None], key[None], value[None], 0.0, causal
    )
    return out[0], log_weight[0]


def _plain(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    scores = (query @ key.transpose(-1, -2)).float() / math.sqrt(query.shape[-1])
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu_(1)
        scores = scores.masked_fill_(ahead, -math.inf)
    log_weight = scores.logsumexp(-1)
    weights = scores.sub_(log_weight[..., None]).exp_().to(value.dtype)
    return weights @ value, log_weight


def merge(one: Partial, other: Partial) -> Partial:
    """Return the attention over the keys of both; the two sets of keys must be disjoint."""
    log_weight = torch.logaddexp(one.log_weight, other.log_weight)
    share = (other.log_weight - log_weight).exp()[..., None].to(one.out.dtype)
    return Partial(torch.lerp(one.out, other.out, share), log_weight)


def attend_one(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return attention of a single row, query [H_q, 1, D], over all keys [H_kv, K, D].

    The query heads of a key head are folded into the query axis: 3 to 13 times faster on a CPU
    than repeating keys.
    """
    folded = query.reshape(1, key.shape[0], -1, query.shape[-1])
    out = F.scaled_dot_product_attention(folded, key[None], value[None])
    return out.reshape(query.shape)
