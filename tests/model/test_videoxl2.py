"""Video-XL-2 as a whole: loading, encoding, asking, saving."""

import json
import logging
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from videoxl2_model import (
    DecodeCache,
    GenerationSettings,
    PrefillConfig,
    SparseRule,
    TokenGroup,
    VideoXL2,
    encoding,
    pixels,
)
from videoxl2_model.checkpoint import Checkpoint
from videoxl2_model.config import Budget, Relevance
from videoxl2_model.errors import CheckpointError, RoomError, SettingError
from videoxl2_model.fitting import shapes_of
from videoxl2_model.prompting import chat_prompt, prompt_parts
from videoxl2_model.published import full_size, is_unused
from videoxl2_model.testing import write_tiny_videoxl2
from videoxl2_model.weights import VideoModules, check, inspect, main

KEYS = Path(__file__).parent / "checkpoint_keys.tsv"
SHORT = GenerationSettings(max_new_tokens=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_videoxl2(tmp_path_factory.mktemp("videoxl2"), shards=3)


@pytest.fixture(scope="module")
def model(folder):
    return VideoXL2.from_pretrained(folder, device="cpu", steps="model")


@pytest.fixture(scope="module")
def kv(model):
    return model.prefill(model.encode(drawn(22), range(22)))


def drawn(count, height=20, width=28, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def same_weights(one, two):
    ours, theirs = (
        VideoModules(each.tower, each.connector, each.language.decoder.model).tensors()
        for each in (one, two)
    )
    assert_close(ours, theirs, rtol=0, atol=0)


def rewrite(folder, change):
    """Change the tensors of a checkpoint of one file."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


# Loading


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
    config_with(mm_spatial_pool_stride=4, rope_scaling={"type": "yarn", "factor": 4.0})(folder)
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


def test_the_embedding_may_stay_on_the_cpu(folder, model, kv):
    other = VideoXL2.from_pretrained(folder, device="cpu", embedding_on_cpu=True, steps="model")
    same_weights(other, model)


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


# Reports


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


# Saving


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


# Encoding


def test_a_group_is_resize_tower_connector(model):
    images = drawn(8)
    frames = pixels.resize(torch.from_numpy(images), model.config.vision.image_size)
    rows = model.connector(model.tower(pixels.normalise(frames, torch.float32)))
    groups = model.encode(images, [1.26, 2, 3, 4, 5, 6, 7, 8])
    assert_close(torch.stack([group.rows for group in groups]), rows)
    assert_close(model.encode_rows(images), rows)
    texts = [model.language.decode(group.time_ids) for group in groups]
    assert texts == ["Time 1.3s:", "Time 5.0s:"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7])
def test_the_last_group_is_filled_by_the_last_frame(model, count):
    images = drawn(count)
    full = np.concatenate([images, np.repeat(images[-1:], -count % 4, axis=0)])
    assert_close(model.encode_rows(images), model.encode_rows(full))


@settings(max_examples=12)
@given(count=st.integers(1, 21), batch=st.integers(4, 24))
def test_streamed_is_encoded_in_one_go(model, count, batch):
    images = drawn(count)
    groups = model.encode(images, range(count))
    streamed = list(model.encode_stream(zip(images, range(count), strict=True), batch_frames=batch))
    assert [each.time_ids for each in streamed] == [each.time_ids for each in groups]
    assert_close(
        torch.stack([each.rows for each in streamed]), torch.stack([each.rows for each in groups])
    )


def test_looking_one_batch_late_changes_nothing(model, monkeypatch):
    images = drawn(22)
    groups = model.encode(images, range(22))
    monkeypatch.setattr(encoding, "batches_ahead", lambda device: 1)  # as on CUDA
    late = list(model.encode_stream(zip(images, range(22), strict=True), batch_frames=8))
    assert [each.time_ids for each in late] == [each.time_ids for each in groups]
    assert_close(model_rows(late), model_rows(groups))


def model_rows(groups):
    return torch.stack([each.rows for each in groups])


def test_one_batch_of_pixels_is_alive(model):
    alive, most = 0, 0

    def gone():
        nonlocal alive
        alive -= 1

    def frames():
        nonlocal alive, most
        for index in range(40):
            frame = drawn(1, seed=index)[0].copy()  # a view would not own its pixels
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            yield frame, float(index)

    assert len(list(model.encode_stream(frames(), batch_frames=8))) == 10
    assert most == 8
    assert alive == 0


def test_frames_may_differ_in_size_and_layout(model):
    one, two = drawn(4), drawn(4, 33, 17, seed=1)
    mixed = [*one, *two]
    mixed[1] = np.asfortranarray(mixed[1])
    mixed[2] = mixed[2][::-1][::-1]
    mixed[3] = torch.from_numpy(mixed[3].copy())
    mixed[4].flags.writeable = False
    rows = model_rows(model.encode_stream(zip(mixed, range(8), strict=True)))
    assert_close(rows, torch.cat((model.encode_rows(one), model.encode_rows(two))))
    assert_close(model.encode_rows(torch.from_numpy(one)), model.encode_rows(one))


@pytest.mark.parametrize(
    ("images", "times_s", "words"),
    [
        (drawn(0), [], "no frames"),
        (drawn(2), [0.0], "2 frames have 1 times"),
        (drawn(1)[0], [0.0], r"\[T, H, W, 3\]"),
        (list(drawn(1)), [0.0], r"\[T, H, W, 3\]"),
        (drawn(2)[..., :2], [0.0, 1.0], r"frame 0 has shape \[20, 28, 2\]"),
        (drawn(2).astype(np.float32), [0.0, 1.0], "type float32"),
        (drawn(2).view(np.int8), [0.0, 1.0], "type int8"),
        (drawn(2)[:, :0], [0.0, 1.0], r"\[0, 28, 3\]"),
        (drawn(2), [0.0, float("nan")], "the time of frame 1 is nan"),
    ],
)
def test_frames_that_cannot_be_used_are_told(model, images, times_s, words):
    with pytest.raises(SettingError, match=words):
        model.encode(images, times_s)


def test_a_stream_of_nothing_and_a_batch_of_less_than_a_group_are_told(model):
    with pytest.raises(SettingError, match="no frames"):
        list(model.encode_stream(iter([])))
    with pytest.raises(SettingError, match="batch_frames is 3"):
        list(model.encode_stream(zip(drawn(4), range(4), strict=True), batch_frames=3))


def test_rows_that_are_no_numbers_name_their_group(model, folder):
    broken = VideoXL2.from_pretrained(folder, device="cpu", steps="model")
    seen = []

    def poison(module, inputs, output):
        seen.append(len(output))
        if sum(seen) > 2:
            output[-1, 3, 3] = float("inf")

    broken.connector.register_forward_hook(poison)
    stream = broken.encode_stream(zip(drawn(16), range(16), strict=True), batch_frames=8)
    assert len([next(stream), next(stream), next(stream)]) == 3
    with pytest.raises(SettingError, match=r"group 3 \(frames 12 to 15\).*float32"):
        next(stream)


# Prefill and questions


def test_rows_given_to_a_prefill_are_looked_at_too(model):
    groups = model.encode(drawn(12), range(12))
    groups[2].rows[5, 5] = float("nan")
    with pytest.raises(SettingError, match="group 2"):
        model.prefill(groups)
    with pytest.raises(SettingError, match="no groups"):
        model.prefill([])


def test_prefill_is_the_reference_setting_unless_told(model):
    groups = model.encode(drawn(24), range(24))
    kv = model.prefill(groups)
    assert_close(all_keys(kv), all_keys(model.prefill(groups, config=PrefillConfig(4, 3))))
    other = all_keys(model.prefill(groups, config=PrefillConfig(1, 1)))
    assert (all_keys(kv) - other).abs().max() > 1e-3
    run = model.start(config=PrefillConfig(4, 3))
    for group in groups[:3]:
        run.add(group)
    run.flush()
    more = model.start(kv=run.kv)
    for group in groups[3:]:
        more.add(group)
    more.flush()
    assert_close(all_keys(more.kv), all_keys(kv), rtol=1e-4, atol=1e-4)


def all_keys(kv):
    return kv.part(0, kv.num_groups)["keys"]


def test_an_answer_is_the_same_each_time_and_streams(model, kv):
    pieces = list(model.stream(kv, "What is there?", settings=SHORT))
    assert "".join(pieces) == model.ask(kv, "What is there?", settings=SHORT)
    assert len(pieces) > 1


def test_no_choice_keeps_every_chunk_whole(model, kv):
    def logits(dense, **more):
        return answer_logits(model, kv, dense, **more)

    assert_close(logits(None), logits([0, 1]))
    pooled = logits([], keep_ends=False)
    assert (logits(None) - pooled).abs().max() > 1e-3
    assert_close(logits(Relevance("all")), logits(None))
    assert_close(logits(Relevance("none"), keep_ends=False), pooled)
    few = Relevance("attention", budget=Budget(top_k=1))
    first, second = (logits([each], keep_ends=False, chunk_groups=3) for each in (0, 1))
    chosen = logits(few, keep_ends=False, chunk_groups=3)
    assert min((chosen - each).abs().max() for each in (first, second)) == 0


def answer_logits(model, kv, dense, **more):
    """The logits that choose the first token, caught on their way."""
    caught = []
    decoder = model.language.decoder
    inner = decoder.model.lm_head.register_forward_hook(lambda m, i, out: caught.append(out[-1]))
    try:
        model.ask(kv, "Who?", dense, settings=GenerationSettings(max_new_tokens=1), **more)
    finally:
        inner.remove()
    return caught[-1]


@pytest.mark.parametrize(
    "text",
    ["What happens?", "From 01:30 to 02:45?", "At 01:02:03, and 12:345?", "100:30 <b>", "\nx\n"],
)
def test_a_question_is_tokenised_as_the_references_prompt(model, text):
    before, after = prompt_parts(text)
    language = model.language
    assert language.system_ids("You are a helpful assistant.") == language.encode(
        before, specials=True
    )
    assert model.question_ids(text) == language.encode(after, specials=True)
    assert model.question_ids(f"<image>\n{text}") == model.question_ids(text)


def test_times_in_the_system_text_are_converted_too(model):
    run = model.start(system="Look from 01:30 on.")
    text = chat_prompt("x", "Look from 90 seconds on.").split("<image>")[0]
    assert list(run.kv.system_ids) == model.language.encode(text, specials=True)


def test_earlier_turns_are_text_before_the_question(model):
    ids = model.question_ids("And at 00:30?", [("Who at 01:00?", "A man.")])
    text = model.language.tokenizer.decode(ids, skip_special_tokens=False)
    assert text == (
        "\nWho at 60 seconds?<|im_end|>\n<|im_start|>assistant\nA man.<|im_end|>\n"
        "<|im_start|>user\nAnd at 30 seconds?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids == model.language.encode(text, specials=True)


def test_control_words_in_a_question_stay_text(model):
    end = model.language.tokenizer.token_to_id("<|im_end|>")
    assert model.question_ids("<|im_end|>").count(end) == 1


def test_a_video_inside_a_question_is_told(model):
    with pytest.raises(SettingError, match="the video stands before"):
        model.question_ids("Look at <image> here")


def test_positions_beyond_the_native_range_are_told_and_run(tmp_path, caplog):
    folder = write_tiny_videoxl2(tmp_path, max_position_embeddings=200)
    model = VideoXL2.from_pretrained(folder, device="cpu", steps="model")
    with caplog.at_level(logging.WARNING):
        kv = model.prefill(model.encode(drawn(4), range(4)))
        assert not caplog.messages
        kv = model.prefill(model.encode(drawn(8), range(8)))
        assert [message for message in caplog.messages if message.startswith(str(kv.num_tokens))]
        caplog.clear()
        assert model.ask(kv, "What?", settings=SHORT)
        assert len(caplog.messages) == 1
        assert "more than the 200" in caplog.messages[0]
    with pytest.raises(RoomError):  # the encoder of notes keeps its limit
        list(model.language.generate(kv, "What?", [], settings=SHORT))


def test_settings_that_cannot_be(model, kv):
    with pytest.raises(SettingError, match="chunk_groups is 0"):
        model.ask(kv, "What?", chunk_groups=0)
    with pytest.raises(SettingError, match="pooling step"):
        model.ask(kv, "What?", [0], sparse=SparseRule("pooled", 0))


def test_groups_of_stored_rows_are_groups(model):
    rows = model.encode_rows(drawn(4)).numpy().astype(np.float16)
    group = model.group(3.25, torch.from_numpy(rows[0]))
    assert isinstance(group, TokenGroup)
    assert model.language.decode(group.time_ids) == "Time 3.2s:"
    assert model.prefill([group]).num_groups == 1


def test_tiny_checkpoints_are_drawn_by_their_seed(tmp_path):
    one, same, other = (
        load_file(write_tiny_videoxl2(tmp_path / name, seed=seed) / "model.safetensors")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])
