"""Checkpoints: whole, in shards, tied; and every fault named at once."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from videoxl2_model import DecodeCache, Decoder, LanguageModel, load_decoder
from videoxl2_model.errors import CheckpointError
from videoxl2_model.testing import tiny_config, tiny_tensors, write_tiny_checkpoint
from videoxl2_model.weights import empty_model, fill, main


def logits(decoder):
    return decoder.extend(DecodeCache.empty(decoder.spec, 4), [1, 2, 3])


def test_shards_are_one_model(tmp_path):
    whole = load_decoder(write_tiny_checkpoint(tmp_path / "a"))
    folder = write_tiny_checkpoint(tmp_path / "b")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    for number, some in enumerate((names[::2], names[1::2]), 1):
        save_file(
            {name: tensors[name] for name in some}, folder / f"model-{number}-of-2.safetensors"
        )
    assert_close(logits(load_decoder(folder)), logits(whole), rtol=0.0, atol=0.0)


def test_a_tied_head_is_one_tensor(tmp_path):
    model = load_decoder(write_tiny_checkpoint(tmp_path)).model
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_tensors_stay_mapped_to_the_file(tmp_path):
    folder = write_tiny_checkpoint(tmp_path)
    model = load_decoder(folder).model
    mapped = [
        tuple(int(each, 16) for each in line.split()[0].split("-"))
        for line in open("/proc/self/maps")  # noqa: PTH123, SIM115 — a kernel file, read at once
        if "model.safetensors" in line and str(tmp_path) in line
    ]
    for weight in model.parameters():
        assert any(start <= weight.data_ptr() < stop for start, stop in mapped)


def test_another_type_is_converted(tmp_path):
    decoder = load_decoder(write_tiny_checkpoint(tmp_path), dtype=torch.bfloat16)
    assert {each.dtype for each in decoder.model.parameters()} == {torch.bfloat16}
    assert decoder.steps == "model"
    assert logits(decoder).dtype == torch.float32


def test_every_fault_is_named_at_once(tmp_path):
    folder = write_tiny_checkpoint(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 4)
    tensors["model.layers.9.extra"] = torch.zeros(1)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_decoder(folder)
    for words in (
        "missing: model.norm.weight",
        "unknown: model.layers.9.extra",
        "misshaped: model.layers.0.mlp.up_proj.weight [3, 4] for [48, 32]",
        str(folder),
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", None, "cannot be read"),
        ("config.json", b"{", "cannot be read"),
        ("config.json", b'{"model_type": "llama"}', "not the configuration"),
        ("model.safetensors", None, "no safetensors file"),
        ("model.safetensors", b"\x08\x00", "damaged"),
        ("tokenizer.json", None, "tokenizer"),
        ("tokenizer.json", b"[]", "tokenizer"),
    ],
)
def test_a_missing_or_damaged_file_is_named(tmp_path, name, content, words):
    folder = write_tiny_checkpoint(tmp_path)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        LanguageModel.from_folder(folder)


def test_a_head_of_its_own_is_required_where_it_is_not_tied(tmp_path):
    folder = write_tiny_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(CheckpointError, match=r"missing: lm_head\.weight"):
        load_decoder(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float64, torch.float8_e5m2])
def test_a_type_that_is_not_read_names_its_key(tmp_path, dtype):
    folder = write_tiny_checkpoint(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(dtype)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"F16, BF16, F32: model\.norm\.weight"):
        load_decoder(folder)


def test_tensors_at_hand_fill_an_empty_model(tmp_path):
    config = tiny_config()
    model = empty_model(config)
    fill(model, tiny_tensors(config), tmp_path)
    loaded = load_decoder(write_tiny_checkpoint(tmp_path))
    assert_close(logits(Decoder(model)), logits(loaded), rtol=0.0, atol=0.0)
    short = {k: v for k, v in tiny_tensors(config).items() if k != "model.norm.weight"}
    with pytest.raises(CheckpointError, match="1 missing"):
        fill(empty_model(config), short, tmp_path)


def test_check_tells_of_a_text_model_and_is_strict_with_it(tmp_path, capsys):
    folder = write_tiny_checkpoint(tmp_path)
    assert main(["check", str(folder)]) == 0
    assert "Qwen2: " in capsys.readouterr().out
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "model.layers.9.x": torch.zeros(1)}, folder / "model.safetensors")
    assert main(["check", str(folder)]) == 1
    assert "1 unknown: model.layers.9.x" in capsys.readouterr().out
