"""The step of fixed shapes: as the ordinary one, wherever it stands, eager or replayed."""

import gc
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import DecodeCache, static_step
from videoxl2_model.attention import attend_one
from videoxl2_model.static_step import NOTHING, StaticStep, split_attention

NEAR = {"atol": 1e-4, "rtol": 0.0}
START = [3, 14, 15, 92, 65]


def filled(decoder, room, start=START):
    cache = DecodeCache.empty(decoder.spec, room)
    cache.rows.fill_(torch.nan)  # what memory that was never written may hold
    decoder.extend(cache, start)
    return cache


def advance(decoder, step, cache, token):
    logits = step.step(decoder.embed([token]), cache)
    cache.advance(1)
    return logits


@given(room=st.integers(len(START) + 6, 70), first=st.integers(0, 255))
def test_it_equals_the_ordinary_step(decoder, room, first):
    ours, theirs = filled(decoder, room), filled(decoder, room)
    step, token = StaticStep(decoder.run_row), first
    with torch.no_grad():
        for _ in range(6):
            logits, wanted = advance(decoder, step, ours, token), decoder.step(theirs, token)
            assert_close(logits, wanted, **NEAR)
            assert int(logits.argmax()) == int(wanted.argmax())
            token = int(wanted.argmax())
    held = slice(None, theirs.length)
    assert_close(ours.rows[:, :, :, held], theirs.rows[:, :, :, held], **NEAR)


@given(
    splits=st.integers(1, 6),
    each=st.integers(1, 9),
    heads=st.sampled_from([(2, 2), (4, 2), (7, 1)]),
    data=st.data(),
)
def test_splits_add_up_to_attention_over_what_is_there(splits, each, heads, data):
    rows = data.draw(st.integers(1, splits * each))
    random = torch.Generator().manual_seed(rows)
    query = torch.randn(heads[0], 1, 8, generator=random) * 3
    key, value = torch.randn(2, heads[1], splits * each, 8, generator=random)
    there = torch.arange(splits * each).view(splits, 1, each) < rows
    bias = torch.zeros(there.shape).masked_fill(~there, NOTHING)
    got = split_attention(query, key, value, bias)
    assert_close(got, attend_one(query, key[:, :rows], value[:, :rows]), atol=1e-5, rtol=0.0)


def test_scores_of_16_bits_stay_float32_where_the_device_can():
    """Shapes alone, on the meta device: the operators' own checks of arguments."""
    query, key = (
        torch.empty(n, r, 8, dtype=torch.bfloat16, device="meta") for n, r in ((4, 1), (2, 6))
    )
    bias = torch.empty(3, 1, 2, device="meta")
    out = split_attention(query, key, torch.empty_like(key), bias)
    assert (out.shape, out.dtype) == ((4, 1, 8), torch.bfloat16)
    scores = static_step._products(key, key.transpose(1, 2))
    assert scores.dtype == torch.float32


@pytest.fixture
def replays(monkeypatch):
    """Record as a CUDA graph does: the work of one forward, run again over the same tensors."""
    made = []

    def recorded(forward):
        made.append(forward)
        out = forward()

        def replay():
            out.copy_(forward())
            return out

        return replay

    monkeypatch.setattr(static_step, "recorded", recorded)
    monkeypatch.setattr(static_step, "EAGER_STEPS", 2)
    monkeypatch.setattr(StaticStep, "_records_on", staticmethod(lambda device: True))
    return made


@torch.no_grad()
def test_a_recorded_step_reads_what_was_placed(decoder, replays):
    ours, theirs, step = filled(decoder, 40), filled(decoder, 40), StaticStep(decoder.run_row)
    kept = []
    for token in (7, 7, 80, 3, 200, 80):
        kept.append((advance(decoder, step, ours, token), decoder.step(theirs, token)))
    assert len(replays) == 1
    for logits, wanted in kept:  # none was written over by a later step
        assert_close(logits, wanted, **NEAR)


@torch.no_grad()
def test_another_question_over_the_same_cache_needs_no_new_graph(decoder, replays):
    cache, step = filled(decoder, 40), StaticStep(decoder.run_row)
    for token in (7, 8, 9, 10):
        advance(decoder, step, cache, token)
    cache.rewind(len(START))
    again = advance(decoder, step, cache, 7)
    assert_close(again, decoder.step(filled(decoder, 40), 7), **NEAR)
    assert len(replays) == 1


@torch.no_grad()
def test_another_cache_is_recorded_anew(decoder, replays):
    step = StaticStep(decoder.run_row)
    for room in (40, 48):
        ours, wanted = filled(decoder, room), filled(decoder, room)
        for token in (7, 8, 9, 10):
            assert_close(advance(decoder, step, ours, token), decoder.step(wanted, token), **NEAR)
    assert len(replays) == 2


@torch.no_grad()
def test_the_same_memory_read_as_another_type_is_recorded_anew(decoder, replays):
    step = StaticStep(decoder.run_row)
    caches = [DecodeCache.empty(decoder.spec, 40, dtype=torch.bfloat16) for _ in range(2)]
    caches[1].rows = caches[0].rows.view(torch.float16)
    for cache in caches:
        decoder.extend(cache, START)
        wanted = filled(decoder, 40)
        for token in (7, 8, 9, 10):
            logits = advance(decoder, step, cache, token)
            assert_close(logits, decoder.step(wanted, token), atol=0.1, rtol=0.0)
    assert len(replays) == 2


@torch.no_grad()
def test_a_short_answer_is_not_recorded(decoder, replays, monkeypatch):
    monkeypatch.setattr(static_step, "EAGER_STEPS", 5)
    cache, step = filled(decoder, 40), StaticStep(decoder.run_row)
    for token in range(5):
        advance(decoder, step, cache, token)
    assert not replays
    advance(decoder, step, cache, 5)
    assert len(replays) == 1


@torch.no_grad()
def test_a_cache_is_not_kept_alive(decoder):
    step, cache = StaticStep(decoder.run_row), filled(decoder, 40)
    for token in (7, 8, 9):
        advance(decoder, step, cache, token)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None


@torch.no_grad()
def test_without_a_graph_it_goes_on(decoder, monkeypatch, caplog):
    def recorded(forward):
        raise RuntimeError("no graphs here")

    monkeypatch.setattr(static_step, "recorded", recorded)
    monkeypatch.setattr(static_step, "EAGER_STEPS", 2)
    monkeypatch.setattr(StaticStep, "_records_on", staticmethod(lambda device: True))
    ours, theirs, step = filled(decoder, 40), filled(decoder, 40), StaticStep(decoder.run_row)
    for token in (7, 8, 9, 10, 11):
        assert_close(advance(decoder, step, ours, token), decoder.step(theirs, token), **NEAR)
    assert [record.message for record in caplog.records] == [
        "decoding runs without a CUDA graph: no graphs here"
    ]
