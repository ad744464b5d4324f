"""Packed weights stay near the weights, and a product with them equals one with their twin."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from videoxl2_model import quant
from videoxl2_model.errors import SettingError
from videoxl2_model.quant import PackedLinear, pack, packed_nbytes

KINDS = pytest.mark.parametrize("kind", ["int8", "int4"])
SHAPES = {"out": st.integers(1, 9), "inputs": st.integers(1, 150), "seed": st.integers(0, 99)}


def drawn(out, inputs, seed=0):
    """Weights of very different sizes from channel to channel."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, inputs, generator=random)
    return weight * torch.rand(out, 1, generator=random).pow(4)


@given(**SHAPES)
def test_int8_is_within_half_a_step_of_its_channel(out, inputs, seed):
    weight = drawn(out, inputs, seed)
    step = weight.abs().amax(1, keepdim=True) / 127
    error = (pack(weight, None, "int8").weight - weight).abs()
    assert (error <= step * 0.501).all()


@given(**SHAPES)
def test_int4_is_within_half_a_step_of_its_run(out, inputs, seed):
    weight = drawn(out, inputs, seed)
    back = pack(weight, None, "int4").weight
    for start in range(0, inputs, quant.RUN):
        run, got = (each[:, start : start + quant.RUN] for each in (weight, back))
        low, high = run.amin(1, keepdim=True), run.amax(1, keepdim=True)
        # Scale and low are kept in bfloat16: 2 ** -9 of their size each.
        room = (high - low) / 15 / 2 + (low.abs() + high - low) * 2**-8
        assert ((got - run).abs() <= room).all()


@KINDS
def test_equals_values_turned_back_one_by_one(kind):
    weight = drawn(3, 70)
    layer = pack(weight, None, kind)
    for row in range(3):
        for column in range(70):
            scale, value = layer.scale[row, 0], layer.packed[row].flatten()[0]
            if kind == "int8":
                wanted = layer.packed[row, column].item() * scale.item()
            else:
                run, place = divmod(column, 64)
                byte = layer.packed[row, run, place % 32].item()
                value = byte % 16 if place < 32 else byte // 16
                scale, low = layer.scale[row, run].item(), layer.low[row, run].item()
                wanted = value * scale + low
            assert layer.weight[row, column].item() == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("values", [1, 200, 1 << 22])
@pytest.mark.parametrize("biased", [True, False])
def test_a_product_equals_that_with_the_twin(kind, dtype, values, biased, monkeypatch):
    monkeypatch.setattr(quant, "SLICE_VALUES", values)
    bias = drawn(1, 11)[0] if biased else None
    layer = pack(drawn(11, 70), bias, kind)
    x = drawn(10, 70).view(2, 5, 70).to(dtype)
    got = layer(x)
    assert (got.dtype, got.shape) == (dtype, (2, 5, 11))
    wanted = F.linear(x.float(), layer.weight, bias)
    near = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}[dtype]
    assert_close(got.float(), wanted, atol=near, rtol=near)


@KINDS
def test_packing_in_slices_changes_nothing(kind, monkeypatch):
    weight = drawn(11, 70)
    whole = pack(weight, None, kind).state_dict()
    monkeypatch.setattr(quant, "SLICE_VALUES", 150)  # two rows
    assert_close(pack(weight, None, kind).state_dict(), whole, rtol=0.0, atol=0.0)


@KINDS
def test_saves_and_loads(kind):
    layer = pack(drawn(11, 70), drawn(1, 11)[0], kind)
    again = PackedLinear(70, 11, kind, bias=torch.empty(11))
    again.load_state_dict(layer.state_dict())
    x = drawn(3, 70)
    assert_close(again(x), layer(x), rtol=0.0, atol=0.0)
    assert not list(layer.parameters())


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.5), ("int4", 0.25 + 4 / 64 / 2)])
def test_takes_its_share_of_16_bit(kind, share):
    layer = pack(torch.zeros(64, 1024), None, kind)
    assert layer.nbytes == packed_nbytes(1024, 64, kind)
    assert layer.nbytes == pytest.approx(64 * 1024 * 2 * share, rel=0.005)
    assert (layer.weight == 0).all()


def test_what_cannot_be_packed_is_said():
    with pytest.raises(SettingError, match="int8 or int4"):
        pack(torch.zeros(2, 2), None, "model")
    for kind in ("int8", "int4"):
        for value in (float("nan"), float("inf")):
            with pytest.raises(SettingError, match="not finite"):
                pack(torch.tensor([[1.0, value]]), None, kind)
