"""Positions and visible keys, against the rules in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videoxl2_model.config import PrefillConfig
from videoxl2_model.errors import SettingError
from videoxl2_model.layout import SegmentLayout, joined, tiled

GROUPS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=14)
CONFIGS = st.builds(
    PrefillConfig,
    block_groups=st.integers(1, 4),
    lookback_blocks=st.none() | st.integers(1, 3),
    min_block_rows=st.integers(0, 30),
)


def laid_out(system, groups, config):
    layout = SegmentLayout(system, config)
    for time, tokens in groups:
        layout.add(time, tokens)
    return layout


@given(system=st.integers(0, 5), groups=GROUPS, config=CONFIGS, question=st.integers(0, 3))
def test_every_row_sees_what_the_rules_say(tools, system, groups, config, question):
    layout = laid_out(system, groups, config)
    allowed = tools.allowed_pairs(system, groups, config, after=question)
    assert layout.stop + question == len(allowed)
    for position in range(len(allowed)):
        seen = [key for each in layout.visible(position) for key in each]
        assert seen == allowed[position].nonzero().flatten().tolist()


@given(system=st.integers(0, 5), groups=GROUPS, config=CONFIGS)
def test_a_block_hides_keys_exactly_where_its_context_is_not_everything(system, groups, config):
    layout = laid_out(system, [(time, tokens + 1) for time, tokens in groups], config)
    for block in range(len(layout.block_starts)):
        everything = joined([range(layout.block_start(block))])
        assert layout.hides(block) == (layout.context(block) != everything)


@given(
    cuts=st.lists(st.integers(0, 200), min_size=2, max_size=12, unique=True),
    size=st.integers(1, 40),
)
def test_tiles_hold_every_row_once_and_no_more_than_asked(cuts, size):
    edges = sorted(cuts)
    ranges = joined(range(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))
    tiles = list(tiled(ranges, size))
    rows = [row for tile in tiles for each in tile for row in each]
    assert rows == [row for each in ranges for row in each]
    assert all(sum(map(len, tile)) == size for tile in tiles[:-1])
    assert all(0 < sum(map(len, tile)) <= size for tile in tiles)


def test_a_block_closes_with_enough_groups_and_enough_rows():
    layout = laid_out(3, [(2, 8)] * 7, PrefillConfig(block_groups=2, min_block_rows=25))
    assert layout.block_starts == [0, 3, 6]


def test_a_group_needs_a_timestamp():
    with pytest.raises(SettingError, match="time text"):
        SegmentLayout(0, PrefillConfig()).add(0, 5)


@pytest.mark.parametrize(
    "settings", [{"block_groups": 0}, {"lookback_blocks": 0}, {"max_segment_positions": 0}]
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(SettingError):
        PrefillConfig(**settings)
