"""The vision tower, held against its rules in words, head by head and patch by patch."""

import math

import pytest
import torch
from torch import Tensor

from videoxl2_model.config import VisionConfig
from videoxl2_model.errors import SettingError
from videoxl2_model.vision import VisionTower

CONFIG = VisionConfig(
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=4,
    num_attention_heads=3,
    image_size=30,  # 4 patches of 7 and 2 pixels that nothing reads
    patch_size=7,
)
ROOT = "vision_model."


@pytest.fixture(scope="module")
def tower() -> VisionTower:
    built, random = VisionTower(CONFIG).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, each in built.named_parameters():
            each.normal_(generator=random).mul_(0.3)
            each.add_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return built


def pixels(count: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 30, 30, generator=torch.Generator().manual_seed(seed))


def rule_embed(weights: dict[str, Tensor], frame: Tensor) -> Tensor:
    """[3, S, S] -> [P, C], row by row"""
    kernel = weights["embeddings.patch_embedding.weight"]
    bias = weights["embeddings.patch_embedding.bias"]
    places = weights["embeddings.position_embedding.weight"]
    rows = []
    for y in range(4):
        for x in range(4):
            patch = frame[:, 7 * y : 7 * y + 7, 7 * x : 7 * x + 7]
            rows.append((kernel * patch).sum((1, 2, 3)) + bias + places[len(rows)])
    return torch.stack(rows)


def rule_norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return normed * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def rule_linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def rule_layer(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """[P, C] -> [P, C]"""
    normed = rule_norm(x, weights, "layer_norm1")
    query, key, value = (rule_linear(normed, weights, f"self_attn.{n}_proj") for n in "qkv")
    heads = []
    for head in range(3):
        own = slice(8 * head, 8 * head + 8)
        heads.append((query[:, own] @ key[:, own].T * 8**-0.5).softmax(1) @ value[:, own])
    x = x + rule_linear(torch.cat(heads, 1), weights, "self_attn.out_proj")
    inner = rule_linear(rule_norm(x, weights, "layer_norm2"), weights, "mlp.fc1")
    cubic = inner + 0.044715 * inner**3
    inner = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubic))
    return x + rule_linear(inner, weights, "mlp.fc2")


def rule_tower(tower: VisionTower, frame: Tensor) -> Tensor:
    weights = {key.removeprefix(ROOT): each for key, each in tower.named_parameters()}
    x = rule_embed(weights, frame)
    for index in range(3):  # of the public tower's 4 layers
        prefix = f"encoder.layers.{index}."
        part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        x = rule_layer(x, part)
    return x


def test_the_embedding_is_a_product_per_patch_and_a_place(tower):
    weights = {key.removeprefix(ROOT): each for key, each in tower.named_parameters()}
    rule = torch.stack([rule_embed(weights, frame) for frame in pixels()])
    torch.testing.assert_close(tower.embed(pixels()), rule, rtol=1e-5, atol=1e-5)


def test_the_feature_is_the_stream_after_the_last_kept_layer(tower):
    rule = torch.stack([rule_tower(tower, frame) for frame in pixels()])
    torch.testing.assert_close(tower(pixels()), rule, rtol=1e-4, atol=1e-4)


def test_there_is_no_last_layer_no_norm_after_it_and_no_head(tower):
    keys = {key.removeprefix(ROOT) for key in tower.state_dict()}
    assert {key.split(".")[0] for key in keys} == {"embeddings", "encoder"}
    assert {key.split(".")[2] for key in keys if key.startswith("encoder")} == {"0", "1", "2"}


def test_pixels_beyond_the_last_patch_are_not_read(tower):
    changed = pixels()
    changed[:, :, 28:] = 9.0
    changed[:, :, :, 28:] = 9.0
    assert torch.equal(tower(changed), tower(pixels()))
    changed[:, :, 27] = 9.0
    assert not torch.equal(tower(changed), tower(pixels()))


def test_frames_do_not_see_each_other(tower):
    apart = torch.cat([tower(frame[None]) for frame in pixels(3)])
    torch.testing.assert_close(tower(pixels(3)), apart, rtol=1e-5, atol=1e-5)


def test_it_is_built_without_storage():
    with torch.device("meta"):
        tower = VisionTower(VisionConfig())
    assert sum(each.numel() for each in tower.parameters()) == 397_745_440
    assert tower(torch.empty(2, 3, 384, 384, device="meta")).shape == (2, 729, 1152)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(1, 3, 28, 30), "resize"),
        (torch.zeros(3, 30, 30), "resize"),
        (torch.zeros(1, 3, 30, 30, dtype=torch.uint8), "normalise"),
    ],
)
def test_other_shapes_and_types_are_refused(tower, given, said):
    with pytest.raises(SettingError, match=said):
        tower(given)
