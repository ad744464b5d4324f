"""A Video-XL-2's weights: their types, mapped, packed, saved and loaded again."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_video import SHORT, drawn, same_weights
from torch.testing import assert_close

from videoxl2_model import (
    DecodeCache,
    VideoXL2,
)
from videoxl2_model.checkpoint import Checkpoint
from videoxl2_model.errors import SettingError
from videoxl2_model.testing import write_tiny_videoxl2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_videoxl2(tmp_path_factory.mktemp("videoxl2"), shards=3)


@pytest.fixture(scope="module")
def model(folder):
    return VideoXL2.from_pretrained(folder, device="cpu", steps="model")


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
def test_types(tmp_path, stored):
    folder = write_tiny_videoxl2(tmp_path, dtype=stored)
    assert VideoXL2.from_pretrained(folder, device="cpu").dtype == torch.float32
    model = VideoXL2.from_pretrained(folder, device="cpu", dtype=torch.bfloat16)
    parts = (model.tower, model.connector, model.language.decoder.model)
    kinds = {each.dtype for part in parts for each in part.parameters()}
    assert kinds == {torch.bfloat16}
    assert model.ask(model.prefill(model.encode(drawn(5), range(5))), "What?", settings=SHORT)


def test_tensors_of_their_own_type_stay_mapped(folder, model):
    mapped = [
        tuple(int(each, 16) for each in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if str(folder) in line
    ]
    for weight in model.connector.parameters():
        assert any(start <= weight.data_ptr() < stop for start, stop in mapped)


@pytest.mark.parametrize(("kind", "tolerance"), [("int8", 0.1), ("int4", 0.8)])
def test_weights_are_packed_while_they_are_read(
    tmp_path, folder, model, monkeypatch, kind, tolerance
):
    packed = VideoXL2.from_pretrained(folder, device="cpu", weights=kind)
    layers = packed.language.decoder.model.model.layers
    names = {
        name.rpartition(".")[2] for name, each in layers.named_modules() if hasattr(each, "packed")
    }
    assert names == {f"{each}_proj" for each in ("q", "k", "v", "o", "gate", "up", "down")}
    assert packed.language.decoder.steps == "model"
    ids = packed.question_ids("What is there?")
    rows = model.language.decoder.embed(ids)
    states = [each.language.decoder for each in (packed, model)]
    ours, theirs = (last_states(decoder, rows) for decoder in states)
    assert 0 < (ours - theirs).abs().max() < tolerance * theirs.abs().max()
    with pytest.raises(SettingError, match="packed weights cannot be saved"):
        packed.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def last_states(decoder, rows):
    return decoder.extend_rows(DecodeCache.empty(decoder.spec, len(rows)), rows)


def test_a_bias_in_another_shard_is_packed_with_its_weight(tmp_path):
    one = write_tiny_videoxl2(tmp_path / "one")
    tensors = load_file(one / "model.safetensors")
    two = write_tiny_videoxl2(tmp_path / "two")
    (two / "model.safetensors").unlink()
    biases = {key: value for key, value in tensors.items() if key.endswith("bias")}
    # The file of the biases comes last.
    save_file({k: v for k, v in tensors.items() if k not in biases}, two / "a.safetensors")
    save_file(biases, two / "b.safetensors")
    kept = [
        VideoXL2.from_pretrained(each, device="cpu", weights="int8").language.decoder.model
        for each in (one, two)
    ]
    assert_close(kept[0].state_dict(), kept[1].state_dict(), rtol=0, atol=0)
    assert kept[1].model.layers[0].self_attn.q_proj.bias is not None


@pytest.mark.parametrize("tied", [True, False])
def test_the_embedding_may_stay_in_host_memory(tmp_path, tied):
    folder = write_tiny_videoxl2(tmp_path, tie_word_embeddings=tied)
    model = VideoXL2.from_pretrained(folder, device="meta", embedding_on_cpu=True)
    inner = model.language.decoder.model
    places = {name: each.device.type for name, each in inner.named_parameters()}
    assert places.pop("model.embed_tokens.weight") == "cpu"
    assert "lm_head.weight" in places
    assert set(places.values()) == {"meta"}
    assert model.device.type == model.language.decoder.device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("max_shard_bytes", [200_000, 10**9])
def test_saved_is_loaded_exactly(tmp_path, folder, dtype, max_shard_bytes):
    model = VideoXL2.from_pretrained(folder, device="cpu", dtype=dtype)
    model.save_pretrained(tmp_path / "new", max_shard_bytes=max_shard_bytes)
    sizes = [path.stat().st_size for path in (tmp_path / "new").glob("*.safetensors")]
    assert (len(sizes) > 1) == (max_shard_bytes < 10**6)
    again = VideoXL2.from_pretrained(tmp_path / "new", device="cpu", dtype=dtype)
    same_weights(again, model)
    assert (again.config, again.settings) == (model.config, model.settings)
    stored = {each.dtype for each in Checkpoint.open(tmp_path / "new").tensors.values()}
    assert stored == {{torch.float32: "F32", torch.bfloat16: "BF16"}[dtype]}
    assert again.question_ids("What?") == model.question_ids("What?")


def test_a_model_is_not_saved_over_the_files_it_is_mapped_to(folder, model):
    with pytest.raises(SettingError, match="already"):
        model.save_pretrained(folder)
