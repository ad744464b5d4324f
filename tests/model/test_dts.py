"""DTS, held against its rules in words: loops over groups, times, positions and pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from videoxl2_model.dts import DTS, attend_fused, attend_stored
from videoxl2_model.errors import SettingError

WIDTH = 64


def drawn(width: int = WIDTH, seed: int = 0) -> DTS:
    """A DTS with sharp attention and large relative terms, so that no mistake is small."""
    dts, random = DTS(width).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, each in dts.named_parameters():
            each.normal_(generator=random)
            each.mul_(1.5 / each[0].numel() ** 0.5 if each.ndim > 2 else 0.4)
            each.add_(1.0 if name.endswith("norm.weight") else 0.0)
    return dts


def groups_of(shape: tuple[int, ...], seed: int = 0, width: int = WIDTH) -> Tensor:
    count, height, breadth = shape
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, 4, height, breadth, generator=random)


def rule_norm(x: Tensor, part: dict[str, Tensor]) -> Tensor:
    """32 groups of the first axis, each over everything it has. x: [C, ...]"""
    grouped = x.reshape(32, -1)
    centred = grouped - grouped.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    shape = (-1, *[1] * (x.ndim - 1))
    return normed.reshape(x.shape) * part["norm.weight"].view(shape) + part["norm.bias"].view(shape)


def rule_linear(x: Tensor, part: dict[str, Tensor], name: str) -> Tensor:
    """[N, C] -> [N, out]"""
    return x @ part[f"{name}.weight"].flatten(1).T + part[f"{name}.bias"]


def rule_spatial(x: Tensor, part: dict[str, Tensor]) -> Tensor:
    """x: one group, [C, T, h, w]"""
    out, normed = x.clone(), rule_norm(x, part)
    for time in range(x.shape[1]):
        tokens = normed[:, time].flatten(1).T
        query, key, value = (rule_linear(tokens, part, name) for name in "qkv")
        weights = (query @ key.T * x.shape[0] ** -0.5).softmax(1)
        out[:, time] += rule_linear(weights @ value, part, "proj_out").T.view(x[:, 0].shape)
    return out


def rule_temporal(x: Tensor, part: dict[str, Tensor]) -> Tensor:
    """x: one group, [C, T, h, w]"""
    keys, values = (part[f"relative_position_{name}.embeddings_table"] for name in "kv")
    width, times, height, breadth = x.shape
    scale, out = width**-0.25, x.clone()
    for row, column in torch.cartesian_prod(torch.arange(height), torch.arange(breadth)).tolist():
        pixel = rule_norm(x[:, :, row, column], part).T  # [T, C]
        query, key, value = rule_linear(pixel, part, "qkv").split(width, 1)
        logits = torch.zeros(times, times)
        for i in range(times):
            for j in range(times):
                turned = scale * query[j] @ keys[i - j + 64]
                logits[i, j] = (scale * query[i]) @ (scale * key[j]) + turned
        weights = logits.softmax(1)
        seen = torch.stack(
            [
                sum(weights[i, j] * (value[j] + values[j - i + 64]) for j in range(times))
                for i in range(times)
            ]
        )
        out[:, :, row, column] += rule_linear(seen, part, "proj_out").T
    return out


def rule_halve(x: Tensor, part: dict[str, Tensor]) -> Tensor:
    """x: one group, [C, T, h, w]; what lies outside is the nearest inside, or earlier, entry."""
    kernel, (_, times, height, breadth) = part["conv.weight"], x.shape
    rows = [max(0, min(height - 1, row)) for row in range(-1, height + 1)]
    columns = [max(0, min(breadth - 1, column)) for column in range(-1, breadth + 1)]
    halves = []
    for time in range(0, times, 2):
        seen = x[:, [max(0, time - 1), time, time + 1]][:, :, rows][:, :, :, columns]
        total = part["conv.bias"].view(-1, 1, 1).expand(-1, height, breadth)
        for t in range(3):
            for dy in range(3):
                for dx in range(3):
                    window = seen[:, t, dy : dy + height, dx : dx + breadth]
                    total = total + torch.einsum("oc,chw->ohw", kernel[:, :, t, dy, dx], window)
        halves.append(total)
    return torch.stack(halves, 1)


def rule_dts(weights: dict[str, Tensor], groups: Tensor) -> list[Tensor]:
    """Return the result after each of the six blocks, [G, C, t, h, w]."""
    x = list(groups + weights["temporal_encoding"].T[:, :, None, None])
    results, rules = [], (rule_spatial, rule_temporal, rule_halve) * 2
    for index, rule in enumerate(rules):
        prefix = f"encoder.{index}."
        part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        x = [rule(each, part) for each in x]
        results.append(torch.stack(x))
    return results


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=20)
def test_every_block_does_what_its_rule_says(shape, seed):
    dts, groups, blocks = drawn(seed=seed), groups_of(shape, seed), {}
    result = dts(groups, lambda index, value: blocks.update({index: value.clone()}))
    rules = rule_dts(dict(dts.named_parameters()), groups)
    assert list(blocks) == list(range(6))
    for index, rule in enumerate(rules):
        torch.testing.assert_close(blocks[index], rule, rtol=1e-4, atol=1e-4)
    assert torch.equal(result, blocks[5][:, :, 0])


def test_groups_do_not_see_each_other():
    dts, groups = drawn(), groups_of((3, 3, 3))
    apart = torch.cat([dts(each[None]) for each in groups])
    torch.testing.assert_close(dts(groups), apart, rtol=1e-4, atol=1e-4)


def test_the_attention_of_gpus_is_the_attention_of_cpus():
    query, key, value = torch.randn(3, 4, 9, WIDTH, generator=torch.Generator().manual_seed(1))
    stored = attend_stored(query, key, value)
    torch.testing.assert_close(stored, attend_fused(query, key, value), rtol=1e-5, atol=1e-5)


def test_laying_out_a_weight_changes_no_value_and_happens_once():
    dts, groups = drawn(), groups_of((1, 3, 3))
    before = {key: value.clone() for key, value in dts.state_dict().items()}
    dts(groups)
    laid = [block.conv.weight for block in (dts.encoder[2], dts.encoder[5])]
    dts(groups)
    assert all(
        each is block.conv.weight
        for each, block in zip(laid, (dts.encoder[2], dts.encoder[5]), strict=True)
    )
    after = dts.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_come_near_float32_and_stay_in_their_type(dtype):
    groups = groups_of((1, 4, 4))
    exact, rough = drawn()(groups), drawn().to(dtype)(groups.to(dtype))
    assert rough.dtype == dtype
    assert float((rough.float() - exact).square().mean() / exact.square().mean()) < 1e-3


@pytest.mark.parametrize(
    "groups",
    [
        torch.zeros(1, WIDTH, 3, 2, 2),
        torch.zeros(1, 32, 4, 2, 2),
        torch.zeros(WIDTH, 4, 2, 2),
        torch.zeros(1, WIDTH, 4, 2, 2, dtype=torch.float64),
    ],
)
def test_other_shapes_and_types_are_refused(groups):
    with pytest.raises(SettingError, match="groups of"):
        DTS(WIDTH)(groups)


def test_a_width_without_32_groups_is_refused():
    with pytest.raises(SettingError, match="48 does not divide"):
        DTS(48)
