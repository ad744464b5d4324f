"""The mixed cache equals one made entry by entry; parts give the same cache again."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import (
    GenerationSettings,
    Prefill,
    PrefillConfig,
    SparseRule,
    VideoKV,
    assembly,
    kv_cache,
    pages,
)
from videoxl2_model.errors import AbsentGroupsError, RoomError, SettingError, UnknownChunkError

GROUPS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=14)
RULES = st.builds(
    SparseRule,
    kind=st.sampled_from(["pooled", "time_only", "left_out"]),
    step=st.integers(1, 5),
    keep_remainder=st.booleans(),
)
SYSTEM = [1, 2, 3]
QUESTION = [7, 8, 9, 10]
EXACT = {"atol": 1e-5, "rtol": 0.0}


def prefilled(decoder, groups, config=None, kv_dtype=None):
    run = Prefill(decoder, SYSTEM, config or PrefillConfig(2, 1), kv_dtype=kv_dtype)
    for group in groups:
        run.add(group)
    run.flush()
    return run.kv


def slow_entries(lengths, dense, chunk_groups, rule, keep_ends):
    """The lists of prompt rows that each entry averages, one entry at a time."""
    last = (len(lengths) - 1) // chunk_groups
    entries = [[row] for row in range(len(SYSTEM))]
    row = len(SYSTEM)
    for index, (time, tokens) in enumerate(lengths):
        chunk = index // chunk_groups
        times = [[row + i] for i in range(time)]
        line = [row + time + i for i in range(tokens)]
        row += time + tokens
        if chunk in dense or (keep_ends and chunk in (0, last)):
            entries += times + [[each] for each in line]
            continue
        if rule.kind == "left_out":
            continue
        entries += times
        while rule.kind == "pooled" and line:
            run, line = line[: rule.step], line[rule.step :]
            if len(run) == rule.step or rule.keep_remainder:
                entries.append(run)
    return entries


@given(
    lengths=GROUPS,
    rule=RULES,
    chunk_groups=st.integers(1, 4),
    keep_ends=st.booleans(),
    wanted=st.sets(st.integers(0, 13)),
    page=st.integers(3, 40),
    batch=st.integers(1, 60),
)
def test_equals_a_cache_made_entry_by_entry(
    decoder, twin, tools, lengths, rule, chunk_groups, keep_ends, wanted, page, batch
):
    groups = tools.random_groups(lengths)
    config = PrefillConfig(2, 1)
    dense = {each for each in wanted if each * chunk_groups < len(groups)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE_ROWS", page)
        patch.setattr(assembly, "BATCH_ROWS", batch)
        patch.setattr(kv_cache, "TURN_ROWS", batch)
        kv = prefilled(decoder, groups, config)
        cache = kv.assemble(
            dense, room=9, chunk_groups=chunk_groups, sparse=rule, keep_ends=keep_ends
        )
    rows = decoder.embed([*SYSTEM, *tools.ids_of(groups)])
    run = twin.run(rows, tools.allowed_pairs(len(SYSTEM), lengths, config))
    entries = slow_entries(lengths, dense, chunk_groups, rule, keep_ends)
    assert cache.length == len(entries)
    keys = torch.stack([run.keys[:, :, each].mean(2) for each in entries], 2)
    values = torch.stack([run.values[:, :, each].mean(2) for each in entries], 2)
    for layer in range(decoder.spec.layers):
        turned = tools.rotated(keys[layer], decoder.config)
        assert_close(cache.keys(layer), turned, **EXACT)
        assert_close(cache.values(layer), values[layer], **EXACT)
    logits = decoder.extend(cache, QUESTION)
    assert_close(logits, twin.after(keys, values, QUESTION)[-1], atol=1e-4, rtol=0.0)


def mixed_one_by_one(kv, pieces):
    """Every piece read and averaged alone."""
    parts = []
    for piece in pieces:
        rows = kv.pages.read_all(piece.rows).float()
        for start in range(0, rows.shape[3], piece.step):
            run = rows[:, :, :, start : start + piece.step]
            if run.shape[3] == piece.step or piece.keep_remainder:
                parts.append(run.mean(3, keepdim=True))
    return torch.cat(parts, 3).to(kv.compute_dtype)


@given(lengths=GROUPS, rule=RULES, batch=st.integers(1, 60), times=st.integers(1, 4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_pooling_in_lots_equals_pooling_one_by_one(
    decoder, tools, dtype, lengths, rule, batch, times
):
    lengths = [each for each in lengths[:6] for _ in range(times)]  # groups alike in a row
    kv = prefilled(decoder, tools.random_groups(lengths), kv_dtype=dtype)
    pieces = kv.select([0], chunk_groups=2, sparse=rule, keep_ends=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "BATCH_ROWS", batch)
        rows, length = assembly.mix(kv, pieces, 3)
    wanted = mixed_one_by_one(kv, pieces)
    assert rows.shape[3] == length + 3
    near = 2**-8 if dtype == torch.bfloat16 else 1e-6
    assert_close(rows[:, :, :, :length], wanted, rtol=near, atol=1e-6)
    for layer in range(kv.spec.layers):
        one, _ = assembly.mix(kv, pieces, 3, slice(layer, layer + 1))
        assert_close(one[0, :, :, :length], rows[layer, :, :, :length], rtol=0.0, atol=0.0)


def test_one_layer_assembled_alone_is_that_layer(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 5))
    pieces = kv.select([1], chunk_groups=2)
    whole = kv.assemble_pieces(pieces, 4)
    for layer in range(kv.spec.layers):
        alone = kv.assemble_layer(layer, pieces, 4)
        assert alone.capacity == whole.capacity
        assert_close(alone.keys(0), whole.keys(layer), rtol=0.0, atol=0.0)
        assert_close(alone.values(0), whole.values(layer), rtol=0.0, atol=0.0)


@given(lengths=GROUPS, rule=RULES)
def test_8_bit_answers_as_floats_do(decoder, tools, lengths, rule):
    groups = tools.random_groups(lengths)
    floats, steps = (prefilled(decoder, groups, kv_dtype=each) for each in (None, torch.int8))
    assert steps.compute_dtype == torch.float32
    keys = [kv.assemble([0], room=9, sparse=rule).keys(0) for kv in (floats, steps)]
    # Half a step of 127 for each number, and the layers below had theirs.
    assert_close(keys[1], keys[0], atol=0.05 * float(keys[0].abs().max()), rtol=0.0)
    logits = [decoder.extend(kv.assemble([0], room=9), QUESTION) for kv in (floats, steps)]
    assert_close(logits[1], logits[0], atol=0.05 * float(logits[0].abs().max()), rtol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_rows_in_host_memory_give_the_same(decoder, tools, dtype):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 7))
    here, away = (
        VideoKV.from_parts(
            kv.system_part(), [(7, kv.part(0, 7))], dtype=dtype, device=torch.device("cpu", 0)
        )
        for _ in range(2)
    )
    assert not away.offloaded
    away.offload()  # "cpu" is another device than "cpu:0", and on a GPU this one is "cuda:0"
    assert away.offloaded
    rules = ({"dense": [0, 2]}, {"dense": [], "sparse": SparseRule("time_only")})
    for rule in rules:
        wanted, got = (kv.assemble(room=2, chunk_groups=2, **rule) for kv in (here, away))
        for layer in range(kv.spec.layers):
            assert_close(got.keys(layer), wanted.keys(layer), rtol=0.0, atol=0.0)
            assert_close(got.values(layer), wanted.values(layer), rtol=0.0, atol=0.0)
    assert_close(away.part(1, 4), here.part(1, 4), rtol=0.0, atol=0.0)
    assert away.nbytes == here.nbytes
    away.resident()
    assert not away.offloaded
    assert_close(away.part(0, 7), here.part(0, 7), rtol=0.0, atol=0.0)


@given(lengths=GROUPS)
def test_all_dense_is_plain_causal_attention(decoder, twin, tools, lengths):
    groups = tools.random_groups(lengths)
    kv = prefilled(decoder, groups, PrefillConfig(3, None))
    logits = decoder.extend(kv.assemble(range(len(groups)), room=9, chunk_groups=1), QUESTION)
    wanted = twin.logits([*SYSTEM, *tools.ids_of(groups), *QUESTION])[-1]
    assert_close(logits, wanted, atol=1e-4, rtol=0.0)


def test_a_short_line_does_not_vanish(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 3)] * 3))
    kept = kv.select([], chunk_groups=1, sparse=SparseRule(step=4), keep_ends=False)
    assert sum(piece.entries for piece in kept) == len(SYSTEM) + 3 * (2 + 1)
    as_reference = SparseRule(step=4, keep_remainder=False)
    kept = kv.select([], chunk_groups=1, sparse=as_reference, keep_ends=False)
    assert sum(piece.entries for piece in kept) == len(SYSTEM) + 3 * 2


def test_chunks_of_several_segments_stand_in_order_of_time(decoder, tools):
    groups = tools.random_groups([(2, 6)] * 6)
    kv = prefilled(decoder, groups, PrefillConfig(2, 1, max_segment_positions=20))
    assert kv.segments == 3
    cache = kv.assemble([1, 4], room=0, chunk_groups=1, sparse=SparseRule("left_out"))
    assert cache.length == len(SYSTEM) + 4 * 8  # the ends too, and one system text
    wanted = [row for i in (0, 1, 4, 5) for row in kv.group(i).rows]
    values = kv.pages.read_all(range(kv.num_tokens))[:, 1]
    for layer in range(kv.spec.layers):
        picked = values[layer][:, [*range(len(SYSTEM)), *wanted]]
        assert_close(cache.values(layer), picked, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_parts_give_the_same_cache_again(decoder, tools, dtype):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 7))
    parts = [(4, kv.part(0, 4, dtype)), (3, kv.part(4, 7, dtype))]
    assert all(tensor.is_contiguous() for _, part in parts for tensor in part.values())
    assert parts[0][1]["keys"].dtype == dtype
    again = VideoKV.from_parts(kv.system_part(dtype), parts)
    assert (again.num_groups, again.num_tokens) == (kv.num_groups, kv.num_tokens)
    assert again.nbytes == kv.nbytes == kv.num_tokens * 2 * 2 * 2 * 8 * 4
    wanted = kv.pages.read_all(range(kv.num_tokens)).to(dtype).float()
    got = again.pages.read_all(range(kv.num_tokens))
    assert_close(got, wanted, rtol=0.0, atol=0.0)


def test_parts_in_8_bits_give_nearly_the_same_cache_again(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 20))
    part = kv.part(3, 8, torch.int8)
    n = 5 * 8
    assert part["keys"].shape == part["values"].shape == (2, 2, n, 8)
    assert (part["keys"].dtype, part["values"].dtype) == (torch.int8, torch.int8)
    assert part["key_scales"].shape == (2, 2, 1, 8)
    assert part["value_scales"].shape == (2, 2, n, 1)
    assert all(each.numpy().flags.c_contiguous for each in part.values())
    rows = kv.pages.read_all(range(kv.group(3).row, kv.group(7).rows.stop))
    for name, floats in (("key", rows[:, 0]), ("value", rows[:, 1])):
        scales = part[f"{name}_scales"]
        assert ((part[f"{name}s"] * scales - floats).abs() <= scales * 0.501).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8])
def test_parts_of_any_types_make_one_cache(decoder, tools, dtype):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 9))
    types = (torch.int8, torch.float16, torch.float32)
    parts = [(3, kv.part(3 * i, 3 * i + 3, each)) for i, each in enumerate(types)]
    parts[0][1]["key_scales"] = parts[0][1]["key_scales"].half()  # as a store may keep them
    again = VideoKV.from_parts(kv.system_part(torch.int8), parts, dtype=dtype)
    got, wanted = (
        each.pages.read_all(range(kv.num_tokens), dtype=torch.float32) for each in (again, kv)
    )
    # Keys: a step of what was drawn in 8 bits, and one of the block it came to lie in.
    assert_close(got, wanted, atol=2 / 127 * float(wanted.abs().max()), rtol=0.0)
    alike = again.pages.read_all(again.group(8).rows, dtype=torch.float32)
    near = {torch.float32: 0.0, torch.float16: 2**-10, torch.int8: 1 / 127}[dtype]
    atol = near * float(wanted.abs().max())
    assert_close(alike, kv.pages.read_all(kv.group(8).rows), atol=atol, rtol=0.0)
    del parts[0][1]["value_scales"]
    with pytest.raises(SettingError, match="lacks value_scales"):
        VideoKV.from_parts(kv.system_part(), parts)


def test_8_bit_saves_and_loads_itself(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 30)] * 9), kv_dtype=torch.int8)
    part = kv.part(0, 9)
    assert part["keys"].dtype == kv.system_part()["keys"].dtype == torch.int8
    again = VideoKV.from_parts(kv.system_part(), [(9, part)], dtype=torch.int8)
    assert again.nbytes == kv.nbytes < kv.num_tokens * 2 * 2 * 2 * 8 * 2
    got, wanted = (each.pages.read_all(range(kv.num_tokens)) for each in (again, kv))
    assert_close(got, wanted, atol=2 / 127 * float(wanted.abs().max()), rtol=0.0)


def test_a_question_reads_only_the_parts_it_needs(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 9))
    some = VideoKV.from_parts(kv.system_part(), [(3, None), (3, kv.part(3, 6)), (3, None)])
    rule = {"chunk_groups": 3, "sparse": SparseRule("left_out"), "keep_ends": False, "room": 0}
    whole, partly = kv.assemble([1], **rule), some.assemble([1], **rule)
    assert_close(partly.rows, whole.rows, rtol=0.0, atol=0.0)
    assert some.num_tokens == len(SYSTEM) + 3 * 8
    with pytest.raises(AbsentGroupsError, match="group 0"):
        some.assemble([1], **{**rule, "keep_ends": True})
    with pytest.raises(AbsentGroupsError, match="group 6"):
        some.assemble([2], **rule)
    with pytest.raises(AbsentGroupsError, match="group 0"):
        some.assemble([1], **{**rule, "sparse": SparseRule("time_only")})
    with pytest.raises(AbsentGroupsError, match="group 6"):
        some.part(4, 9)


def test_a_part_that_does_not_fit_is_refused(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 4))
    with pytest.raises(SettingError, match="3 groups"):
        VideoKV.from_parts(kv.system_part(), [(3, kv.part(0, 4))])
    cut = {**kv.part(0, 4), "keys": kv.part(0, 3)["keys"]}
    with pytest.raises(SettingError, match="does not fit"):
        VideoKV.from_parts(kv.system_part(), [(4, cut)])
    with pytest.raises(SettingError, match="no groups"):
        kv.part(2, 5)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_unknown_chunk_is_named(decoder, tools, index):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 9))
    with pytest.raises(UnknownChunkError, match=f"no chunk {index}.*0 to 2"):
        kv.assemble([0, index], room=0)


def test_more_than_the_model_was_trained_for_is_refused(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 4))
    length = len(SYSTEM) + 4 * 8
    assert kv.assemble([0], room=5, max_positions=length + 5).capacity == length + 5
    with pytest.raises(RoomError, match=f"{length + 5} positions of {length + 4}"):
        kv.assemble([0], room=5, max_positions=length + 4)


def test_one_assembly_serves_several_questions(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 6)] * 4))
    cache = kv.assemble([0], room=20)
    first = decoder.extend(cache, QUESTION)
    decoder.step(cache, 5)
    cache.rewind(cache.start)
    decoder.extend(cache, [30, 40])
    cache.rewind(cache.start)
    assert_close(decoder.extend(cache, QUESTION), first, rtol=0.0, atol=0.0)


def test_a_full_cache_says_so(decoder, tools):
    cache = prefilled(decoder, tools.random_groups([(2, 6)])).assemble([0], room=4)
    decoder.extend(cache, QUESTION)
    with pytest.raises(RoomError, match="more room"):
        decoder.step(cache, 5)
    with pytest.raises(RoomError, match="rewind"):
        cache.rewind(cache.length + 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SparseRule("averaged"),
        lambda: SparseRule(step=0),
        lambda: GenerationSettings(max_new_tokens=0),
        lambda: GenerationSettings(temperature=-1),
        lambda: GenerationSettings(top_p=0),
        lambda: GenerationSettings(repetition_penalty=0),
    ],
)
def test_settings_that_mean_nothing_are_refused(make):
    with pytest.raises(SettingError):
        make()
