"""Cases of the language model, from pixels to tokens: d rows, e dense, f chunks, g bi-level."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videoxl2_model.assembly import mix
from videoxl2_model.config import PrefillConfig
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.errors import SettingError
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.layout import SegmentLayout
from videoxl2_model.parity_model import GoldenModel
from videoxl2_model.parity_report import Report
from videoxl2_model.prefill import Prefill, TokenGroup
from videoxl2_model.reference import VIDEO, group_bounds, select_units, time_ids, time_text_ids

VOCABULARY_STEP = 64  # golden logits of every step are kept for each 64th id

Facts = Mapping[str, Any]


def check_rows(model: GoldenModel, facts: Facts, report: Report) -> list[TokenGroup]:
    """Case d, and the first part of all others: the prompt's rows, made from drawn pixels."""
    report.what = told(facts)
    system, question = prompt_ids(facts)
    groups = token_groups(model, facts, report)
    decoder = model.decoder
    rows = [decoder.embed(system)]
    layout = SegmentLayout(len(system), PrefillConfig())
    for group in groups:
        layout.add(len(group.time_ids), group.token_length)
        rows += [decoder.embed(group.time_ids), visual(group).to(decoder.device)]
    rows.append(decoder.embed(question))
    report.array("inputs_embeds", torch.cat(rows))
    report.equal("visual_start", len(system), facts["visual_start"])
    report.equal("visual_end", layout.stop, facts["visual_end"])
    report.equal("prompt_len", layout.stop + len(question), facts["prompt_len"])
    return groups


def told(facts: Facts) -> str:
    """Return a case's mode and size in words."""
    frames = f"frames: {facts['frames']}"
    if "steps" not in facts:
        return f"rows, {frames}"
    if setting := facts.get("selected_config"):
        size, step = setting["selected_chunk_size"], setting["compression"]
        return f"units {facts['selected_units']}, K={size} S={step}, {frames}"
    config = prefill_config(facts)
    if config.lookback_blocks is None:
        return f"dense, {frames}"
    return f"blocks of {config.block_groups}, {config.lookback_blocks} back, {frames}"


def prompt_ids(facts: Facts) -> tuple[list[int], list[int]]:
    """Return the ids before and after the video."""
    ids: list[int] = facts["input_ids"]
    return ids[: ids.index(VIDEO)], ids[ids.index(VIDEO) + 1 :]


def visual(group: TokenGroup) -> Tensor:
    assert group.rows is not None  # ours always come as rows
    return group.rows


def token_groups(model: GoldenModel, facts: Facts, report: Report) -> list[TokenGroup]:
    """Return the groups: text ids by rule, rows from pixels; golden rows if none are named."""
    ids: list[int] = facts["time_embedding_ids"]
    report.equal("time_embedding_ids", time_ids(facts["times"]), ids)
    if "pixels_name" not in facts:
        report.what += ", golden rows"
        rows = report.arrays["inputs_embeds"][facts["visual_start"] :]
        return [
            TokenGroup(tuple(ids[start:middle]), rows=rows[middle:stop])
            for start, middle, stop in group_bounds(ids)
        ]
    made = model.rows(facts["pixels_name"], facts["frames"])
    texts = [time_text_ids(first_s) for first_s in facts["times"][::4]]
    if len(texts) != len(made):
        raise SettingError(f"{len(texts)} time texts for {len(made)} groups")
    return [TokenGroup(tuple(text), rows=rows) for text, rows in zip(texts, made, strict=True)]


def check_answer(model: GoldenModel, facts: Facts, report: Report) -> None:
    """Cases e, f and g: prefill, question, greedy tokens."""
    groups = check_rows(model, facts, report)
    decoder, (system, question) = model.decoder, prompt_ids(facts)
    kv, before = prefilled(model, system, groups, prefill_config(facts))
    room = len(question) + len(facts["steps"])
    cache = kv.assemble(range(kv.num_groups), chunk_groups=1, room=room)
    after = decoder.extend_rows(cache, decoder.embed(question))
    bilevel = "selected_units" in facts
    whole = torch.cat((before, after))
    report.array("prefill_final_hidden" if bilevel else "final_hidden", whole)
    check_mask(facts, report)
    forwards = [range(len(whole))]
    if facts.get("selected_config"):
        cache = mixed(kv, facts, room, report)
        forwards.append(range(cache.length, cache.length + len(question)))
        after = decoder.extend_rows(cache, decoder.embed(question))
        report.array("suffix_final_hidden", after)
    forwards += check_steps(model, facts, cache, decoder.logits(after[-1]), report)
    check_forwards(forwards, decoder.spec.layers, facts, report)


def prefill_config(facts: Facts) -> PrefillConfig:
    """Return a case's blocks; without a mask (e, and g without a list) attention is causal."""
    masked = "block_size" in facts and facts.get("selected_units", []) is not None
    if not masked:
        return PrefillConfig(block_groups=2, lookback_blocks=None)
    return PrefillConfig(facts["block_size"], facts["prev_blocks"])


def prefilled(
    model: GoldenModel, system: Sequence[int], groups: Sequence[TokenGroup], config: PrefillConfig
) -> tuple[VideoKV, Tensor]:
    """Return a case's cache and the hidden states of everything before the question."""
    states: list[Tensor] = []
    run = Prefill(model.decoder, system, config, observe=lambda _, rows: states.append(rows))
    for group in groups:
        run.add(group)
    run.flush()
    return run.kv, torch.cat(states)


def mixed(kv: VideoKV, facts: Facts, room: int, report: Report) -> DecodeCache:
    """Return the bi-level cache of a case, its un-rotated entries compared on the way."""
    setting = facts["selected_config"]
    pieces = select_units(
        kv, facts["selected_units"], setting["selected_chunk_size"], setting["compression"]
    )
    rows, length = mix(kv, pieces, 0)
    report.equal("mixed length", [length] * len(rows), facts["mixed_kv_length_per_layer"])
    for layer, (keys, values) in enumerate(rows):
        report.array(f"mixed_key_layer{layer}", keys)
        report.array(f"mixed_value_layer{layer}", values)
    return kv.assemble_pieces(pieces, room)


def check_steps(
    model: GoldenModel, facts: Facts, cache: DecodeCache, logits: Tensor, report: Report
) -> list[range]:
    """Compare each step's token and logits; return the positions that the steps ran at."""
    report.array("logits_first", logits)
    tokens: list[int] = []
    subset: list[Tensor] = []
    ran: list[range] = []
    for step in facts["steps"]:
        check_best(step, logits, report)
        tokens.append(int(logits.argmax()))
        subset.append(logits[::VOCABULARY_STEP])
        ran.append(range(cache.length, cache.length + 1))
        logits = model.decoder.step(cache, tokens[-1])
    report.equal("greedy_tokens", tokens, facts["greedy_tokens"])
    report.equal("tokens of the steps", tokens, [step["token"] for step in facts["steps"]])
    report.array("logits_steps_subset", torch.stack(subset))
    return ran[:-1]  # nothing reads what follows the last token


def check_best(step: Facts, logits: Tensor, report: Report) -> None:
    """Compare the best logits of a step, and that no other id is better than theirs."""
    golden = torch.tensor(step["top8_logits"])
    best = logits.topk(len(golden)).values
    report.close("best logits", logits[step["top8_ids"]], golden)
    report.close("best logits", best, golden)
    report.close("gap", best[0] - best[1], torch.tensor(step["gap_top1_top2"]))


def check_forwards(forwards: Sequence[range], layers: int, facts: Facts, report: Report) -> None:
    """Compare positions and cache lengths of every pass with what the reference's own had."""
    spans = [[each.start, each.stop - 1] for each in forwards]
    lengths = [[each.stop] * layers for each in forwards]
    if "number_of_model_forwards" in facts:
        report.equal("forwards", len(forwards), facts["number_of_model_forwards"])
    for name, value in (
        ("position_ids_first_last_per_forward", spans),
        ("kv_len_per_forward", lengths),
        ("kv_len_per_step", lengths),
    ):
        if name in facts:
            report.equal(name, value, facts[name])


def check_mask(facts: Facts, report: Report) -> None:
    """Compare a case's packed mask, and the share of pairs that it allows."""
    if "mask_packed" not in report.arrays and "ratio" not in facts:
        return
    pairs = visible_pairs(facts, facts["prompt_len"])
    report.array("mask_packed", torch.from_numpy(np.packbits(pairs)))
    if "ratio" in facts:
        report.equal("ratio", allowed_share(pairs), facts["ratio"])


def check_masks(facts: Facts, report: Report) -> None:
    """Case f_masks: every visible pair of every mask, from the layout alone."""
    report.what = f"chunk masks: {len(facts['masks'])}"
    for mask in facts["masks"]:
        name, length = mask["name"], mask["L"]
        pairs = visible_pairs(mask, length)
        report.array(name, torch.from_numpy(np.packbits(pairs)))
        counted = [int(pairs.sum()), length * (length + 1) // 2, allowed_share(pairs)]
        report.equal(
            f"{name} pairs", counted, [mask[k] for k in ("allowed", "causal_total", "ratio")]
        )
        check_places(mask, report)


def check_places(mask: Facts, report: Report) -> None:
    """Compare where a mask's texts and blocks lie."""
    system, question = prompt_ids(mask)
    ids = time_ids(mask["times"])
    bounds = group_bounds(ids)
    layout = layout_of(mask)
    end = layout.stop
    ours = {
        "time_embedding_ids": ids,
        "frames": len(mask["times"]),
        "num_blocks": len(layout.block_starts),
        "time_token_start_indices": [len(system) + start for start, _, _ in bounds],
        "time_token_end_indices": [len(system) + middle for _, middle, _ in bounds],
        "visual_start": len(system),
        "visual_end": end,
        "total_len": end + len(question),
        "L": end + len(question),
    }
    for name, value in ours.items():
        if name in mask:
            report.equal(f"{mask['name']} {name}", value, mask[name])


def layout_of(facts: Facts) -> SegmentLayout:
    """Return where a case's groups lie, from the lengths of its texts."""
    system, _ = prompt_ids(facts)
    layout = SegmentLayout(len(system), PrefillConfig(facts["block_size"], facts["prev_blocks"]))
    for start, middle, stop in group_bounds(facts["time_embedding_ids"]):
        layout.add(middle - start, stop - middle)
    return layout


def visible_pairs(facts: Facts, length: int) -> NDArray[np.bool_]:
    """Return the L x L matrix of pairs that the layout lets see, for comparison only."""
    layout = layout_of(facts)
    pairs = np.zeros((length, length), dtype=np.bool_)
    for row in range(length):
        for seen in layout.visible(row):
            pairs[row, seen.start : seen.stop] = True
    return pairs


def allowed_share(pairs: NDArray[np.bool_]) -> float:
    return int(pairs.sum()) / (len(pairs) * (len(pairs) + 1) // 2)
