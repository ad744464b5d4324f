import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.paths import models_dir
from videoxl2_model.prompting import (
    VIDEO_MARKER,
    chat_prompt,
    prompt_parts,
    seconds_for_clock_times,
    time_text,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompt.json").read_text())
TOKENIZER = models_dir() / "qwen2.5-coder-0.5b" / "tokenizer.json"


@pytest.mark.parametrize("case", GOLDEN["prompts"], ids=lambda case: case["question"])
def test_prompt_is_the_references(case: dict[str, str]) -> None:
    prompt = chat_prompt(case["question"])
    assert prompt == case["prompt"]
    assert seconds_for_clock_times(prompt) == case["prompt_after_time_conversion"]
    parts = case["prompt_after_time_conversion"].split(VIDEO_MARKER)
    assert prompt_parts(case["question"]) == parts
    assert len(parts) == 2


@pytest.mark.parametrize("case", GOLDEN["time_texts"], ids=lambda case: case["text"])
def test_time_text_is_the_references(case: dict[str, float | str]) -> None:
    assert time_text(float(case["time"])) == case["text"]


@pytest.mark.parametrize(
    ("text", "converted"),
    [
        ("01:30", "90 seconds"),
        ("01:02:03", "62 seconds:03"),
        ("100:30", "130 seconds"),
        ("12:345", "754 seconds5"),
        ("1:30", "1:30"),
        ("10:20 and 10:200", "620 seconds and 620 seconds0"),
        ("", ""),
    ],
)
def test_clock_times_are_read_as_the_reference_reads_them(text: str, converted: str) -> None:
    assert seconds_for_clock_times(text) == converted


def test_time_conversion_reaches_the_system_text_too() -> None:
    assert prompt_parts("Who?", system="Until 00:10.")[0].startswith(
        "<|im_start|>system\nUntil 10 seconds.<|im_end|>"
    )


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_clock_time_alone_becomes_its_seconds(minutes: int, seconds: int) -> None:
    text = f"at {minutes:02}:{seconds:02} she waves"
    assert seconds_for_clock_times(text) == f"at {minutes * 60 + seconds} seconds she waves"


@given(st.floats(0, 1e6))
def test_time_text_has_one_decimal(time_s: float) -> None:
    found = re.fullmatch(r"Time (\d+\.\d)s:", time_text(time_s))
    assert found is not None
    assert abs(float(found[1]) - time_s) <= 0.05 + 1e-9


@pytest.mark.real
@pytest.mark.skipif(not TOKENIZER.exists(), reason=f"no tokenizer at {TOKENIZER}")
def test_ids_of_the_real_tokenizer_are_the_references() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TOKENIZER))

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    for case in GOLDEN["prompts"]:
        before, after = prompt_parts(case["question"])
        assert [*ids(before), -200, *ids(after)] == case["input_ids"]
    for case in GOLDEN["time_texts"]:
        assert ids(time_text(case["time"])) == case["ids"]
