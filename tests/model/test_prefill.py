"""Block by block equals all at once with a mask, wherever it is cut, in memory that stays flat."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import Prefill, PrefillConfig, TokenGroup, VideoKV, pages, prefill
from videoxl2_model.errors import AbsentGroupsError, SettingError

GROUPS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=14)
CONFIGS = st.builds(
    PrefillConfig,
    block_groups=st.integers(1, 4),
    lookback_blocks=st.none() | st.integers(1, 3),
    min_block_rows=st.integers(0, 30),
)
SYSTEMS = st.lists(st.integers(0, 255), max_size=6)
EXACT = {"atol": 1e-5, "rtol": 0.0}


@contextmanager
def sizes(tile: int = 1024, run: int = 0):
    """Pages and tiles so small that a tiny video crosses many; runs that hold some blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE_ROWS", tile)
        patch.setattr(prefill, "TILE_ROWS", {"cpu": tile + 2})
        patch.setattr(prefill, "RUN_ROWS", {"cpu": run})
        yield


def run(decoder, system, groups, config, flush_after=(), **more):
    states = []
    work = Prefill(decoder, system, config, observe=lambda _, rows: states.append(rows), **more)
    for index, group in enumerate(groups):
        work.add(group)
        if index in flush_after:
            work.flush()
    work.flush()
    return work.kv, torch.cat(states) if states else None


def tensors(kv):
    both = kv.pages.read_all(range(kv.num_tokens))
    return both[:, 0], both[:, 1]


@given(
    system=SYSTEMS,
    lengths=GROUPS,
    config=CONFIGS,
    tile=st.integers(3, 40),
    run_rows=st.integers(0, 90),
)
def test_equals_a_dense_mask(decoder, twin, tools, system, lengths, config, tile, run_rows):
    groups = tools.random_groups(lengths)
    with sizes(tile, run_rows):
        kv, hidden = run(decoder, system, groups, config)
        keys, values = tensors(kv)
    rows = decoder.embed([*system, *tools.ids_of(groups)])
    wanted = twin.run(rows, tools.allowed_pairs(len(system), lengths, config))
    assert_close(hidden, wanted.hidden, **EXACT)
    assert_close(keys, wanted.keys, **EXACT)
    assert_close(values, wanted.values, **EXACT)


@given(
    lengths=GROUPS,
    config=CONFIGS,
    cuts=st.sets(st.integers(0, 13)),
    run_rows=st.integers(0, 90),
)
def test_a_flush_anywhere_changes_nothing(decoder, tools, lengths, config, cuts, run_rows):
    groups = tools.random_groups(lengths)
    whole, _ = run(decoder, [1, 2], groups, config)
    with sizes(run=run_rows):
        split, _ = run(decoder, [1, 2], groups, config, flush_after=cuts)
    assert_close(tensors(split), tensors(whole), **EXACT)


@given(lengths=GROUPS, config=CONFIGS, cut=st.integers(0, 14))
def test_going_on_after_stored_parts_equals_never_stopping(decoder, tools, lengths, config, cut):
    groups = tools.random_groups(lengths)
    cut = min(cut, len(groups))
    whole, _ = run(decoder, [1, 2], groups, config)
    first, _ = run(decoder, [1, 2], groups[:cut], config)
    parts = [(1, first.part(i, i + 1)) for i in range(cut)]
    again = VideoKV.from_parts(first.system_part(), parts)
    resumed, _ = run(decoder, [1, 2], groups[cut:], config, kv=again)
    assert_close(tensors(resumed), tensors(whole), **EXACT)
    assert [resumed.group(i) for i in range(len(groups))] == [
        whole.group(i) for i in range(len(groups))
    ]


def test_rows_and_ids_are_the_same_thing(decoder, tools):
    groups = tools.random_groups([(2, 5)] * 5)
    as_rows = [TokenGroup(g.time_ids, rows=decoder.embed(g.ids)) for g in groups]
    one, _ = run(decoder, [1], groups, PrefillConfig(2, 1))
    other, _ = run(decoder, [1], as_rows, PrefillConfig(2, 1))
    assert_close(tensors(other), tensors(one), rtol=0.0, atol=0.0)


def test_leaving_out_the_last_output_changes_no_key(decoder, tools):
    groups = tools.random_groups([(2, 5)] * 5)
    observed, _ = run(decoder, [1], groups, PrefillConfig(2, 1))
    work = Prefill(decoder, [1], PrefillConfig(2, 1))
    for group in groups:
        work.add(group)
    work.flush()
    assert_close(tensors(work.kv), tensors(observed), rtol=0.0, atol=0.0)


@given(lengths=GROUPS, cuts=st.sets(st.integers(0, 13)), limit=st.integers(16, 40))
def test_segments_are_independent_prefills(decoder, tools, lengths, cuts, limit):
    groups = tools.random_groups(lengths)
    config = PrefillConfig(2, 1, max_segment_positions=limit)
    kv, _ = run(decoder, [1, 2], groups, config, flush_after=cuts)
    entries = [kv.group(i) for i in range(len(groups))]
    keys, values = tensors(kv)
    for segment in range(kv.segments):
        mine = [i for i, entry in enumerate(entries) if entry.segment == segment]
        size = 2 + sum(len(entries[i].rows) for i in mine)
        assert size <= limit
        if segment + 1 < kv.segments:
            assert size + len(entries[mine[-1] + 1].rows) > limit
        alone, _ = run(decoder, [1, 2], [groups[i] for i in mine], PrefillConfig(2, 1))
        rows = slice(entries[mine[0]].row, entries[mine[-1]].rows.stop)
        alone_keys, alone_values = tensors(alone)
        assert_close(keys[:, :, rows], alone_keys[:, :, 2:], **EXACT)
        assert_close(values[:, :, rows], alone_values[:, :, 2:], **EXACT)


def test_nothing_runs_before_its_block_is_full(decoder, tools):
    work = Prefill(decoder, [1, 2], PrefillConfig(3))
    held = []
    for group in tools.random_groups([(1, 2)] * 7):
        work.add(group)
        held.append(work.kv.num_groups)
    assert held == [0, 0, 3, 3, 3, 6, 6]
    work.flush()
    assert work.kv.num_groups == 7


def test_blocks_wait_for_a_run_to_have_its_rows(decoder, tools):
    work = Prefill(decoder, [1, 2], PrefillConfig(3))
    held = []
    with sizes(run=10):  # a block of 3 groups has 9 rows
        for group in tools.random_groups([(1, 2)] * 10):
            work.add(group)
            held.append(work.kv.num_groups)
    assert held == [0, 0, 0, 0, 0, 6, 6, 6, 6, 6]


@given(
    system=SYSTEMS,
    lengths=GROUPS,
    chunk_groups=st.integers(1, 5),
    question=st.lists(st.integers(0, 255), min_size=1, max_size=5),
)
def test_all_dense_equals_a_plain_causal_cache(
    decoder, twin, tools, system, lengths, chunk_groups, question
):
    groups = tools.random_groups(lengths)
    kv, _ = run(decoder, system, groups, PrefillConfig(2, lookback_blocks=None))
    chunks = range(-(-len(groups) // chunk_groups))
    cache = kv.assemble(chunks, chunk_groups=chunk_groups, room=len(question))
    logits = decoder.extend(cache, question)
    wanted = twin.logits([*system, *tools.ids_of(groups), *question])[-1]
    assert_close(logits, wanted, atol=1e-4, rtol=0.0)


def test_an_8_bit_cache_stays_near(decoder, tools):
    groups = tools.random_groups([(2, 20)] * 12)
    whole, _ = run(decoder, [1, 2], groups, PrefillConfig(2, 1))
    held, _ = run(decoder, [1, 2], groups, PrefillConfig(2, 1), kv_dtype=torch.int8)
    assert held.nbytes < whole.nbytes / 2
    for ours, theirs in zip(tensors(held), tensors(whole), strict=True):
        # Rounded once in the first layer; the second one also reads what was rounded.
        assert (ours - theirs).square().mean().sqrt() < 0.02 * theirs.std()
    resumed, _ = run(decoder, [1, 2], groups[:4], PrefillConfig(2, 1), kv=held)
    assert resumed.num_groups == 16


def test_another_system_text_is_refused(decoder, tools):
    kv, _ = run(decoder, [1, 2], tools.random_groups([(1, 2)]), PrefillConfig())
    with pytest.raises(SettingError, match="system text"):
        Prefill(decoder, [1, 3], PrefillConfig(), kv)


def test_nothing_goes_on_after_groups_that_were_not_read(decoder, tools):
    kv, _ = run(decoder, [1, 2], tools.random_groups([(1, 2)] * 4), PrefillConfig())
    gap = VideoKV.from_parts(kv.system_part(), [(2, None), (2, kv.part(2, 4))])
    with pytest.raises(AbsentGroupsError, match="group 0"):
        Prefill(decoder, [1, 2], PrefillConfig(), gap)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (lambda: TokenGroup((), ids=(1,)), "time text"),
        (lambda: TokenGroup((1,)), "either"),
        (lambda: TokenGroup((1,), ids=(1,), rows=torch.zeros(1, 32)), "either"),
        (lambda: TokenGroup((1,), rows=torch.zeros(1, 5)), r"\[n, 32\]"),
        (lambda: TokenGroup((1,), ids=(1,) * 30), "does not fit"),
        (lambda: TokenGroup((1,), ids=(999,)), "token ids"),
    ],
)
def test_groups_that_cannot_be_used_are_named(decoder, group, words):
    work = Prefill(decoder, [1], PrefillConfig(1, max_segment_positions=20))
    with pytest.raises(SettingError, match=words):
        work.add(group())


def scratch_nbytes(decoder, groups) -> int:
    """Peak bytes that torch allocated for a prefill, less the cache's own pages."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        run_quietly(decoder, groups)
    page = decoder.spec.row_nbytes(torch.float32) * pages.PAGE_ROWS
    live = peak = 0
    for event in sorted(allocations(profile), key=lambda each: each.start_time_ns):
        size = event.extra_fields.alloc_size
        if abs(size) != page:
            live += size
            peak = max(peak, live)
    return peak


def run_quietly(decoder, groups):
    work = Prefill(decoder, [1, 2], PrefillConfig(4, 3))
    for group in groups:
        work.add(group)
    work.flush()


def allocations(profile):
    waiting = list(profile.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        if event.tag == torch._C._profiler._EventType.Allocation:
            yield event


def test_memory_beyond_the_cache_is_flat_in_length(decoder, tools):
    short = tools.random_groups([(3, 41)] * 32)
    long = tools.random_groups([(3, 41)] * 256)
    with sizes(256):  # fewer rows than a short video has, so that both fill a tile
        scratch_nbytes(decoder, short)  # tables that are made once
        assert scratch_nbytes(decoder, long) <= 1.05 * scratch_nbytes(decoder, short)
