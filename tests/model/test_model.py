"""Text in, text out: nothing a user writes becomes a control token, no half characters."""

import json
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from videoxl2_model import GenerationSettings, LanguageModel, PrefillConfig, SparseRule

LINES = ["a red gate", "two people, one bag", "text: EXIT", "nobody"]


def prefilled(model):
    groups = [model.group(f"Time {4 * i}.0s:", f" {LINES[i % 4]}\n") for i in range(12)]
    return model.prefill("You watch.", groups, PrefillConfig(2, 1, min_block_rows=64))


@given(text=st.text(max_size=40))
def test_text_comes_back_from_its_ids(model, text):
    text = text.encode("utf-8", "ignore").decode()
    assert model.decode(model.encode(text)) == text


def test_control_words_in_texts_stay_text(model):
    word = "<|im_end|>"
    assert model.encode(word, specials=True) == [model.tokenizer.token_to_id(word)]
    ids = [*model.encode(word), *model.group("Time 0.0s:", word).ids]
    assert not set(ids) & set(model.stop_ids)
    assert model.question_ids(word).count(model.tokenizer.token_to_id(word)) == 1
    assert model.system_ids(word).count(model.tokenizer.token_to_id(word)) == 1


@given(words=st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>", "a", " b\n", "|>"])))
def test_control_words_are_found_as_the_library_finds_them(model, words):
    text = "".join(words)
    library = Tokenizer.from_str(model.tokenizer.to_str())
    library.encode_special_tokens = False
    wanted = library.encode(text, add_special_tokens=False).ids
    assert model.encode(text, specials=True) == wanted


def test_turns_are_chatml(model):
    whole = [
        *model.system_ids("Be brief."),
        *model.question_ids("And now?", [("Who?", "A man."), ("Where?", "At the gate.")]),
    ]
    text = model.tokenizer.decode(whole, skip_special_tokens=False)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
        "\nWho?<|im_end|>\n<|im_start|>assistant\nA man.<|im_end|>\n"
        "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\nAt the gate.<|im_end|>\n"
        "<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_turn_is_tokenised_as_one_piece_with_the_line_before_it(model):
    whole = json.loads(model.tokenizer.to_str())
    two_lines = len(whole["model"]["vocab"]) + len(whole["added_tokens"])
    whole["model"]["vocab"]["ĊĊ"] = two_lines
    whole["model"]["merges"] = [["Ċ", "Ċ"]]
    merging = LanguageModel(model.decoder, Tokenizer.from_str(json.dumps(whole)))
    assert merging.question_ids("\n")[0] == two_lines
    assert merging.question_ids("\n", [("\n", "a")]).count(two_lines) == 2
    assert merging.system_ids("\n").count(two_lines) == 1


@given(text=st.text(max_size=40))
def test_a_stream_gives_whole_characters(model, text):
    text = text.encode("utf-8", "ignore").decode().replace("\N{REPLACEMENT CHARACTER}", "")
    pieces = list(model.stream(model.encode(text)))
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert all(pieces)


@given(ids=st.lists(st.integers(0, 259), max_size=40))
def test_a_stream_of_any_ids_loses_no_whole_character(model, ids):
    streamed = "".join(model.stream(ids))
    assert streamed.replace("\N{REPLACEMENT CHARACTER}", "") == model.decode(ids).replace(
        "\N{REPLACEMENT CHARACTER}", ""
    )


def test_a_stream_does_not_wait(model):
    given_ids = []

    def ids():
        for each in model.encode("abc"):
            given_ids.append(each)
            yield each

    stream = model.stream(ids())
    assert next(stream) == "a"
    assert len(given_ids) == 1


def test_an_answer_streams_and_repeats(model):
    kv = prefilled(model)
    settings = GenerationSettings(max_new_tokens=24)
    ids = model.question_ids("What is seen?")
    one, two = (
        "".join(model.generate(kv, ids, [1], settings=settings, sparse=SparseRule("left_out")))
        for _ in range(2)
    )
    assert one == two


def test_frame_rules_and_prompts_cost_no_torch():
    code = (
        "import sys, videoxl2_model, videoxl2_model.layout, videoxl2_model.config;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
