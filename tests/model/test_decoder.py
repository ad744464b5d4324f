"""The forward and single-row steps, against the plain way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from videoxl2_model import DecodeCache, Decoder, decode_cache
from videoxl2_model.errors import SettingError
from videoxl2_model.quant import pack
from videoxl2_model.steps import quantised
from videoxl2_model.testing import tiny_decoder


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(ids=st.lists(st.integers(0, 255), min_size=1, max_size=30), tile=st.integers(1, 12))
def test_text_in_pieces_equals_text_at_once(decoder, twin, ids, tile):
    wanted = twin.logits(ids)
    cut = len(ids) // 2
    cache = DecodeCache.empty(decoder.spec, len(ids))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_cache, "TILE_ROWS", {"cpu": tile})
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


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_packed_layers_run_as_their_weights_turned_back(tmp_path, kind):
    packed, whole = (tiny_decoder(tmp_path / kind, tie_word_embeddings=False) for _ in range(2))
    for ours, theirs in zip(packed.model.model.layers, whole.model.model.layers, strict=True):
        for block, name in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down"))):
            for each in name:
                part = f"{each}_proj"
                linear = getattr(getattr(ours, block), part)
                small = pack(linear.weight.detach(), linear.bias, kind)
                setattr(getattr(ours, block), part, small)
                getattr(getattr(theirs, block), part).weight.data = small.weight
    ids, results = [5, 99, 17], []
    for decoder in (Decoder(packed.model, "model"), whole, Decoder(packed.model, "int8")):
        cache = DecodeCache.empty(decoder.spec, 8)
        results.append((decoder.extend(cache, ids), decoder.step(cache, 40)))
    assert_close(results[0], results[1], atol=1e-4, rtol=0.0)
    assert_close(results[2][0], results[1][0], atol=1e-4, rtol=0.0)
    # Rounded once more, for single rows.
    error = (results[2][1] - results[1][1]).square().mean().sqrt()
    assert error < 0.06 * results[1][1].std()


def test_device_and_type_are_the_layers_not_the_embeddings(decoder):
    class Apart(Decoder):
        """Layers on another device than the embedding table."""

        _norm = torch.empty(1, dtype=torch.float16, device="meta")

    apart = Apart(decoder.model, "model")
    assert (apart.device.type, apart.dtype) == ("meta", torch.float16)
    assert apart.embed([1, 2]).device.type == "meta"


def test_8_bit_steps_off_a_cpu_are_refused_at_once(decoder):
    class Elsewhere(Decoder):
        _norm = torch.empty(1, dtype=torch.float32, device="meta")

    with pytest.raises(SettingError, match=r'not on meta; take "model" or "bfloat16"$'):
        Elsewhere(decoder.model, "int8")
    assert Elsewhere(decoder.model).steps == "model"


@pytest.mark.parametrize(("room", "capacity"), [(1, 8), (8, 8), (9, 16)])
def test_room_for_text_alone_splits_evenly_on_a_gpu(decoder, monkeypatch, room, capacity):
    monkeypatch.setitem(decode_cache.ROOM_MULTIPLE, "meta", 8)
    assert DecodeCache.empty(decoder.spec, room, device="meta").capacity == capacity
    assert DecodeCache.empty(decoder.spec, room).capacity == room


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
