"""A cache of chosen chunks beside one of pooled parts equals pooling the groups themselves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import Prefill, PrefillConfig, SparseRule, VideoKV
from videoxl2_model.errors import AbsentGroupsError, RoomError, SettingError, UnknownChunkError
from videoxl2_model.kv_parts import names_of

GROUPS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=14)
CHUNK_GROUPS = 3


def prefilled(decoder, groups, kv_dtype=None):
    run = Prefill(decoder, [1, 2, 3], PrefillConfig(2, 1), kv_dtype=kv_dtype)
    for group in groups:
        run.add(group)
    run.flush()
    return run.kv


def split(kv, dense, step, dtype):
    """Return a cache of the chunks in `dense` alone, and one of all chunks pooled."""
    starts = range(0, kv.num_groups, CHUNK_GROUPS)
    spans = [(start, min(start + CHUNK_GROUPS, kv.num_groups)) for start in starts]
    whole = [
        (stop - start, kv.part(start, stop, dtype) if at in dense else None)
        for at, (start, stop) in enumerate(spans)
    ]
    pooled = [(stop - start, kv.pooled_part(start, stop, step, dtype)) for start, stop in spans]
    system = kv.system_part(dtype)
    return VideoKV.from_parts(system, whole), VideoKV.from_parts(system, pooled)


@given(lengths=GROUPS, step=st.integers(1, 5), data=st.data())
def test_chosen_beside_pooled_is_the_mixed_cache(decoder, tools, lengths, step, data):
    kv = prefilled(decoder, tools.random_groups(lengths))
    chunks = -(-len(lengths) // CHUNK_GROUPS)
    dense = data.draw(st.sets(st.integers(0, chunks - 1)))
    whole, pooled = split(kv, dense, step, torch.float32)
    rule = SparseRule("pooled", step)
    wanted = kv.assemble(dense, room=3, chunk_groups=CHUNK_GROUPS, sparse=rule, keep_ends=False)
    got = whole.assemble_beside(pooled, dense, room=3, chunk_groups=CHUNK_GROUPS)
    assert got.length == wanted.length
    for layer in range(kv.spec.layers):
        assert_close(got.keys(layer), wanted.keys(layer), rtol=0.0, atol=1e-6)
        assert_close(got.values(layer), wanted.values(layer), rtol=0.0, atol=1e-6)
    logits = [decoder.extend(cache, [7, 8, 9]) for cache in (got, wanted)]
    assert_close(*logits, rtol=0.0, atol=1e-4)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float16, 2**-10), (torch.int8, 2 / 127)])
@pytest.mark.parametrize("held", [None, torch.int8])
def test_pooled_parts_are_rounded_once(decoder, tools, dtype, near, held):
    kv = prefilled(decoder, tools.random_groups([(2, 7)] * 9), held)
    whole, pooled = split(kv, {1}, 4, dtype)
    wanted = kv.assemble({1}, room=0, chunk_groups=CHUNK_GROUPS, keep_ends=False)
    got = whole.assemble_beside(pooled, {1}, room=0, chunk_groups=CHUNK_GROUPS)
    for layer in range(kv.spec.layers):
        for name in ("keys", "values"):
            a, b = getattr(got, name)(layer), getattr(wanted, name)(layer)
            assert_close(a, b, rtol=0.0, atol=near * float(b.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_a_pooled_part_is_a_part_of_a_quarter(decoder, tools, dtype):
    kv = prefilled(decoder, tools.random_groups([(2, 9)] * 4))
    part, pooled = kv.part(0, 4, dtype), kv.pooled_part(0, 4, 4, dtype)
    assert set(part) == set(pooled) == set(names_of(dtype))
    assert pooled["token_lengths"].tolist() == [3] * 4
    assert pooled["keys"].shape[2] == 4 * (2 + 3)
    assert pooled["keys"].dtype == dtype
    assert all(tensor.is_contiguous() for tensor in pooled.values())


def test_what_cannot_be_assembled_beside_is_refused(decoder, tools):
    kv = prefilled(decoder, tools.random_groups([(2, 7)] * 7))
    whole, pooled = split(kv, {1}, 4, torch.float32)
    with pytest.raises(UnknownChunkError):
        whole.assemble_beside(pooled, {3}, room=0, chunk_groups=CHUNK_GROUPS)
    with pytest.raises(AbsentGroupsError):
        whole.assemble_beside(pooled, {0}, room=0, chunk_groups=CHUNK_GROUPS)
    with pytest.raises(RoomError):
        whole.assemble_beside(pooled, {1}, room=9, chunk_groups=CHUNK_GROUPS, max_positions=9)
    with pytest.raises(SettingError):
        kv.pooled_part(3, 9, 4)
