"""How many bytes does an hour of video take, tier by tier?

With the notes encoder measured: a film is ingested, its KV made once more in 8 bits, and what the
store says of each tier scaled to an hour. For Video-XL-2 counted, from the checkpoint's sizes and
one group that goes through the store's own 8 bits; its notes and vectors are the other's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ask import FIRST
from common import Ratio, bench_dir, clip, show
from films import CLIPS, PLANS, film
from store_drawn import TOKENS, outlier_rows, scratch
from store_first_token import open_session

from agentkit.rules import OF_ENCODER, VIDEOXL2
from agentkit_storage.row_codec import TokensDtype, codec_of, encoded
from videoxl2_model.memory import Workload
from videoxl2_model.published import full_size

LIMIT_TOKENS_INT8 = 0.52
HOUR_S = 3600
CHUNK_GROUPS = 4
POOL_STEP = OF_ENCODER[VIDEOXL2].kept_pool_step or 1

Bytes = dict[str, float]  # by tier and number type, an hour


def measure(
    name: str = "10min", given: Sequence[str] = (), path: Path | None = None
) -> tuple[dict[str, Any], list[Ratio]]:
    """Return bytes an hour of both encoders, and what 8 bits spare."""
    path = path or film(PLANS[name], {each: clip(each) for each in CLIPS}, bench_dir()).path
    notes, counted = of_notes(path, given), of_pictures()
    for tier, nbytes in (*notes.items(), *counted.items()):
        print(f"an hour of {tier}: {nbytes / 1e6:.4g} MB", flush=True)
    return {"film": path.name, "notes": notes, "videoxl2": counted}, _ratios(notes, counted)


def of_notes(path: Path, given: Sequence[str]) -> Bytes:
    """Ingest a file with the notes encoder; return its bytes an hour."""
    with scratch() as folder:
        with open_session(folder, given) as session:
            video = session.ingest(path)
        with open_session(folder, [*given, "prefill.kv_dtype=int8"]) as session:
            session.ask(FIRST, video)
            tiers = session.tiers(video)
    hours = video.duration_s / HOUR_S
    names = (f"{each.name} {each.part} {each.dtype}".split() for each in tiers)
    return {
        f"notes encoder: {' '.join(words)}": tier.nbytes / hours
        for words, tier in zip(names, tiers, strict=True)
    }


def of_pictures() -> Bytes:
    """Count what Video-XL-2 makes of an hour at a frame a second."""
    sizes = full_size().language_model
    layers, heads = int(sizes["num_hidden_layers"]), int(sizes["num_key_value_heads"])
    head = int(sizes["hidden_size"]) // int(sizes["num_attention_heads"])
    work = Workload(num_frames=HOUR_S, fps=1.0)
    pooled = work.time_tokens + work.groups * TOKENS // POOL_STEP  # timestamps stay whole
    rows = work.tokens + pooled  # each chunk is kept in both forms
    numbers = 2 * layers * heads * head * rows  # keys and values
    # A scale for each channel of a chunk's keys, in both forms, and for each row of values.
    key_scales = 2 * layers * heads * head * work.groups / CHUNK_GROUPS
    value_scales = layers * heads * rows
    return {
        "videoxl2: tokens float16": float(work.groups * group_bytes("lossless")),
        "videoxl2: tokens int8": float(work.groups * group_bytes("int8")),
        "videoxl2: kv float16": 2.0 * numbers,
        "videoxl2: kv float16, read for a question": 2.0 * numbers * pooled / rows,
        "videoxl2: kv int8": numbers + 4.0 * (key_scales + value_scales),
    }


def group_bytes(kind: TokensDtype) -> int:
    """Return the bytes of one group's arrays as the store keeps them."""
    width = full_size().hidden_size
    rows = outlier_rows(TOKENS, 100.0, np.random.default_rng(0), width)
    return sum(array.nbytes for array in encoded(rows, 0, codec_of(rows, kind)).values())


def _ratios(notes: Mapping[str, float], counted: Mapping[str, float]) -> list[Ratio]:
    mine = {name.removeprefix("notes encoder: "): nbytes / 1e6 for name, nbytes in notes.items()}
    theirs = {name.removeprefix("videoxl2: "): nbytes / 1e6 for name, nbytes in counted.items()}
    return [
        show(ratio)
        for ratio in (
            Ratio("an hour of KV, notes: int8 over float32", mine["kv int8"], mine["kv float32"],
                  "MB"),
            Ratio("an hour of tokens, videoxl2: int8 over float16", theirs["tokens int8"],
                  theirs["tokens float16"], "MB", limit=LIMIT_TOKENS_INT8),
            Ratio("an hour of KV, videoxl2: int8 over float16", theirs["kv int8"],
                  theirs["kv float16"], "MB"),
            Ratio("an hour of videoxl2: KV over tokens, float16", theirs["kv float16"],
                  theirs["tokens float16"], "MB"),
        )
    ]  # fmt: skip
