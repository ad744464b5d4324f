"""Attention in pieces against a whole matrix of scores; which kernel computes it, and when."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import attention
from videoxl2_model.attention import (
    attend,
    attend_one,
    efficient,
    flash,
    flash_cpu,
    kernel_for,
    merge,
    plain,
    works,
)

EXACT = {"atol": 1e-5, "rtol": 0.0}
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive(query, key, value, allowed):
    """Softmax over a whole matrix of scores; keys repeated for the query heads they serve."""
    times = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(times, 0), value.repeat_interleave(times, 0)
    scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
    return scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value


@pytest.mark.parametrize("kernel", [flash_cpu, plain])
@given(
    rows=st.integers(1, 9),
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    heads=st.sampled_from([(2, 2), (4, 2), (6, 1)]),
    scores=st.sampled_from([1, 20, 1 << 24]),
)
def test_pieces_merge_to_the_whole(kernel, rows, cuts, heads, scores):
    before = sum(cuts)
    query = drawn(heads[0], rows, 8) * 3
    key, value = (drawn(heads[1], before + rows, 8, seed=seed) for seed in (1, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "kernel_for", lambda *_: kernel)
        patch.setattr(attention, "PLAIN_SCORES", scores)
        state = attend(query, key[:, before:], value[:, before:], causal=True)
        start = 0
        for cut in cuts:
            piece = slice(start, start + cut)
            state = merge(state, attend(query, key[:, piece], value[:, piece]))
            start += cut
    allowed = torch.ones(rows, before + rows).tril(before) > 0
    assert_close(state.out, naive(query, key, value, allowed), **EXACT)


@given(keys=st.integers(1, 40), heads=st.sampled_from([(2, 2), (4, 2), (7, 1)]))
def test_one_row_with_folded_heads_equals_repeated_keys(keys, heads):
    query = drawn(heads[0], 1, 8)
    key, value = drawn(heads[1], keys, 8, seed=1), drawn(heads[1], keys, 8, seed=2)
    allowed = torch.ones(1, keys) > 0
    assert_close(attend_one(query, key, value), naive(query, key, value, allowed), **EXACT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_stay_near_on_a_cpu(dtype):
    query, key, value = drawn(4, 5, 8), drawn(2, 30, 8, seed=1), drawn(2, 30, 8, seed=2)
    wanted = naive(query, key, value, torch.ones(5, 30) > 0)
    narrow = (x.to(dtype) for x in (query, key, value))
    assert_close(attend(*narrow).out.float(), wanted, atol=0.03, rtol=0.0)


def test_scores_of_the_plain_kernel_stay_bounded(monkeypatch):
    sizes = []
    whole = attention._plain

    def watched(query, key, *rest):
        sizes.append(query.shape[0] * query.shape[1] * key.shape[1])
        return whole(query, key, *rest)

    monkeypatch.setattr(attention, "_plain", watched)
    monkeypatch.setattr(attention, "PLAIN_SCORES", 1000)
    plain(drawn(2, 70, 8), drawn(2, 40, 8), drawn(2, 40, 8), False)
    assert sum(sizes) == 2 * 70 * 40
    assert max(sizes) <= 1000


def other_base(query, key, value, causal):
    out, log_weight = plain(query, key, value, causal)
    return out, log_weight / math.log(2)


def wrong_triangle(query, key, value, causal):
    return plain(query, key, value, False)


def absent(query, key, value, causal):
    raise NotImplementedError("not built for it")


@pytest.mark.parametrize("broken", [other_base, wrong_triangle, absent, flash, efficient])
def test_a_kernel_that_does_not_do_it_is_passed_over(monkeypatch, broken):
    assert not works(broken, CPU, torch.float32, 16)
    monkeypatch.setattr(attention, "candidates", lambda *_: (broken, flash_cpu))
    kernel_for.cache_clear()
    assert kernel_for(CPU, torch.float32, 16) is flash_cpu
    monkeypatch.setattr(attention, "candidates", lambda *_: (broken,))
    kernel_for.cache_clear()
    assert kernel_for(CPU, torch.float32, 16) is plain
    kernel_for.cache_clear()


def test_a_kernel_is_tried_once(monkeypatch):
    tried = []
    monkeypatch.setattr(attention, "works", lambda kernel, *_: tried.append(kernel) or True)
    kernel_for.cache_clear()
    for _ in range(3):
        attend(drawn(2, 3, 16), drawn(2, 5, 16), drawn(2, 5, 16))
    assert tried == [flash_cpu]
    kernel_for.cache_clear()


@pytest.mark.parametrize(
    ("device", "dtype", "wanted"),
    [
        ("cpu", torch.float32, (flash_cpu,)),
        ("cpu", torch.bfloat16, ()),
        ("cuda", torch.float32, (efficient,)),
        ("cuda", torch.float16, (flash, efficient)),
        ("cuda", torch.bfloat16, (flash, efficient)),
        ("mps", torch.float32, ()),
    ],
)
def test_kernels_by_device_and_type(device, dtype, wanted):
    assert attention.candidates(device, dtype) == wanted


@pytest.mark.parametrize("kernel", [flash, efficient])
@pytest.mark.parametrize(("rows", "causal"), [(5, False), (9, True)])
def test_cuda_operators_take_what_they_are_given(kernel, rows, causal):
    """Shapes alone, on the meta device: the operators' own checks of arguments."""
    make = {"dtype": torch.bfloat16, "device": "meta"}
    query, key = torch.empty(4, rows, 128, **make), torch.empty(2, 9, 128, **make)
    if not causal:
        query = torch.empty(2, 2 * rows, 128, **make)
    out, log_weight = kernel(query, key, torch.empty_like(key), causal)
    assert (out.shape, out.dtype) == (query.shape, torch.bfloat16)
    assert (log_weight.shape, log_weight.dtype) == (query.shape[:2], torch.float32)
