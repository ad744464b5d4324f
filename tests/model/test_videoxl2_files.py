"""A Video-XL-2 and its files: loading, what is wrong with a folder, reports, saving."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_video import drawn, same_weights

from videoxl2_model import (
    GenerationSettings,
    VideoXL2,
)
from videoxl2_model.checkpoint import Checkpoint
from videoxl2_model.errors import CheckpointError, SettingError
from videoxl2_model.fitting import shapes_of
from videoxl2_model.published import full_size, is_unused, read_config
from videoxl2_model.testing import write_tiny_videoxl2
from videoxl2_model.weights import VideoModules, check, inspect, main

KEYS = Path(__file__).parent / "checkpoint_keys.tsv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_videoxl2(tmp_path_factory.mktemp("videoxl2"), shards=3)


@pytest.fixture(scope="module")
def model(folder):
    return VideoXL2.from_pretrained(folder, device="cpu", steps="model")


def rewrite(folder, change):
    """Change the tensors of a checkpoint of one file."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_all_807_public_keys_and_shapes_are_ours():
    rows = [line.split("\t") for line in KEYS.read_text().splitlines()[1:]]
    public = {key: tuple(map(int, shape.split("x"))) for key, shape, _ in rows}
    used = {key for key, _, use in rows if use == "yes"}
    config = full_size()
    ours = shapes_of(VideoModules.empty(config).slots())
    assert len(public) == 807
    assert ours == {key: public[key] for key in used}
    assert all(is_unused(key, config) for key in public.keys() - used)
    assert not any(is_unused(key, config) for key in used)


def test_full_size_modules_take_no_storage():
    modules = VideoModules.empty(full_size())
    for part in (modules.tower, modules.connector, modules.language):
        assert {each.device.type for each in part.parameters()} == {"meta"}


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("text_mlp", [True, False])
@pytest.mark.parametrize("post_layernorm", [True, False])
def test_optional_keys_and_shards_change_nothing(tmp_path, model, shards, text_mlp, post_layernorm):
    folder = write_tiny_videoxl2(
        tmp_path, shards=shards, text_mlp=text_mlp, post_layernorm=post_layernorm
    )
    there = Checkpoint.open(folder).tensors
    assert ("model.text_mlp.0.weight" in there) == text_mlp
    assert any("post_layernorm" in key for key in there) == post_layernorm
    same_weights(VideoXL2.from_pretrained(folder, device="cpu"), model)


def test_public_leftovers_are_accepted_in_silence_and_unknown_keys_are_told(tmp_path, caplog):
    folder = write_tiny_videoxl2(tmp_path)
    leftovers = [
        "model.vision_tower.vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight",
        "model.vision_tower.vision_tower.vision_model.head.probe",
        "model.vision_tower.vision_tower.vision_model.embeddings.position_ids",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.image_newline",
    ]
    rewrite(
        folder, lambda t: t.update({key: torch.zeros(1, dtype=torch.int64) for key in leftovers})
    )
    with caplog.at_level(logging.WARNING):
        VideoXL2.from_pretrained(folder, device="cpu")
    assert not caplog.messages
    rewrite(folder, lambda t: t.update({"model.mystery": torch.zeros(1, dtype=torch.int8)}))
    with caplog.at_level(logging.WARNING):
        VideoXL2.from_pretrained(folder, device="cpu")
    assert [message for message in caplog.messages if "model.mystery" in message]
    assert len(caplog.messages) == 1


def without(*keys):
    def change(tensors):
        for key in keys:
            del tensors[key]

    return change


def config_with(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


BAD_TENSORS = [
    (without("lm_head.weight"), "1 missing: lm_head.weight"),
    (without("model.sae.temporal_encoding"), "missing: model.sae.temporal_encoding"),
    (
        without("model.norm.weight", "model.mm_projector.0.bias"),
        "2 missing: model.mm_projector.0.bias, model.norm.weight",
    ),
    (
        lambda t: t.update({"model.norm.weight": torch.zeros(5)}),
        "1 misshaped: model.norm.weight [5] for [32]",
    ),
    (
        lambda t: t.update({"model.norm.weight": torch.zeros(32, dtype=torch.int8)}),
        "model.norm.weight I8",
    ),
    (
        lambda t: t.update({"model.norm.weight": torch.zeros(32).to(torch.float8_e4m3fn)}),
        "model.norm.weight F8_E4M3",
    ),
]
BAD_FILES = [
    (lambda f: (f / "config.json").unlink(), "cannot be read as a configuration"),
    (config_with(model_type="llava"), "not the configuration of a Video-XL-2"),
    (config_with(hidden_act="gelu"), "hidden_act is 'gelu', not 'silu'"),
    (config_with(mm_projector_type="linear"), "mm_projector_type is 'linear'"),
    (config_with(use_sliding_window=True), "use_sliding_window is True"),
    (config_with(hidden_size="wide"), "sizes must be positive numbers: hidden_size is 'wide'"),
    (config_with(hidden_size=32.5), "hidden_size is 32.5"),
    (config_with(rope_theta=float("nan")), "rope_theta is nan"),
    (config_with(tie_word_embeddings="yes"), "tie_word_embeddings must be true or false"),
    (config_with(vision_config={"hidden_size": 65}), "does not divide by its 16 heads"),
    (config_with(vision_config={"hidden_act": "gelu"}), "hidden_act is 'gelu'"),
    # Without it SigLIP-SO400M is expected.
    (config_with(vision_config=None), "model.mm_projector.0.weight [32, 64] for [32, 1152]"),
    (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json: cannot be read as a tokenizer"),
    (lambda f: (f / "generation_config.json").write_text("["), "generation_config.json"),
    (config_with(num_hidden_layers=3), "missing: model.layers.2.input_layernorm.weight"),
]


@pytest.mark.parametrize(("change", "words"), BAD_TENSORS)
def test_bad_tensors_are_named_before_any_is_read(tmp_path, monkeypatch, change, words):
    folder = write_tiny_videoxl2(tmp_path)
    rewrite(folder, change)
    monkeypatch.setattr(Checkpoint, "read", None)  # nothing half-loaded
    with pytest.raises(CheckpointError) as caught:
        VideoXL2.from_pretrained(folder, device="cpu")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("damage", "words"), BAD_FILES)
def test_a_bad_folder_is_told_before_a_tensor_is_read(tmp_path, monkeypatch, damage, words):
    folder = write_tiny_videoxl2(tmp_path)
    damage(folder)
    monkeypatch.setattr(Checkpoint, "read", None)
    with pytest.raises(CheckpointError) as caught:
        VideoXL2.from_pretrained(folder, device="cpu")
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_what_the_reference_overrides_is_told_and_overridden(tmp_path, caplog):
    folder = write_tiny_videoxl2(tmp_path)
    newer = {"rope_type": "yarn", "rope_theta": 7.0}
    for changes in ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, {"rope_parameters": newer}):
        caplog.clear()
        config_with(**changes)(folder)
        with caplog.at_level(logging.WARNING):
            config = read_config(folder)
        assert ["rope_scaling is {" in message for message in caplog.messages] == [True]
        assert config.language_model["rope_theta"] == 10000.0
    config_with(mm_spatial_pool_stride=4)(folder)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        model = VideoXL2.from_pretrained(folder, device="cpu")
    assert len(caplog.messages) == 2
    assert "mm_spatial_pool_stride is 4; 2 is used" in caplog.messages[0]
    assert "rope_scaling" in caplog.messages[1]
    assert model.encode_rows(drawn(4)).shape == (1, 144, 32)


def test_a_tied_head_is_the_embedding(tmp_path):
    folder = write_tiny_videoxl2(tmp_path, tie_word_embeddings=True)
    assert "lm_head.weight" not in Checkpoint.open(folder).tensors
    inner = VideoXL2.from_pretrained(folder, device="cpu").language.decoder.model
    assert inner.lm_head.weight is inner.model.embed_tokens.weight


def test_the_base_of_rotation_is_found_where_newer_files_keep_it(tmp_path):
    folder = write_tiny_videoxl2(tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    base = raw.pop("rope_theta")
    raw["rope_parameters"] = {"rope_type": "default", "rope_theta": base}
    (folder / "config.json").write_text(json.dumps(raw))
    spec = VideoXL2.from_pretrained(folder, device="cpu").language.decoder.spec
    assert spec.rope_base == base == 10000.0


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"weights": "int2"}, "unknown weights 'int2'; model, int8, int4"),
        ({"dtype": torch.int8}, "dtype is torch.int8"),
        ({"device": "cuda"}, "device is cuda, and torch finds 0 here"),
        ({"device": "cuda:x"}, "device is 'cuda:x'"),
        ({"device": "banana"}, "device is 'banana'; auto, cpu, cuda or cuda:1 is run on"),
        ({"device": None}, "device is None"),
        ({"steps": "fast"}, "unknown steps 'fast'; auto, model, bfloat16, int8"),
    ],
)
def test_settings_of_loading_are_looked_at_first(folder, monkeypatch, argument, words):
    monkeypatch.setattr(Checkpoint, "read", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingError, match=words):
        VideoXL2.from_pretrained(folder, **{"device": "cpu", **argument})


def test_a_hub_id_is_fetched_without_code_and_pickles(folder, monkeypatch):
    asked = {}

    def fetch(name, allow_patterns):
        asked[name] = allow_patterns
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    VideoXL2.from_pretrained("owner/name", device="cpu")
    assert asked == {"owner/name": ["*.json", "*.safetensors", "*.txt"]}


def test_a_hub_that_does_not_answer_is_one_error(monkeypatch):
    def fetch(name, allow_patterns):
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    with pytest.raises(CheckpointError, match=r"owner/name.*offline"):
        VideoXL2.from_pretrained("owner/name")


@pytest.mark.parametrize("source", ["/nowhere/at/all", Path("owner/name"), "name"])
def test_no_folder_and_no_hub_id_is_told(source):
    with pytest.raises(CheckpointError, match="no folder of a checkpoint"):
        VideoXL2.from_pretrained(source)


def test_the_checkpoint_gives_penalty_and_end_tokens(model, folder):
    assert model.settings == GenerationSettings(repetition_penalty=1.05, stop_ids=(258, 256))
    assert set(model.language.stop_ids) == {256, 258}


def test_generation_config_may_be_missing_or_name_one_end(tmp_path):
    folder = write_tiny_videoxl2(tmp_path)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": 7}))
    assert 7 in VideoXL2.from_pretrained(folder, device="cpu").language.stop_ids
    path.unlink()
    assert VideoXL2.from_pretrained(folder, device="cpu").settings == GenerationSettings()


def test_check_tells_what_is_there(folder, capsys):
    assert main(["check", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    modules = VideoModules.empty(inspect(folder) and VideoXL2.from_pretrained(folder).config)
    shapes = shapes_of(modules.slots())
    assert told["model"] == "Video-XL-2"
    assert told["num_keys"] == len(shapes)
    assert told["num_parameters"] == sum(int(np.prod(shape)) for shape in shapes.values())
    assert told["types"] == {"F32": len(shapes)}
    assert told["files"] == 3
    assert len(told["findings"]["unused"]) == 2  # the post-layernorm
    assert not told["faults"]
    assert str(check(folder)).startswith("Video-XL-2: ")


def test_check_names_faults_and_exits_1(tmp_path, capsys):
    folder = write_tiny_videoxl2(tmp_path)
    rewrite(folder, without("model.norm.weight"))
    (folder / "tokenizer.json").unlink()
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr().out
    assert "1 missing: model.norm.weight" in told
    assert "missing file: tokenizer.json" in told
    assert told.rstrip().endswith("cannot be loaded")
    with pytest.raises(CheckpointError, match=r"missing: model\.norm\.weight"):
        check(folder)


def test_check_of_no_checkpoint_is_an_error_line(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
