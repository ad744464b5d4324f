"""Rows of tokens: as given they come back bit for bit, in 8 bits within a stated bound."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agentkit_storage import Chunk, ChunkRecord, GroupRecord, Store, row_codec
from agentkit_storage.errors import RecordError
from agentkit_storage.records import Array
from agentkit_storage.row_codec import BLOCK, codec_of, decoded, encoded, quantised, restored
from agentkit_storage.testing import draw_chunk, draw_video

A = "a1" * 32
MOST = 0.03  # of a row's length, on outlier channels
ANY_ROWS = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=300)


def outlier_rows(
    seed: int, factor: float, num_rows: int = 36, width: int = 896
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return rows as a language model's are: normal, one channel in a hundred `factor` larger."""
    random = np.random.default_rng(seed)
    channels = np.where(random.random(width) < 0.01, factor, 1.0)
    return (random.standard_normal((num_rows, width)) * channels).astype(np.float32)


def through(rows: Array, wanted: str) -> Array:
    codec = codec_of(rows, wanted)  # type: ignore[arg-type]
    return decoded(encoded(rows, 7, codec), 7, codec)


def bfloat16(values: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Array:
    """Return the bits of the nearest bfloat16, cut: exact for what is one already."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def as_float32(rows: Array) -> Array:
    if rows.dtype == np.uint16:
        return (rows.astype(np.uint32) << 16).view(np.float32)
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Iterator[int]]]:
    """A store with a video, and the numbers of its next chunks."""
    with Store.open(tmp_path_factory.mktemp("numbered") / "store") as store:
        store.add_video(draw_video(A), "drawn")
        yield store, itertools.count()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.sampled_from([np.float16, np.float32]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
            elements={"allow_nan": False, "allow_infinity": False},
        )
    )
)
def test_lossless_rows_come_back_by_sha256(
    numbered: tuple[Store, Iterator[int]], rows: Array
) -> None:
    """Negative zeros, subnormals and strides included."""
    store, numbers = numbered
    number = next(numbers)
    for given_rows in (rows, rows[::-1, ::2]):
        chunk = Chunk(A, number, 0.0, 4.0, number, 1)
        group = GroupRecord(number, 0.0, 4.0, "Time 0.0s:", rows=given_rows)
        store.add_chunk(ChunkRecord(chunk, groups=(group,)))
        (found,) = store.groups(A, number, number + 1)
        assert found.rows is not None
        wanted = hashlib.sha256(np.ascontiguousarray(given_rows).tobytes()).hexdigest()
        assert hashlib.sha256(found.rows.tobytes()).hexdigest() == wanted
        assert (found.rows.dtype, found.rows.shape) == (given_rows.dtype, given_rows.shape)
        number = next(numbers)


@pytest.mark.filterwarnings("error")
@settings(max_examples=100, deadline=None)
@given(
    rows=hnp.arrays(
        np.float32,
        ANY_ROWS,
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
        fill=st.floats(-10, 10, width=32),
    )
)
def test_each_number_is_within_half_a_step_of_its_own_128(rows: Array) -> None:
    """The step is a 127th of the largest of the 128: the slow twin goes number by number."""
    found = restored(*quantised(rows))
    assert found.shape == rows.shape
    for start in range(0, rows.shape[1], BLOCK):
        block = rows[:, start : start + BLOCK].astype(np.float64)
        largest = np.abs(block).max(axis=1, initial=0.0)[:, None]
        error = np.abs(found[:, start : start + BLOCK] - block)
        assert (error <= largest / 254 * (1 + 1e-5) + 1e-40).all()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    factor=st.floats(1, 1000),
    dtype=st.sampled_from(["float16", "float32", "uint16"]),
)
def test_rows_with_outlier_channels_are_within_3_percent_at_half_the_bytes(
    seed: int, factor: float, dtype: str
) -> None:
    values = outlier_rows(seed, factor)
    rows = bfloat16(values) if dtype == "uint16" else values.astype(dtype)
    found = through(rows, "int8")
    assert (found.dtype, found.shape) == (rows.dtype, rows.shape)
    error = np.linalg.norm(as_float32(found) - as_float32(rows), axis=1)
    assert (error <= MOST * np.linalg.norm(as_float32(rows), axis=1)).all()
    nbytes = sum(array.nbytes for array in encoded(rows, 0, codec_of(rows, "int8")).values())
    assert nbytes <= 0.52 * 2 * rows.size


@given(value=st.floats(-(2.0**100), 2.0**100, width=32))
def test_bfloat16_comes_back_as_the_nearest(value: float) -> None:
    """The slow twin looks at the two neighbours; of a tie the even one is right."""
    values = np.array([[value]], np.float32)
    below = int(values.view(np.uint32)[0, 0]) >> 16
    near = np.array([below, below + 1], np.uint16)
    off = np.abs(as_float32(near).astype(np.float64) - float(values[0, 0]))
    even = near[near % 2 == 0][0]
    wanted = even if off[0] == off[1] else near[np.argmin(off)]
    assert row_codec._as_given(values, "uint16")[0, 0] == wanted


@given(
    scales=hnp.arrays(
        np.float32,
        (3, 2),
        elements=st.one_of(
            st.just(0.0),
            st.floats(0, float(np.float32(2**-13)), width=32),
            st.floats(float(np.float32(2**-14)), 515, width=32),
            st.floats(515, 2**100, width=32),
        ),
    ),
    seed=st.integers(0, 2**32),
)
def test_float16_comes_back_bit_for_bit_as_numpy_rounds_it(scales: Array, seed: int) -> None:
    """The quick way against the slow one: ties, zeros, both signs, subnormals, beyond the most."""
    whole = np.random.default_rng(seed).integers(-127, 128, (3, 200)).astype(np.int8)
    found = decoded({"rows.7": whole, "scales.7": scales}, 7, "int8:float16")
    wanted = row_codec._as_given(restored(whole, scales), "float16")
    np.testing.assert_array_equal(found.view(np.uint16), wanted.view(np.uint16))


def test_one_scale_for_a_whole_row_would_not_do() -> None:
    """What the 128 are for: with one scale a row, two outliers of 1000 spoil all the rest."""
    rows = outlier_rows(0, 100.0)
    steps = np.abs(rows).max(axis=1, keepdims=True) / 127
    error = np.linalg.norm(np.rint(rows / steps) * steps - rows, axis=1)
    assert (error / np.linalg.norm(rows, axis=1)).max() > 1.2 * MOST


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint16"])
def test_the_largest_and_the_smallest_numbers_stay_finite(dtype: str) -> None:
    if dtype == "uint16":
        rows = np.array([[0x7F7F, 0xFF7F, 0x0001, 0x8000]], np.uint16)
    else:
        largest, smallest = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
        rows = np.array([[largest, -largest, smallest, 0], [smallest, 0, 0, 0]], dtype)
    found = as_float32(through(rows, "int8"))
    np.testing.assert_allclose(found, as_float32(rows), rtol=1e-2, atol=1e-2)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("rows", [np.full((2, 3), 0x7F80, np.uint16), np.ones((2, 3), np.int64)])
def test_what_has_no_8_bits_is_refused(folder: Path, rows: Array) -> None:
    with Store.open(folder, tokens_dtype="int8") as store:
        store.add_video(draw_video(A), "drawn")
        group = GroupRecord(0, 0, 4, "Time 0.0s:", rows=rows)
        with pytest.raises(RecordError):
            store.add_chunk(ChunkRecord(Chunk(A, 0, 0, 4, 0, 1), groups=(group,)))
        assert store.num_chunks(A) == 0
    with pytest.raises(RecordError, match="'int4'"):
        Store.open(folder, tokens_dtype="int4")  # type: ignore[arg-type]


def test_a_store_of_8_bits_reads_what_it_reads_whoever_opens_it(folder: Path) -> None:
    """Chunks of both kinds in one store; the digest covers what is read; verify agrees."""
    record = draw_chunk(A, 0, rows=True)
    wide = tuple(
        dataclasses.replace(group, rows=outlier_rows(group.index, 50.0).astype(np.float16))
        for group in record.groups
    )
    with Store.open(folder, tokens_dtype="int8") as store:
        store.add_video(draw_video(A), "drawn")
        store.add_chunk(dataclasses.replace(record, groups=wide))
        digest = store.digest(A)
        assert store.verify() == []
    with Store.open(folder) as store:
        assert store.digest(A) == digest
        for found, given_group in zip(store.groups(A), wide, strict=True):
            assert found.rows is not None
            assert found.rows.dtype == np.float16
            np.testing.assert_array_equal(found.rows, through(given_group.rows, "int8"))
        store.add_chunk(draw_chunk(A, 1, rows=True))
        np.testing.assert_array_equal(
            store.groups(A, 4, 5)[0].rows, draw_chunk(A, 1, rows=True).groups[0].rows
        )
        assert store.verify() == []
        (tier,) = [tier for tier in store.tiers(A) if tier.name == "tokens"]
        assert tier.dtype == "float32, int8:float16"
        assert tier.chunks == 2
