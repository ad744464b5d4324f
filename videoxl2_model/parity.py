"""Golden data of the public reference in, the largest difference of every case out.

    python -m videoxl2_model.parity FOLDER

Runs the language model's cases; picture tokens are taken from the golden rows.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videoxl2_model.assembly import mix
from videoxl2_model.config import PrefillConfig
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.decoder import Decoder
from videoxl2_model.golden import Case, Report, golden_decoder, group_bounds
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.layout import SegmentLayout
from videoxl2_model.prefill import Prefill
from videoxl2_model.reference import select_units

VOCABULARY_STEP = 64  # golden logits of every step are kept for each 64th id


def check_embeddings(decoder: Decoder, case: Case) -> Report:
    """Case d: text rows from the table, positions from lengths alone."""
    report = Report(case.name)
    rows = case.arrays["inputs_embeds"]
    layout = SegmentLayout(len(case.system_ids), PrefillConfig())
    report.close("system", decoder.embed(case.system_ids), rows[: layout.stop])
    for group in case.groups():
        span = layout.add(len(group.time_ids), group.token_length)
        report.close("times", decoder.embed(group.time_ids), rows[span.start : span.tokens.start])
    report.close("question", decoder.embed(case.question_ids), rows[layout.stop :])
    report.equal("video span", layout.stop, case.facts["visual_end"])
    report.equal("length", layout.stop + len(case.question_ids), case.facts["prompt_len"])
    return report


def check_answer(decoder: Decoder, case: Case) -> Report:
    """Cases e, f and g: prefill, question, eight greedy tokens."""
    report = Report(case.name)
    kv, before = prefilled(decoder, case, prefill_config(case))
    whole = kv.assemble(range(kv.num_groups), chunk_groups=1, room=len(case.question_ids) + 8)
    after = decoder.extend_rows(whole, decoder.embed(case.question_ids))
    name = "prefill_final_hidden" if case.name.startswith("g_") else "final_hidden"
    if name in case.arrays:
        report.close(name, torch.cat((before, after)), case.arrays[name])
    if case.facts.get("selected_config"):
        cache = mixed(kv, case, report)
        after = decoder.extend_rows(cache, decoder.embed(case.question_ids))
        report.close("suffix_final_hidden", after, case.arrays["suffix_final_hidden"])
    else:
        cache = whole
    check_steps(decoder, case, cache, decoder.logits(after[-1]), report)
    return report


def prefill_config(case: Case) -> PrefillConfig:
    """Return a case's blocks; without a mask (e, and g without a list) attention is causal."""
    masked = "block_size" in case.facts and case.facts.get("selected_units", []) is not None
    if not masked:
        return PrefillConfig(block_groups=2, lookback_blocks=None)
    return PrefillConfig(case.facts["block_size"], case.facts["prev_blocks"])


def prefilled(decoder: Decoder, case: Case, config: PrefillConfig) -> tuple[VideoKV, Tensor]:
    """Return a case's cache and the hidden states of everything before the question."""
    states: list[Tensor] = []
    run = Prefill(decoder, case.system_ids, config, observe=lambda _, rows: states.append(rows))
    for group in case.groups():
        run.add(group)
    run.flush()
    return run.kv, torch.cat(states)


def mixed(kv: VideoKV, case: Case, report: Report) -> DecodeCache:
    """Return the bi-level cache of a case, its un-rotated entries compared on the way."""
    setting = case.facts["selected_config"]
    pieces = select_units(
        kv,
        case.facts["selected_units"],
        setting["selected_chunk_size"],
        setting["compression"],
    )
    rows, length = mix(kv, pieces, 0)
    report.equal("mixed length", [length] * len(rows), case.facts["mixed_kv_length_per_layer"])
    for layer, (keys, values) in enumerate(rows):
        if f"mixed_key_layer{layer}" in case.arrays:
            report.close(f"keys {layer}", keys, case.arrays[f"mixed_key_layer{layer}"])
            report.close(f"values {layer}", values, case.arrays[f"mixed_value_layer{layer}"])
    return kv.assemble_pieces(pieces, len(case.question_ids) + 8)


def check_steps(
    decoder: Decoder, case: Case, cache: DecodeCache, logits: Tensor, report: Report
) -> None:
    """Compare each step's token, its best logits and a subset of all, and the cache's length."""
    if "logits_first" in case.arrays:
        report.close("logits_first", logits, case.arrays["logits_first"])
    tokens: list[int] = []
    lengths: list[list[int]] = []
    for step, golden in zip(case.facts["steps"], case.arrays["logits_steps_subset"], strict=True):
        report.close(f"step {len(tokens)}", logits[::VOCABULARY_STEP], golden)
        report.close(
            f"best {len(tokens)}", logits[step["top8_ids"]], torch.tensor(step["top8_logits"])
        )
        tokens.append(int(logits.argmax()))
        lengths.append([cache.length] * decoder.spec.layers)
        logits = decoder.step(cache, tokens[-1])
    report.equal("tokens", tokens, case.facts["greedy_tokens"])
    golden_lengths = case.facts.get("kv_len_per_step", case.facts.get("kv_len_per_forward"))
    if golden_lengths is not None:
        report.equal("lengths", lengths, golden_lengths[-len(lengths) :])


def check_masks(folder: Path) -> Report:
    """Case f_masks: every visible pair of every mask, from the layout alone."""
    case = Case.load(folder, "f_masks")
    report = Report(case.name)
    for facts in case.facts["masks"]:
        packed = np.packbits(visible_pairs(facts))
        golden = case.arrays[facts["name"]].numpy()
        report.equal(facts["name"], bool(np.array_equal(packed, golden)), True)
        report.differences[facts["name"]] = 0.0
    return report


def visible_pairs(facts: Mapping[str, Any]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return the L x L matrix of pairs that the layout lets see, for comparison only."""
    start, length = int(facts["visual_start"]), int(facts["L"])
    config = PrefillConfig(int(facts["block_size"]), int(facts["prev_blocks"]))
    layout = SegmentLayout(start, config)
    for first, middle, stop in group_bounds(facts["time_embedding_ids"]):
        layout.add(middle - first, stop - middle)
    pairs = np.zeros((length, length), dtype=np.bool_)
    for row in range(length):
        for seen in layout.visible(row):
            pairs[row, seen.start : seen.stop] = True
    return pairs


CHECKS: dict[str, Callable[[Decoder, Case], Report]] = {
    "d": check_embeddings,
    "e": check_answer,
    "f": check_answer,
    "g": check_answer,
}


def run_case(folder: Path, name: str, decoder: Decoder) -> Report:
    """Run one of the language model's cases."""
    if name == "f_masks":
        return check_masks(folder)
    return CHECKS[name[0]](decoder, Case.load(folder, name))


def case_names(folder: Path) -> list[str]:
    """Return the language model's cases that a folder holds."""
    files = sorted(folder.glob("[defg]_*.json"))
    return [path.stem for path in files if path.with_suffix(".safetensors").is_file()]


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    decoder = golden_decoder(folder)
    passed = True
    for name in case_names(folder):
        report = run_case(folder, name, decoder)
        passed &= report.passed
        worst = max(report.differences.values(), default=float("nan"))
        faults = "; ".join(report.mismatches)
        sys.stdout.write(f"{name}\t{worst:.1e}\t{'ok' if report.passed else 'FAIL'} {faults}\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
