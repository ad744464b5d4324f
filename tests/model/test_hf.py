"""Upstream's names: AutoConfig, AutoModel, chat and its switches, on top of the same model."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from videoxl2_model import GenerationSettings, PrefillConfig, SparseRule, VideoXL2, hf
from videoxl2_model.config import Budget, Relevance
from videoxl2_model.errors import CheckpointError, SettingError
from videoxl2_model.sampling import SamplingRule
from videoxl2_model.testing import write_tiny_videoxl2

FRAMES = np.random.default_rng(0).integers(0, 256, (22, 12, 16, 3), dtype=np.uint8)
SHORT = {"max_new_tokens": 5, "repetition_penalty": 1.0}
PLAIN = GenerationSettings(max_new_tokens=5, stop_ids=(258, 256))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_videoxl2(tmp_path_factory.mktemp("videoxl2"), shards=2)


@pytest.fixture(scope="module")
def loaded(folder):
    return AutoModel.from_pretrained(folder, device_map="cpu")


@pytest.fixture
def model(loaded, folder):
    """The same weights under switches of their own."""
    return hf.VideoXL2ForCausalLM(loaded.model, AutoConfig.from_pretrained(folder))


def read(path, rule):
    return zip(FRAMES, np.arange(22.0), strict=True)


def test_auto_classes_load_by_the_configuration(folder, loaded):
    assert isinstance(AutoConfig.from_pretrained(folder), hf.VideoXL2ChatConfig)
    assert isinstance(loaded, hf.VideoXL2ForCausalLM)
    other = AutoModelForCausalLM.from_pretrained(
        str(folder),
        trust_remote_code=True,
        dtype=torch.bfloat16,
        device_map="cpu",
        attn_implementation="sdpa",
        low_cpu_mem_usage=True,
        quantization_config=None,
    )
    assert (other.eval().dtype, other.device.type) == (torch.bfloat16, "cpu")
    assert loaded.config.hidden_size == 32
    assert loaded.config.enable_sparse is False


def test_code_in_the_checkpoint_is_not_run(tmp_path):
    folder = write_tiny_videoxl2(tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    raw["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel"), "evil.Evil")
    (folder / "config.json").write_text(json.dumps(raw))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    assert isinstance(AutoModel.from_pretrained(folder), hf.VideoXL2ForCausalLM)


def test_arguments_that_are_not_read_are_told(folder):
    with pytest.raises(SettingError, match="did you mean 'token'"):
        hf.VideoXL2ForCausalLM.from_pretrained(folder, tokn="x")
    with pytest.raises(SettingError, match="weights='int8'"):
        hf.VideoXL2ForCausalLM.from_pretrained(folder, quantization_config={})
    with pytest.raises(SettingError, match="unknown type 'half precision'"):
        hf.VideoXL2ForCausalLM.from_pretrained(folder, dtype="half precision")
    with pytest.raises(SettingError, match="device_map"):
        hf.VideoXL2ForCausalLM.from_pretrained(folder, device_map={"": 0})
    with pytest.raises(CheckpointError):
        hf.VideoXL2ForCausalLM.from_pretrained(folder / "x")


def groups_of(model):
    return model.model.encode(FRAMES, range(22))


def test_chat_is_encode_prefill_ask(model):
    answer = model.chat(FRAMES, None, "Who?", generation_config=SHORT)
    dense = PrefillConfig(4, None)  # neither switch: plain causal attention
    kv = model.model.prefill(groups_of(model), config=dense)
    assert answer == model.model.ask(kv, "Who?", settings=PLAIN)


def test_each_mode_is_a_setting_of_the_same_call(model, monkeypatch):
    seen = []

    def prefill(groups, *, config):
        seen.append(config)
        return VideoXL2.prefill(model.model, groups, config=config)

    def ask(kv, question, dense, **more):
        seen.append((dense, more["chunk_groups"], more["sparse"]))
        return "x"

    monkeypatch.setattr(model.model, "prefill", prefill)
    monkeypatch.setattr(model.model, "ask", ask)
    config = model.config

    model.chat(FRAMES, None, "Who?")
    config.enable_chunk_prefill = True
    model.chat(FRAMES, None, "Who?")
    config.prefill_config = {
        "chunk_prefill_mode": "streaming",
        "chunk_size": 2,
        "step_size": 1,
        "offload": True,
        "chunk_size_for_vision_tower": 24,
    }
    model.chat(FRAMES, None, "Who?")
    config.enable_chunk_prefill = False
    config.enable_sparse = True
    config.sparse_config = {"block_size_chosed": 6, "prev_blocks_num": 5}
    model.chat(FRAMES, None, "Who?")
    config.sparse_config |= {"selected_chunk_size": 3, "compression": 12, "selected_topk": 2}
    model.chat(FRAMES, None, "Who?")
    config.sparse_config |= {"selected_unit_indices": [1, 99]}
    model.chat(FRAMES, None, "Who?")
    config.sparse_config |= {"selected_unit_indices": []}
    model.chat(FRAMES, None, "Who?")

    usual = (Relevance("all"), 4, SparseRule("pooled", 4, keep_remainder=False))
    pooled = SparseRule("pooled", 12, keep_remainder=False)
    assert seen == [
        PrefillConfig(4, None),
        usual,
        PrefillConfig(4, 3),
        usual,
        PrefillConfig(2, 3),
        usual,
        PrefillConfig(6, 5),
        usual,
        PrefillConfig(6, 5),
        (Relevance("attention", budget=Budget(top_k=2)), 3, pooled),
        PrefillConfig(6, 5),
        (Relevance("units", (1,)), 3, pooled),
        PrefillConfig(6, 5),
        (Relevance("all"), 3, pooled),
    ]


def test_bi_level_chat_runs(model):
    model.config.enable_sparse = True
    model.config.sparse_config = {
        "block_size_chosed": 2,
        "prev_blocks_num": 1,
        "selected_chunk_size": 2,
        "selected_unit_indices": [1],
    }
    answer = model.chat(FRAMES, None, "Who?", generation_config=SHORT)
    kv = model.model.prefill(groups_of(model), config=PrefillConfig(2, 1))
    rule = SparseRule("pooled", 4, keep_remainder=False)
    assert answer == model.model.ask(kv, "Who?", [1], settings=PLAIN, chunk_groups=2, sparse=rule)


def test_history_goes_out_and_in(model):
    first, history = model.chat(FRAMES, None, "Who?", generation_config=SHORT, return_history=True)
    assert history == [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": first},
    ]
    again, longer = model.chat(
        FRAMES, None, "Where?", history, return_history=True, generation_config=SHORT
    )
    kv = model.model.prefill(groups_of(model), config=PrefillConfig(4, None))
    assert again == model.model.ask(kv, "Where?", settings=PLAIN, history=[("Who?", first)])
    assert len(history) == 2
    assert longer[2:] == [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": again},
    ]


@pytest.mark.parametrize(
    "history",
    [
        [{"role": "user", "content": "a"}],
        [{"content": "a"}] * 2,
        [("a", "b")],
        [{"role": "user"}, {"role": "assistant"}],
        [{"role": "user", "content": ["a"]}, {"role": "assistant", "content": "b"}],
    ],
)
def test_a_history_of_another_form_is_told(model, history):
    with pytest.raises(SettingError, match="chat_history"):
        model.chat(FRAMES, None, "Who?", history)


def test_a_path_is_read_by_what_was_given(model):
    rules = []

    def reader(path, rule):
        rules.append((path, rule))
        return read(path, rule)

    with pytest.raises(SettingError, match="load_video"):
        model.chat("talk.mp4", None, "Who?")
    frames = model.chat(FRAMES, None, "Who?", generation_config=SHORT)
    assert frames == model.chat(
        "talk.mp4", None, "Who?", generation_config=SHORT, load_video=reader
    )
    model.load_video = reader
    model.chat("b.mp4", None, "Who?", None, False, 150, 2, 3, SHORT)
    model.chat("c.mp4", None, "Who?", max_num_frames=9, sample_fps=None, max_sample_fps=None)
    assert rules == [
        ("talk.mp4", SamplingRule(fps=1, max_frames=512, max_fps=4)),
        ("b.mp4", SamplingRule(fps=2, max_frames=150, max_fps=3)),
        ("c.mp4", SamplingRule(fps=0, max_frames=9)),
    ]


@pytest.mark.parametrize(
    "rule",
    [
        {"max_num_frames": -1},
        {"sample_fps": 0},
        {"sample_fps": float("nan")},
        {"max_sample_fps": -1},
    ],
)
def test_a_sampling_that_cannot_be_is_told(model, rule):
    with pytest.raises(SettingError, match=r"max_num_frames is -1|sample_fps are above 0"):
        model.chat("talk.mp4", None, "Who?", load_video=read, **rule)


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({}, {}),
        ({"do_sample": False, "temperature": 0.5, "top_p": 0.1}, {}),
        ({"do_sample": True, "temperature": 0.5, "top_p": 0.1}, {"temperature": 0.5, "top_p": 0.1}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"num_beams": 1, "use_cache": True, "max_new_tokens": 3}, {"max_new_tokens": 3}),
        ({"temperature": None, "top_p": None, "seed": 4}, {"seed": 4}),
    ],
)
def test_generation_settings(given, changes):
    defaults = GenerationSettings(repetition_penalty=1.05)
    wanted = GenerationSettings(**{"repetition_penalty": 1.05, **changes})
    assert hf.generation_settings(given, defaults) == wanted


def switched(name, value, switch=None):
    def change(config):
        if switch:
            setattr(config, switch, True)
        setattr(config, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (switched("enable_sparce", True), "unknown switch 'enable_sparce'; did you mean"),
        (
            switched("sparse_config", {"block_size_chosen": 4}, "enable_sparse"),
            "did you mean 'block_size_chosed'",
        ),
        (switched("sparse_config", {"xyz": 4}, "enable_sparse"), "known: block_size_chosed"),
        (
            switched("prefill_config", {"chunksize": 4}, "enable_chunk_prefill"),
            "did you mean 'chunk_size'",
        ),
        (switched("prefill_config", {"step_size": 2}, "enable_chunk_prefill"), "step_size is 2"),
        (switched("sparse_mode", "dense"), "unknown mode 'dense'"),
        (switched("sparse_config", {"prev_blocks_num": 0}, "enable_sparse"), "prev_blocks_num"),
        (
            switched(
                "sparse_config",
                {"selected_chunk_size": 0, "selected_unit_indices": [1]},
                "enable_sparse",
            ),
            "selected_chunk_size is 0",
        ),
        (
            switched("prefill_config", {"chunk_size": None}, "enable_chunk_prefill"),
            "chunk_size is None",
        ),
    ],
)
def test_a_misspelt_or_unusable_switch_is_told(model, change, words):
    change(model.config)
    with pytest.raises(SettingError, match=words):
        model.chat(FRAMES, None, "Who?")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_tokens": 3}, "did you mean 'max_new_tokens'"),
        ({"num_beams": 4}, "one beam"),
        ({"use_cache": False}, "the cache"),
    ],
)
def test_generation_that_is_not_done_here_is_told(model, given, words):
    with pytest.raises(SettingError, match=words):
        model.chat(FRAMES, None, "Who?", generation_config=given)


def test_saved_is_loaded_by_the_auto_class(tmp_path, model):
    model.save_pretrained(tmp_path / "new")
    again = AutoModel.from_pretrained(tmp_path / "new", device_map="cpu")
    ids = model.model.question_ids("Who?")
    assert again.model.question_ids("Who?") == ids
    answers = [each.chat(FRAMES, None, "Who?", generation_config=SHORT) for each in (model, again)]
    assert answers[0] == answers[1]
