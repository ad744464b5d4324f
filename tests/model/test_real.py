"""The embedded 0.5B: loads, reads a planted fact from pooled notes, int8 steps agree."""

import os
from pathlib import Path

import platformdirs
import pytest
import torch

from videoxl2_model import (
    DecodeCache,
    Decoder,
    GenerationSettings,
    LanguageModel,
    PrefillConfig,
    SparseRule,
)

HOME = os.environ.get("AGENTKIT_HOME") or platformdirs.user_data_dir("agentkit")
FOLDER = Path(HOME) / "models" / "qwen2.5-coder-0.5b"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (FOLDER / "model.safetensors").is_file(),
        reason=f"no weights in {FOLDER}; run agentkit models pull",
    ),
]


@pytest.fixture(scope="module")
def real_model():
    return LanguageModel.from_folder(FOLDER)


def test_a_planted_fact_is_read(real_model):
    dull = ("nobody; street, parked cars", "two people left, one bus", "text: EXIT")
    lines = [dull[i % 3] for i in range(40)]
    lines[17] = "a yellow dog runs across the street"
    groups = [real_model.group(f"Time {4 * i}.0s:", f" {x}\n") for i, x in enumerate(lines)]
    kv = real_model.prefill(
        "You answer questions about a video from its notes.",
        groups,
        PrefillConfig(4, 3, min_block_rows=128),
    )
    answer = "".join(
        real_model.generate(
            kv,
            real_model.question_ids("Which animal is seen, and of what colour?"),
            [4],
            settings=GenerationSettings(24),
            sparse=SparseRule("left_out"),
        )
    )
    assert "dog" in answer.lower()


def test_eight_bit_steps_choose_the_same_tokens(real_model):
    ids = real_model.system_ids("You are brief.") + real_model.question_ids("Count to twelve.")
    exact = Decoder(real_model.decoder.model, steps="model")
    caches = [DecodeCache.empty(exact.spec, len(ids) + 20) for _ in range(2)]
    logits = exact.extend(caches[0], ids)
    real_model.decoder.extend(caches[1], ids)
    same = 0
    for _ in range(20):
        token = int(logits.argmax())
        logits = exact.step(caches[0], token)
        narrow = real_model.decoder.step(caches[1], token)
        same += int(narrow.argmax() == logits.argmax())
        away = torch.nn.functional.kl_div(
            narrow.log_softmax(0), logits.log_softmax(0), log_target=True, reduction="sum"
        )
        assert away < 0.05
    assert same >= 18
