"""Pages give back what was written, exactly in floats, within half a step in 8 bits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import pages
from videoxl2_model.pages import BLOCK_ROWS, KVSpec, RowPages

SPEC = KVSpec(layers=2, kv_heads=2, head_dim=4, rope_base=1e4)
CPU = torch.device("cpu")
FEW = st.lists(st.integers(1, 90), min_size=1, max_size=6)


def drawn(rows, seed=0):
    """[layers, 2, H_kv, n, D] with channels of very different sizes, as keys have."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 2, 2, rows, 4, generator=random)
    return x * torch.tensor([100.0, 1.0, 0.01, 1.0]) * torch.rand(rows, 1, generator=random)


def filled(data, lengths, dtype=torch.int8, page_rows=128, whole=False):
    """Pages that were written run by run: all layers at once, or one after the other."""
    store = RowPages(SPEC, dtype, CPU, page_rows=page_rows)
    for length in lengths:
        first = store.append(length)
        part = data[:, :, :, first : first + length]
        if whole:
            store.write_all(first, part)
            continue
        for layer in range(SPEC.layers):
            store.write(layer, first, part[layer, 0], part[layer, 1])
    return store


def half_steps(data):
    """The error that each number may have: half a step of its block and channel, or its row."""
    rows = data.shape[3]
    room = torch.empty_like(data)
    for start in range(0, rows, BLOCK_ROWS):
        keys = data[:, 0, :, start : start + BLOCK_ROWS]
        room[:, 0, :, start : start + BLOCK_ROWS] = keys.abs().amax(2, keepdim=True)
    room[:, 1] = data[:, 1].abs().amax(3, keepdim=True)
    return room / 127 * (1 + 2**-7) / 2


@given(lengths=FEW, seed=st.integers(0, 9), whole=st.booleans(), page=st.integers(1, 200))
def test_8_bit_is_within_a_step_however_it_was_written(lengths, seed, whole, page):
    data = drawn(sum(lengths), seed)
    store = filled(data, lengths, page_rows=page, whole=whole)
    got = store.read_all(range(store.length))
    assert got.dtype == torch.float32
    # A block written in several runs is brought to larger scales each time: half a step more.
    room = half_steps(data)
    room[:, 0] *= min(len(lengths), BLOCK_ROWS)
    assert ((got - data).abs() <= room + 1e-7).all()


@given(lengths=FEW, cut=st.integers(0, 80))
def test_one_write_a_block_is_within_half_a_step(lengths, cut):
    data = drawn(sum(lengths) + cut)
    got = filled(data, [data.shape[3]]).read_all(range(data.shape[3]))
    assert ((got - data).abs() <= half_steps(data) + 1e-7).all()


@given(lengths=FEW, layer=st.integers(0, 1))
def test_a_write_changes_no_other_block_and_no_other_layer(lengths, layer):
    data = drawn(sum(lengths))
    store = filled(data, lengths)
    first = store.length // 2
    before = store.read_all(range(store.length)).clone()
    more = drawn(min(3, store.length - first), seed=5)[layer] * 50
    store.write(layer, first, more[0], more[1])
    after = store.read_all(range(store.length))
    stop = first + more.shape[2]
    assert_close(after[1 - layer], before[1 - layer], rtol=0.0, atol=0.0)
    blocks = slice(first // BLOCK_ROWS * BLOCK_ROWS, -(-stop // BLOCK_ROWS) * BLOCK_ROWS)
    same = torch.ones(store.length, dtype=torch.bool)
    same[blocks] = False
    assert_close(after[:, 0][:, :, same], before[:, 0][:, :, same], rtol=0.0, atol=0.0)
    same[blocks], same[first:stop] = True, False
    assert_close(after[:, 1][:, :, same], before[:, 1][:, :, same], rtol=0.0, atol=0.0)
    room = more.abs().amax() / 127
    assert ((after[layer, :, :, first:stop] - more).abs() <= room).all()


def test_rows_that_fit_a_block_s_scales_leave_its_other_rows_alone():
    data = drawn(40)
    store = filled(data, [20])
    before = store.read_all(range(20)).clone()
    store.append(20)
    store.write_all(20, data[:, :, :, :20] * 0.5)
    assert_close(store.read_all(range(20)), before, rtol=0.0, atol=0.0)


@given(
    lengths=FEW,
    page=st.integers(1, 200),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.int8]),
    marks=st.sets(st.integers(0, 500), min_size=2),
)
def test_a_gather_equals_rows_read_one_by_one(lengths, page, dtype, marks):
    data = drawn(sum(lengths))
    store = filled(data, lengths, dtype, page)
    bounds = sorted(each % (store.length + 1) for each in marks)
    ranges = [range(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=False) if a < b]
    rows = [row for each in ranges for row in each]
    wanted = [store.read_all(range(row, row + 1)) for row in rows]
    wanted = torch.cat(wanted, 3) if wanted else store.read_all(range(0))
    assert_close(store.read_all(ranges), wanted, rtol=0.0, atol=0.0)
    if not ranges:
        return
    for layer in range(SPEC.layers):
        keys, values = store.read(layer, store.locate(ranges))
        assert_close(keys, wanted[layer, 0], rtol=0.0, atol=0.0)
        assert_close(values, wanted[layer, 1], rtol=0.0, atol=0.0)
    if dtype.is_floating_point:
        assert_close(wanted, data[:, :, :, rows].to(dtype), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_rows_reserved_lie_in_one_page(dtype):
    data = drawn(700)
    store = RowPages(SPEC, dtype, CPU, page_rows=64)
    store.append(100)
    store.write_all(0, data[:, :, :, :100])
    store.reserve(600)
    store.append(600)
    store.write_all(100, data[:, :, :, 100:])
    scattered = [range(row, row + 2) for row in range(130, 690, 10)]
    assert len(store.locate(scattered)) == 1
    assert len(store.locate([range(700)])) == 3
    near = half_steps(data) * 3 if dtype == torch.int8 else data.abs() * 2**-8
    assert ((store.read_all(range(700)).float() - data).abs() <= near + 1e-7).all()
    store.reserve(1)  # there is room enough: 700 of 64 + 64 + 576
    assert len(store.locate([range(700)])) == 3


def test_a_page_of_a_gpu_is_larger():
    assert RowPages(SPEC, torch.float32, CPU).page_rows == pages.PAGE_ROWS
    assert RowPages(SPEC, torch.float32, torch.device("meta")).page_rows == pages.PAGE_ROWS_CUDA


@pytest.mark.parametrize(
    ("dtype", "asked", "given"),
    [
        (torch.int8, None, torch.float32),
        (torch.int8, torch.bfloat16, torch.bfloat16),
        (torch.float16, None, torch.float16),
        (torch.float16, torch.float32, torch.float32),
    ],
)
def test_reads_give_the_compute_type(dtype, asked, given):
    store = RowPages(SPEC, dtype, CPU, compute_dtype=asked)
    store.append(70)
    store.write_all(0, drawn(70))
    assert store.read_all(range(3, 70)).dtype == given
    assert store.read(0, store.locate([range(2), range(60, 66)]))[0].dtype == given
    assert store.read_all(range(0)).dtype == given
    as_float = store.read_all(range(70), dtype=torch.float32)
    assert_close(store.read_all(range(70)), as_float.to(given), rtol=2**-7, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_bytes_are_those_of_the_tensors(dtype):
    store = filled(drawn(128), [128], dtype)  # one page, and full
    held = [each for each in vars(store._pages[0]).values() if isinstance(each, torch.Tensor)]
    assert store.nbytes == sum(each.nbytes for each in held)


def test_zeros_stay_zeros():
    store = filled(torch.zeros(2, 2, 2, 10, 4), [4, 6])
    assert (store.read_all(range(10)) == 0).all()


@pytest.mark.parametrize("ranges", [[range(3, 80)], [range(3, 9), range(70, 80)]])
def test_all_that_a_read_takes_from_host_memory_is_moved(monkeypatch, ranges):
    """8-bit numbers and both kinds of scales, by `move`: pinned, and never waited for."""
    store = filled(drawn(90), [90])
    store.device = torch.device("meta")
    moved = []
    monkeypatch.setattr(pages, "move", lambda x, device: moved.append(x.dtype) or x.to(device))
    assert store.read(0, store.locate(ranges))[0].device == store.device
    assert sorted(moved, key=str) == [pages.SCALE, pages.SCALE, torch.int8]
