"""The connector, held against its rules taken literally (the benchmark's baseline)."""

import json
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from videoxl2_model import connector as package
from videoxl2_model.connector import Connector, interpolate, to_groups
from videoxl2_model.errors import SettingError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import connector as benchmark  # benchmarks are scripts, found by the line above

TINY = benchmark.Size("test", width=64, hidden=48, frames=0)
MODEL = benchmark.drawn(TINY)


def features_of(frames: int, side: int = 6, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(frames, side * side, TINY.width, generator=random)


def compressed(features: Tensor) -> Tensor:
    return MODEL.sae(to_groups(interpolate(features)))


@given(frames=st.integers(1, 14), side=st.integers(1, 30), seed=st.integers(0, 2**31))
@settings(max_examples=15)
def test_rows_are_those_of_the_literal_rules(frames, side, seed):
    features = features_of(frames, side, seed)
    rows = MODEL(features)
    assert rows.shape == (-(-frames // 4), 144, TINY.hidden)
    torch.testing.assert_close(rows, benchmark.Literal(MODEL)(features), rtol=1e-4, atol=1e-4)


def test_interpolation_takes_two_neighbours_at_half_pixel_centres():
    features = features_of(2, side=27)
    maps, grid = interpolate(features), features.view(2, 27, 27, -1)
    for y, x in [(0, 0), (1, 23), (11, 5), (23, 23)]:
        across = []
        for row in sides(y):
            left, right = (grid[:, row[0], each[0]] * each[1] for each in sides(x))
            across.append((left + right) * row[1])
        torch.testing.assert_close(maps[:, :, y, x], across[0] + across[1])


def sides(index: int) -> list[tuple[int, float]]:
    """Return the two inputs of 27 that an output of 24 is made of, and their shares."""
    at = max(0.0, (index + 0.5) * 27 / 24 - 0.5)
    low = int(at)
    return [(low, low + 1 - at), (min(low + 1, 26), at - low)]


def test_a_group_reads_four_frames_as_one_stretch_of_memory():
    maps = torch.arange(8 * 64 * 24 * 24).view(8, 64, 24, 24)
    for given_maps in (maps, maps.to(memory_format=torch.channels_last)):
        groups = to_groups(given_maps)
        for group, channel, time in [(0, 0, 1), (0, 17, 3), (1, 63, 2)]:
            place = 4 * channel + time
            wanted = maps[4 * group + place // 64, place % 64]
            assert torch.equal(groups[group, channel, time], wanted)


def test_the_last_feature_fills_the_last_group():
    features = features_of(5)
    whole = torch.cat([features, *[features[-1:]] * 3])
    assert torch.equal(MODEL(features), MODEL(whole))


def test_lots_do_not_change_rows(monkeypatch):
    features = features_of(9)
    at_once = MODEL(features)
    monkeypatch.setattr(package, "LOT_GROUPS", 1)
    torch.testing.assert_close(MODEL(features), at_once, rtol=1e-4, atol=1e-4)


def test_pooling_before_the_second_map_is_pooling_after_it():
    features = features_of(8)
    tokens = MODEL.unpooled(compressed(features))
    assert tokens.shape == (2, 576, TINY.hidden)
    grid = tokens.transpose(1, 2).view(2, TINY.hidden, 24, 24)
    pooled = F.avg_pool2d(grid, 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(MODEL(features), pooled, rtol=1e-4, atol=1e-5)


def test_the_projector_uses_the_exact_gelu():
    first, _, second = MODEL.mm_projector
    maps = compressed(features_of(4))
    inner = first(maps.flatten(2).transpose(1, 2))
    inner = inner * (1 + torch.erf(inner * 0.5**0.5)) / 2
    torch.testing.assert_close(MODEL.unpooled(maps), second(inner), rtol=1e-5, atol=1e-5)


def test_a_picture_is_a_group_of_four_of_it_unpooled():
    pictures = features_of(6)
    rows = MODEL.image(pictures)
    assert rows.shape == (6, 576, TINY.hidden)
    for picture, own in zip(pictures, rows, strict=True):
        alone = MODEL.unpooled(compressed(picture.expand(4, -1, -1)))[0]
        torch.testing.assert_close(own, alone, rtol=1e-4, atol=1e-4)


def test_a_linear_map_may_be_replaced():
    """The projector's parts are called, not read: packed ones serve as well."""

    class Doubled(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return 2 * rows

    changed = Connector(TINY.width, TINY.width)
    changed.load_state_dict(
        benchmark.drawn(benchmark.Size("", TINY.width, TINY.width, 0)).state_dict()
    )
    features, last = features_of(4), changed.mm_projector[2]
    changed.mm_projector[2] = Doubled()
    doubled = changed(features)
    changed.mm_projector[2] = last
    torch.testing.assert_close(changed(features), last(doubled / 2), rtol=1e-5, atol=1e-5)


def test_keys_are_the_published_ones():
    keys = {key.rsplit(".", 1)[0] for key in MODEL.state_dict()}
    assert {"mm_projector.0", "mm_projector.2", "sae", "sae.encoder.2.conv"} <= keys


def test_bfloat16_comes_near_float32():
    features, rough = features_of(4), benchmark.drawn(TINY).bfloat16()
    rows = rough(features.bfloat16())
    assert rows.dtype == torch.bfloat16
    exact = MODEL(features)
    assert float((rows.float() - exact).square().mean() / exact.square().mean()) < 1e-3


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (torch.zeros(0, 36, 64), "no features"),
        (torch.zeros(4, 35, 64), "square"),
        (torch.zeros(36, 64), "square"),
        (torch.zeros(4, 36, 32), "DTS takes"),
        (torch.zeros(4, 36, 64, dtype=torch.float64), "type torch.float64"),
    ],
)
def test_other_shapes_and_types_are_refused(features, said):
    for use in (MODEL, MODEL.image):
        with pytest.raises(SettingError, match=said):
            use(features)
    with pytest.raises(SettingError, match="pad first"):
        to_groups(torch.zeros(3, 64, 24, 24))


def test_the_benchmark_writes_its_figures(tmp_path):
    assert benchmark.main(["--tiny", "--results", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "connector.json").read_text())
    assert len(figures["ratios"]) == 3
    assert figures["sizes"][0]["max_difference"] < 1e-4
