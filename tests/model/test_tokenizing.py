"""Tokenizers: tokenizer.json, or the two files that older checkpoints hold instead."""

import json

import pytest
from tokenizers import Tokenizer

from videoxl2_model import LanguageModel
from videoxl2_model.errors import CheckpointError
from videoxl2_model.testing import tiny_tokenizer, write_tiny_checkpoint
from videoxl2_model.tokenizing import load_tokenizer

TEXTS = ["", "\n\nA man's bag, 12:30!\n  two\t", "été <|im_end|>\r\n 世界 🙂", "Time 3600.0s:"]


@pytest.fixture
def folder(tmp_path):
    """A vocabulary of bytes and two merges, with ChatML's words after it."""
    whole = json.loads(tiny_tokenizer().to_str())
    words = [each["content"] for each in whole["added_tokens"]]
    vocabulary = {word: i for word, i in whole["model"]["vocab"].items() if word not in words}
    vocabulary |= {"Ti": len(vocabulary), "Tim": len(vocabulary) + 1}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nT i\nTi m\n")
    added = {word: len(vocabulary) + i for i, word in enumerate(words)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    return tmp_path


def test_vocabulary_and_merges_are_a_tokenizer(folder):
    tokenizer = load_tokenizer(folder)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    ids = tokenizer.encode("Time 12", add_special_tokens=False).ids
    assert ids == [vocabulary[piece] for piece in ("Tim", "e", "Ġ", "1", "2")]
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
    end = json.loads((folder / "added_tokens.json").read_text())["<|im_end|>"]
    assert tokenizer.encode("a<|im_end|>").ids[-1] == end


def test_tokenizer_json_comes_first(folder):
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    assert load_tokenizer(folder).get_vocab_size() == tiny_tokenizer().get_vocab_size()


def test_a_language_model_loads_with_either(tmp_path, folder):
    model = write_tiny_checkpoint(tmp_path / "model", vocab_size=262)
    (model / "tokenizer.json").unlink()
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (folder / name).rename(model / name)
    language = LanguageModel.from_folder(model, steps="model")
    assert language.decode(language.encode("Time")) == "Time"
    assert len(language.stop_ids) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("vocab.json", "[", "a vocabulary"),
        ("merges.txt", None, "cannot be read as a tokenizer"),
        ("merges.txt", "Ti zz\n", "cannot be read as a tokenizer"),
        ("merges.txt", "alone\n", "cannot be read as a tokenizer"),
        ("added_tokens.json", "{}", "<|endoftext|> should have the id 151643"),
    ],
)
def test_damaged_files_are_named(folder, name, content, words):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(folder)
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_the_library_and_this_agree_on_a_whole_tokenizer(folder):
    tokenizer = load_tokenizer(folder)
    again = Tokenizer.from_str(tokenizer.to_str())
    for text in TEXTS:
        assert again.encode(text).ids == tokenizer.encode(text).ids
