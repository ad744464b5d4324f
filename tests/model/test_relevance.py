"""Scores equal shares of attention added up one by one."""

import pytest
import torch
from torch.testing import assert_close

from videoxl2_model import Prefill, PrefillConfig, VideoKV
from videoxl2_model.errors import AbsentGroupsError, SettingError
from videoxl2_model.relevance import score

SYSTEM = [1, 2, 3]
LENGTHS = [(2, 6), (1, 5), (3, 0), (2, 9)]
QUESTION = [7, 8]


@pytest.fixture(scope="module")
def kv(decoder, tools):
    run = Prefill(decoder, SYSTEM, PrefillConfig(2, None))
    for group in tools.random_groups(LENGTHS):
        run.add(group)
    run.flush()
    return run.kv


def attention_weights(model, ids):
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the one that gives its weights
    with torch.no_grad():
        weights = model(torch.tensor([ids]), output_attentions=True).attentions
    model.set_attn_implementation(before)
    return weights


def test_equals_attention_read_off_transformers(decoder, kv, tools):
    ids = [*SYSTEM, *tools.ids_of(tools.random_groups(LENGTHS)), *QUESTION]
    attentions = attention_weights(decoder.model, ids)
    wanted = torch.zeros(len(LENGTHS))
    for weights in attentions:  # [1, heads, L, L]
        for head in weights[0]:
            shares = []
            for row in head[-len(QUESTION) :]:
                start, sums = len(SYSTEM), []
                for time, tokens in LENGTHS:
                    sums.append(row[start + time : start + time + tokens].sum())
                    start += time + tokens
                shares.append(torch.stack(sums) / sum(sums))
            wanted += torch.stack(shares).amax(0) / len(weights[0]) / len(attentions)
    # With step 1 nothing is pooled, so the pass is the plain causal one.
    assert_close(score(decoder, kv, QUESTION, step=1), wanted, atol=1e-5, rtol=0.0)


def test_pooled_scores_are_shares(decoder, kv):
    scores = score(decoder, kv, QUESTION)
    assert scores.shape == (len(LENGTHS),)
    assert scores[2] == 0  # it has no tokens
    assert 1 - 1e-5 <= scores.sum() <= len(QUESTION)


def test_what_cannot_be_scored_is_said(decoder, kv):
    with pytest.raises(SettingError):
        score(decoder, kv, [])
    partly = VideoKV.from_parts(kv.system_part(), [(2, kv.part(0, 2)), (2, None)])
    with pytest.raises(AbsentGroupsError):
        score(decoder, partly, QUESTION)
