"""The embedded 0.5B: loads, reads a planted fact from pooled notes, int8 steps agree."""

import json
import os
from pathlib import Path

import platformdirs
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from videoxl2_model import (
    DecodeCache,
    Decoder,
    GenerationSettings,
    LanguageModel,
    PrefillConfig,
    SparseRule,
    VideoXL2,
)
from videoxl2_model.prompting import SYSTEM_TEXT
from videoxl2_model.testing import write_tiny_videoxl2
from videoxl2_model.tokenizing import load_tokenizer

HOME = os.environ.get("AGENTKIT_HOME") or platformdirs.user_data_dir("agentkit")
FOLDER = Path(HOME) / "models" / "qwen2.5-coder-0.5b"

GOLDEN = Path(__file__).parents[1] / "golden"

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


def test_golden_prompts_are_tokenised_as_the_reference_does(tmp_path, real_model):
    folder = write_tiny_videoxl2(tmp_path)
    tiny = VideoXL2.from_pretrained(folder, device="cpu", steps="model")
    # Only the words are needed, and the real model has the public vocabulary.
    words = LanguageModel(real_model.decoder, real_model.tokenizer)
    model = VideoXL2(tiny.config, tiny.tower, tiny.connector, words)
    golden = json.loads((GOLDEN / "prompt.json").read_text())
    assert len(golden["prompts"]) > 5
    for each in golden["prompts"]:
        ids = each["input_ids"]
        video = ids.index(-200)
        assert words.system_ids(SYSTEM_TEXT) == ids[:video]
        assert model.question_ids(each["question"]) == ids[video + 1 :]
    for each in golden["time_texts"]:
        assert list(model.group(each["time"], torch.zeros(1, 1)).time_ids) == each["ids"]


@given(text=st.text(max_size=40))
@example(text="\n\nLet's see: 12:30, 世界 🙂\r\n  x\t ")
def test_vocabulary_and_merges_are_the_whole_tokenizer(two_files, real_model, text):
    text = text.encode("utf-8", "ignore").decode()
    whole = real_model.tokenizer.encode(text, add_special_tokens=False).ids
    assert two_files.encode(text, add_special_tokens=False).ids == whole


@pytest.fixture(scope="module")
def two_files(tmp_path_factory):
    """The real tokenizer again, from the two files that older checkpoints hold."""
    folder = tmp_path_factory.mktemp("two")
    inner = json.loads((FOLDER / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(inner["vocab"]))
    pairs = (each if isinstance(each, str) else " ".join(each) for each in inner["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs))
    tokenizer = load_tokenizer(folder)
    tokenizer.encode_special_tokens = True
    return tokenizer
