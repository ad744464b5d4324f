"""What runs where a setting is left open: each encoder has rules of its own. Knows no model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentkit.config import AskSettings, KVDtype, Settings, Sparse

NOTES = "notes"
VIDEOXL2 = "videoxl2"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a video goes into the cache and how a question reads it."""

    sparse: Sparse
    keep_ends: bool
    evidence_lines: bool
    max_segment_positions: int  # 0: no limit
    kv_dtype: KVDtype
    beyond_native: bool  # more positions than the language model was trained for are let through
    sees_pictures: bool  # so that there is something to answer from where no note is
    kept_pool_step: int | None  # by which chunks are kept pooled too; None: whole alone


# Of notes: chosen by a benchmark (docs/answers.md). Of videoxl2: what the public reference does.
OF_ENCODER: Mapping[str, Rules] = {
    NOTES: Rules(
        sparse="left_out",
        keep_ends=False,
        evidence_lines=True,
        max_segment_positions=30_000,
        kv_dtype="float32",
        beyond_native=False,
        sees_pictures=False,
        kept_pool_step=None,
    ),
    VIDEOXL2: Rules(
        sparse="pooled",
        keep_ends=True,
        evidence_lines=False,
        max_segment_positions=0,
        kv_dtype="float16",
        beyond_native=True,
        sees_pictures=True,
        kept_pool_step=4,
    ),
}


def rules_of(encoder: str, settings: Settings) -> Rules:
    """Return an encoder's rules with what the settings say laid over them."""
    ask, prefill = settings.ask, settings.prefill
    said: dict[str, Any] = {
        "sparse": ask.sparse,
        "keep_ends": ask.keep_ends,
        "evidence_lines": ask.evidence_lines,
        "max_segment_positions": prefill.max_segment_positions,
        "kv_dtype": prefill.kv_dtype,
    }
    return replace(OF_ENCODER[encoder], **{k: v for k, v in said.items() if v is not None})


def in_words(rules: Rules, ask: AskSettings, by: str = "") -> str:
    """Return how a question reads a video, in a line for people; `by` is what chose its chunks."""
    by = by or ask.relevance
    if ask.context == "dense" or by == "all":
        return "every chunk whole"
    if ask.context == "retrieval":
        return f"notes of relevant chunks alone, by {by}"
    chosen = "no chunk" if by == "none" else f"chunks by {by}"
    ends = " and both ends" if rules.keep_ends else ""
    others = {
        "pooled": f"pooled by {ask.pool_step}",
        "time_only": "as their times alone",
        "left_out": "left out",
    }[rules.sparse]
    lines = "; note lines beside the question" if rules.evidence_lines else ""
    return f"{chosen}{ends} whole, the others {others}{lines}"
