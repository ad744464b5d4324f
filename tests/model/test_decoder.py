"""Attention in pieces, the forward, and single-row steps, against the plain way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from videoxl2_model import DecodeCache, Decoder, attention, decode_cache
from videoxl2_model.attention import attend, attend_one, merge
from videoxl2_model.errors import SettingError
from videoxl2_model.steps import quantised

EXACT = {"atol": 1e-5, "rtol": 0.0}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(query, key, value, allowed):
    """Softmax over a whole matrix of scores; keys repeated for the query heads they serve."""
    times = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(times, 0), value.repeat_interleave(times, 0)
    scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
    return scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value


@pytest.mark.parametrize("kernel", [attention._flash, attention._plain])
@given(
    rows=st.integers(1, 9),
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    heads=st.sampled_from([(2, 2), (4, 2), (6, 1)]),
)
def test_pieces_merge_to_the_whole(kernel, rows, cuts, heads):
    before = sum(cuts)
    query = drawn(heads[0], rows, 8) * 3
    key, value = (
        drawn(heads[1], before + rows, 8, seed=1),
        drawn(heads[1], before + rows, 8, seed=2),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_flash", kernel)
        state = attend(query, key[:, before:], value[:, before:], causal=True)
        start = 0
        for cut in cuts:
            piece = slice(start, start + cut)
            state = merge(state, attend(query, key[:, piece], value[:, piece]))
            start += cut
    allowed = torch.ones(rows, before + rows).tril(before) > 0
    assert_close(state.out, plain(query, key, value, allowed), **EXACT)


@given(keys=st.integers(1, 40), heads=st.sampled_from([(2, 2), (4, 2), (7, 1)]))
def test_one_row_with_folded_heads_equals_repeated_keys(keys, heads):
    query = drawn(heads[0], 1, 8)
    key, value = drawn(heads[1], keys, 8, seed=1), drawn(heads[1], keys, 8, seed=2)
    allowed = torch.ones(1, keys) > 0
    assert_close(attend_one(query, key, value), plain(query, key, value, allowed), **EXACT)


@given(ids=st.lists(st.integers(0, 255), min_size=1, max_size=30), tile=st.integers(1, 12))
def test_text_in_pieces_equals_text_at_once(decoder, twin, ids, tile):
    wanted = twin.logits(ids)
    cut = len(ids) // 2
    cache = DecodeCache.empty(decoder.spec, len(ids))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_cache, "TILE_ROWS", tile)
        for part in (ids[:cut], ids[cut:]):
            if part:
                logits = decoder.extend(cache, part)
    assert_close(logits, wanted[-1], atol=1e-4, rtol=0.0)


def test_a_step_equals_computing_everything_again(decoder, twin):
    ids = list(range(40, 52))
    cache = DecodeCache.empty(decoder.spec, 40)
    decoder.extend(cache, ids)
    for token in (3, 77, 200, 3):
        ids.append(token)
        assert_close(decoder.step(cache, token), twin.logits(ids)[-1], atol=1e-4, rtol=0.0)
        assert cache.length == len(ids)


@pytest.mark.parametrize(("kind", "share"), [("bfloat16", 0.03), ("int8", 0.06)])
def test_narrow_step_weights_stay_near(decoder, kind, share):
    narrow = Decoder(decoder.model, steps=kind)
    caches = [DecodeCache.empty(decoder.spec, 40) for _ in range(2)]
    for token in range(30, 60):
        wanted, got = decoder.step(caches[0], token), narrow.step(caches[1], token)
        # Rounded to 8 bits of mantissa, and to 8 bits of each row's largest weight.
        assert (got - wanted).square().mean().sqrt() < share * wanted.std()


def test_automatic_step_weights(decoder):
    assert Decoder(decoder.model).steps == "int8"
    assert Decoder(decoder.model, steps="model").steps == "model"


@given(rows=st.integers(1, 700), seed=st.integers(0, 99))
def test_eight_bits_lose_at_most_half_a_step(rows, seed):
    weight = drawn(rows, 5, seed=seed) * torch.logspace(-6, 3, rows)[:, None]
    packed, scale = quantised(weight)
    step = scale.float()[:, None]
    # Clamping may cost the rounding of the scale to bfloat16, 2^-8 of the largest weight.
    assert ((packed * step - weight).abs() <= step * (0.5 + 127 * 2**-8) * 1.001).all()
    assert (packed.abs().amax(1) >= 126).all()


class Largest(TorchDispatchMode):
    """The most elements that any tensor had."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, torch.Tensor):
                self.numel = max(self.numel, each.numel())
        return out


def test_only_the_last_position_gets_logits(decoder):
    ids = [5] * 300
    cache = DecodeCache.empty(decoder.spec, 300)
    with Largest() as largest:
        decoder.extend(cache, ids)
    assert largest.numel < 300 * int(decoder.config.vocab_size)
    assert largest.numel < 300 * 300


@pytest.mark.parametrize("ids", [[], [260], [-1]])
def test_ids_that_cannot_be_run_are_refused(decoder, ids):
    with pytest.raises(SettingError):
        decoder.extend(DecodeCache.empty(decoder.spec, 4), ids)
