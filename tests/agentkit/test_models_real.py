"""The weights themselves: what was fetched is whole, and the small Qwen speaks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from agentkit import models

QWEN = "qwen2.5-coder-0.5b"
GOLDEN = Path(__file__).parents[1] / "golden" / "prompt.json"

pytestmark = pytest.mark.real


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not models.available(name), reason=f"needs `agentkit models pull {name}`"
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(spec.name, marks=needs(spec.name)) for spec in models.defaults()],
)
def test_every_byte_is_the_known_one(name: str) -> None:
    assert models.verify(name) == []
    assert not list(models.path(name).glob("*.part"))


@pytest.fixture(scope="module")
def folder() -> Path:
    return models.path(QWEN)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import Qwen2ForCausalLM

    return Qwen2ForCausalLM.from_pretrained(folder).eval()


@needs(QWEN)
class TestQwen:
    def test_golden_prompts_have_the_golden_ids(self, folder: Path) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        golden = json.loads(GOLDEN.read_text())
        for case in golden["prompts"]:
            before, after = case["prompt_after_time_conversion"].split("<image>")
            ids = [*tokenizer.encode(before).ids, -200, *tokenizer.encode(after).ids]
            assert ids == case["input_ids"]
        for case in golden["time_texts"]:
            assert tokenizer.encode(case["text"]).ids == case["ids"]

    def test_special_tokens_stand_where_qwen_has_them(self, folder: Path) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}
        ids |= {"<|video_pad|>": 151656, "<tool_call>": 151657, "<|file_sep|>": 151664}
        assert {token: tokenizer.token_to_id(token) for token in ids} == ids
        assert tokenizer.get_vocab_size() == 151665

    @pytest.mark.parametrize(
        ("prompt", "word"),
        [
            ("The capital of France is", "Paris"),
            (
                "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
                "What is the capital of Italy?<|im_end|>\n<|im_start|>assistant\n",
                "Rome",
            ),
        ],
    )
    def test_it_answers(self, folder: Path, model: Any, prompt: str, word: str) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        with torch.inference_mode():
            out = model.generate(ids, max_new_tokens=12, do_sample=False)
        assert word in tokenizer.decode(out[0, ids.shape[1] :].tolist())


@needs("whisper-tiny.en")
def test_the_folder_of_whisper_loads() -> None:
    whisper = pytest.importorskip("faster_whisper", reason="needs the extra 'audio'")
    model = whisper.WhisperModel(
        str(models.path("whisper-tiny.en")), device="cpu", compute_type="int8"
    )
    segments, info = model.transcribe(np.zeros(16_000, np.float32), vad_filter=True)
    assert list(segments) == []
    assert info.duration == 1.0


@needs("efficientnet-lite0")
def test_the_scene_network_has_a_name_for_each_class() -> None:
    from safetensors import safe_open

    folder = models.path("efficientnet-lite0")
    labels = json.loads((folder / "labels.json").read_text())
    with safe_open(folder / "model.safetensors", framework="np") as weights:
        assert weights.get_slice("_fc.weight").get_shape() == [len(labels), 1280]
    assert (labels[0], labels[817], labels[999]) == ("tench", "sports car", "toilet paper")
