"""Greedy equals transformers' own; draws follow their settings; stops stop."""

from itertools import islice

import pytest
import torch
from torch.testing import assert_close

from videoxl2_model import DecodeCache, GenerationSettings
from videoxl2_model.errors import RoomError
from videoxl2_model.generate import choose, generate

PROMPT = [5, 99, 17, 240, 31]


def answer(decoder, **settings):
    chosen = GenerationSettings(**{"max_new_tokens": 12, **settings})
    cache = DecodeCache.empty(decoder.spec, len(PROMPT) + chosen.max_new_tokens)
    return list(generate(decoder, cache, PROMPT, chosen))


def theirs(decoder, **settings):
    out = decoder.model.generate(
        torch.tensor([PROMPT]),
        attention_mask=torch.ones(1, len(PROMPT)),
        max_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
        **settings,
    )
    return out[0, len(PROMPT) :].tolist()


def test_greedy_equals_transformers(decoder):
    assert answer(decoder) == theirs(decoder)


def test_a_stop_id_ends_and_is_not_given(decoder):
    whole = answer(decoder)
    stop = whole[4]
    assert answer(decoder, stop_ids=(stop,)) == whole[: whole.index(stop)]


def test_a_seed_gives_the_same_draw_again(decoder):
    one, again, other = (
        answer(decoder, temperature=2.0, max_new_tokens=30, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_ids_come_one_at_a_time(decoder):
    cache = DecodeCache.empty(decoder.spec, 40)
    first = list(islice(generate(decoder, cache, PROMPT, GenerationSettings(20)), 2))
    assert len(first) == 2
    assert cache.length == len(PROMPT) + 1  # the second id has not been run


def test_too_little_room_is_said_before_anything_runs(decoder):
    cache = DecodeCache.empty(decoder.spec, 8)
    with pytest.raises(RoomError):
        next(generate(decoder, cache, PROMPT, GenerationSettings(5)))
    assert cache.length == 0
    assert len(list(generate(decoder, cache, PROMPT, GenerationSettings(4)))) == 4


def draws(logits, settings, answer=(), n=4000):
    random = torch.Generator().manual_seed(0)
    counts = torch.zeros(len(logits))
    for _ in range(n):
        counts[choose(logits, answer, settings, random)] += 1
    return counts / n


def test_draws_follow_the_softmax():
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0])
    share = draws(logits, GenerationSettings(temperature=2.0))
    assert_close(share, (logits / 2).softmax(0), atol=0.03, rtol=0.0)


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    kept = {
        p: (draws(logits, GenerationSettings(temperature=1, top_p=p), n=500) > 0).tolist()
        for p in (0.4, 0.7, 0.9, 1.0)
    }
    assert kept[0.4] == [True, False, False, False]
    assert kept[0.7] == [True, True, False, False]
    assert kept[0.9] == [True, True, True, False]
    assert kept[1.0] == [True, True, True, True]


def test_the_penalty_acts_on_generated_ids_only():
    logits = torch.tensor([2.0, 1.9, -1.0, -1.1])
    settings = GenerationSettings(repetition_penalty=1.2)
    random = torch.Generator()
    assert choose(logits, [], settings, random) == 0
    assert choose(logits, [0], settings, random) == 1
    assert choose(logits[2:], [0, 0], settings, random) == 1
    assert logits.tolist() == pytest.approx([2.0, 1.9, -1.0, -1.1])
