"""Scores equal shares of attention added up one by one; budgets hold whatever is scored."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from videoxl2_model import Prefill, PrefillConfig, SparseRule, VideoKV, relevance
from videoxl2_model.config import Budget, Relevance
from videoxl2_model.errors import AbsentGroupsError, SettingError, UnknownChunkError
from videoxl2_model.relevance import by_chunk, choose, chunk_sizes, dense_chunks_for, score

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


@pytest.mark.parametrize("values", [1, 500, 2000])
@pytest.mark.parametrize("step", [1, 4])
def test_scoring_in_tiles_changes_nothing(decoder, kv, values, step, monkeypatch):
    question = list(range(20, 37))
    whole = score(decoder, kv, question, step)
    monkeypatch.setattr(relevance, "TILE_VALUES", values)
    assert_close(score(decoder, kv, question, step), whole, rtol=0.0, atol=1e-7)


def largest(kv, decoder, question, monkeypatch, values):
    """The most numbers that one tensor of attention weights had."""
    sizes = []
    plain = torch.Tensor.masked_fill_
    monkeypatch.setattr(relevance, "TILE_VALUES", values)
    monkeypatch.setattr(
        torch.Tensor, "masked_fill_", lambda x, *args: sizes.append(x.numel()) or plain(x, *args)
    )
    score(decoder, kv, question, 1)
    return max(sizes)


def test_weights_are_never_held_for_all_rows_of_a_long_question(decoder, kv, monkeypatch):
    entries = len(SYSTEM) + sum(time + tokens for time, tokens in LENGTHS)
    most = largest(kv, decoder, list(range(20, 60)), monkeypatch, 3 * 4 * entries)
    assert most == 3 * 4 * entries  # three of forty rows, four heads


@pytest.mark.parametrize("away", [False, True])
def test_a_cache_in_8_bits_or_in_host_memory_is_scored(decoder, kv, away):
    parts = [(len(LENGTHS), kv.part(0, len(LENGTHS)))]
    steps = VideoKV.from_parts(
        kv.system_part(), parts, dtype=torch.int8, device=torch.device("cpu", 0)
    )
    if away:
        steps.offload()
    assert_close(score(decoder, steps, QUESTION), score(decoder, kv, QUESTION), atol=0.02, rtol=0.0)


def test_a_video_without_tokens_scores_nothing(decoder, tools):
    run = Prefill(decoder, SYSTEM)
    for group in tools.random_groups([(2, 0), (3, 0)]):
        run.add(group)
    run.flush()
    assert score(decoder, run.kv, QUESTION).tolist() == [0.0, 0.0]


def test_what_cannot_be_scored_is_said(decoder, kv):
    with pytest.raises(SettingError):
        score(decoder, kv, [])
    partly = VideoKV.from_parts(kv.system_part(), [(2, kv.part(0, 2)), (2, None)])
    with pytest.raises(AbsentGroupsError):
        score(decoder, partly, QUESTION)


SCORED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.integers(1, 700)), max_size=12
)
KINDS = st.sampled_from(["top_k", "tokens", "share"])


def budget_of(kind, part, sizes):
    """A budget of a kind that is `part` of everything."""
    most = {"top_k": len(sizes), "tokens": sum(sizes), "share": 1.0}[kind] * part
    return Budget(**{kind: most if kind == "share" else int(most)})


def spent(chosen, sizes, kind):
    total = sum(sizes[each] for each in chosen)
    return {"top_k": len(chosen), "tokens": total, "share": total / max(1, sum(sizes))}[kind]


@given(SCORED, KINDS, st.floats(0, 1), st.booleans())
def test_a_budget_is_never_exceeded_but_for_the_ends(scored, kind, part, keep_ends):
    scores, sizes = [each for each, _ in scored], [size for _, size in scored]
    budget = budget_of(kind, part, sizes)
    chosen = choose(scores, sizes, budget, keep_ends=keep_ends)
    ends = {0, len(sizes) - 1} if keep_ends and sizes else set()
    assert ends <= chosen <= set(range(len(sizes)))
    limit = getattr(budget, kind)
    assert chosen == ends or spent(chosen, sizes, kind) <= limit + 1e-9
    # The best of what was left out would not have fitted, and nothing in is worse than it.
    left = sorted(set(range(len(sizes))) - chosen, key=lambda each: (-scores[each], each))
    if left:
        assert spent({*chosen, left[0]}, sizes, kind) > limit - 1e-9
        assert all(scores[each] >= scores[left[0]] for each in chosen - ends)


@given(SCORED, KINDS, st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_a_larger_budget_only_adds(scored, kind, one, other, keep_ends):
    scores, sizes = [each for each, _ in scored], [size for _, size in scored]
    less, more = (budget_of(kind, part, sizes) for part in sorted((one, other)))
    small, large = (choose(scores, sizes, each, keep_ends=keep_ends) for each in (less, more))
    assert small <= large
    everything = choose(scores, sizes, budget_of(kind, 1, sizes), keep_ends=keep_ends)
    assert everything == set(range(len(sizes)))


def test_the_earlier_of_equals_comes_first():
    assert choose([0.5, 0.9, 0.5, 0.5], [1] * 4, Budget(top_k=2), keep_ends=False) == {0, 1}
    assert choose([0.5, 0.9, 0.5, 0.5, 0.1], [1] * 5, Budget(top_k=4)) == {0, 1, 2, 4}


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match=r"2 scores .* 3 chunks"):
        choose([1.0, 2.0], [1, 1, 1], Budget(top_k=1))
    with pytest.raises(SettingError, match="not a number"):
        choose([1.0, float("nan")], [1, 1], Budget(top_k=1))


def test_a_strategy_is_a_setting(decoder, kv):
    def chosen(by, **settings):
        given = {
            key: settings.pop(key) for key in ("decoder", "question", "scores") if key in settings
        }
        return dense_chunks_for(
            Relevance(by, **settings), kv, chunk_groups=1, keep_ends=False, **given
        )

    assert chosen("all") == {0, 1, 2, 3}
    assert chosen("none") == set()
    assert chosen("chunks", which=(2, 0)) == {0, 2}
    assert chosen("units", which=(1,)) == {2}  # 8 frames are two groups
    assert chosen("scores", budget=Budget(top_k=1), scores=[1.0, 3.0, 2.0, 0.0]) == {1}
    wanted = score(decoder, kv, QUESTION).argmax().item()
    asked = {"decoder": decoder, "question": QUESTION}
    assert chosen("attention", budget=Budget(top_k=1), **asked) == {wanted}
    with pytest.raises(SettingError, match="decoder"):
        chosen("attention", budget=Budget(top_k=1))
    with pytest.raises(SettingError, match="a score for every chunk"):
        chosen("scores", budget=Budget(top_k=1))
    with pytest.raises(UnknownChunkError, match="no chunk 5"):
        kv.select(chosen("chunks", which=(5,)), chunk_groups=1)


def test_chunks_have_the_best_score_and_all_tokens_of_their_groups(kv):
    assert by_chunk([1.0, 3.0, 2.0, 0.5, 0.1], 2) == [3.0, 2.0, 0.1]
    assert chunk_sizes(kv, 3) == [8 + 6 + 3, 11]
    dense = kv.select(range(2), chunk_groups=3, sparse=SparseRule("left_out"))
    assert sum(chunk_sizes(kv, 3)) + len(SYSTEM) == sum(piece.entries for piece in dense)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(),
        lambda: Budget(top_k=1, tokens=5),
        lambda: Budget(top_k=-1),
        lambda: Budget(share=1.5),
        lambda: Budget(share=float("nan")),
        lambda: Relevance("nearest"),
        lambda: Relevance("attention"),
        lambda: Relevance("all", budget=Budget(top_k=1)),
        lambda: Relevance("all", which=(1,)),
    ],
)
def test_settings_that_mean_nothing_are_refused(make):
    with pytest.raises(SettingError):
        make()
