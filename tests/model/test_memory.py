"""What a plan foretells is what modules, caches and torch's allocator really take."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videoxl2_model import Prefill, PrefillConfig, SparseRule, TokenGroup, memory
from videoxl2_model.config import VideoXL2Config, VisionConfig
from videoxl2_model.connector import Connector
from videoxl2_model.errors import RoomError, SettingError
from videoxl2_model.memory import GB, Setting, Workload, plan_memory, plan_of
from videoxl2_model.prompting import time_text
from videoxl2_model.published import full_size
from videoxl2_model.quant import pack
from videoxl2_model.testing import tiny_decoder, write_tiny_videoxl2
from videoxl2_model.vision import VisionTower
from videoxl2_model.weights import VideoModules, load_modules, published

FULL = full_size()
UNUSED = 12_850_944  # numbers of the checkpoint that no path reads: text_mlp, the tower's last norm


def parameters(module):
    return sum(each.numel() for each in module.parameters())


def counts(config):
    return [
        memory.vision_parameters(config),
        memory.connector_parameters(config),
        memory.language_parameters(config),
    ]


def test_parameters_are_those_of_the_modules():
    # The true widths; few layers, because building them takes long even without storage.
    config = VideoXL2Config(
        VisionConfig(num_hidden_layers=3), {**FULL.language_model, "num_hidden_layers": 2}
    )
    modules = VideoModules.empty(config)
    parts = (modules.tower, modules.connector, modules.language)
    assert counts(config) == [parameters(each) for each in parts]


def test_parameters_are_those_of_the_public_checkpoint():
    tower, connector, language = counts(FULL)
    assert tower == 397_745_440
    assert connector == 93_526_272 + 16_980_992
    assert tower + connector + language + UNUSED == 8_136_720_160


@pytest.mark.parametrize("weights", ["model", "int8", "int4"])
@pytest.mark.parametrize("tied", [False, True])
def test_weights_take_what_a_loaded_model_takes(tmp_path, weights, tied):
    folder = write_tiny_videoxl2(tmp_path, tie_word_embeddings=tied, dtype=torch.bfloat16)
    config = published.read_config(folder)
    cpu = torch.device("cpu")
    modules = load_modules(folder, config, dtype=torch.bfloat16, device=cpu)
    language = modules.language
    for layer in language.model.layers if weights != "model" else ():
        for part in (layer.self_attn, layer.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, torch.nn.Linear):
                    setattr(part, name, pack(linear.weight, linear.bias, weights))
    del language.model.rotary_emb  # transformers' own table, a constant of some hundred bytes
    parts = (modules.tower, modules.connector, language)
    held = {each for part in parts for each in (*part.parameters(), *part.buffers())}
    wanted = sum(each.nbytes for each in held)
    assert memory.weight_bytes(config, Setting(weights)) == wanted
    if not tied:
        wanted -= language.model.embed_tokens.weight.nbytes  # else the output layer needs it
    assert memory.weight_bytes(config, Setting(weights, embedding_on_cpu=True)) == wanted


@given(st.integers(1, 12_000), st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
def test_tokens_are_those_of_the_prompt(num_frames, fps):
    load = Workload(num_frames, fps)
    firsts = range(0, num_frames, 4)
    texts = [time_text(first / fps) for first in firsts]
    # The tokenizer takes the word, the space, each digit and each sign alone.
    times = sum(len(re.findall(r"Time| |\d|\.|s|:", text)) for text in texts)
    assert load.time_tokens == times
    assert load.tokens == 14 + times + 144 * len(firsts)


def test_a_token_takes_what_the_specification_says():
    assert memory.kv_spec(FULL).nbytes(1, torch.bfloat16) == 57_344


def prefilled(decoder, load, dtype):
    run = Prefill(decoder, [1] * load.system_tokens, PrefillConfig(4, 3), kv_dtype=dtype)
    for group in range(load.groups):
        digits = len(str(int(group * 4 / load.fps)))
        run.add(TokenGroup((5,) * (6 + digits), ids=(7,) * 144))
    run.flush()
    return run.kv


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8])
@pytest.mark.parametrize("whole", [None, 3, 0])
def test_caches_take_what_is_foretold(decoder, dtype, whole):
    load = Workload(45, dense_groups=whole)
    spec = decoder.spec
    kv = prefilled(decoder, load, dtype)
    assert kv.num_tokens == load.tokens
    assert kv.nbytes == spec.nbytes(load.tokens, dtype)
    cache = kv.assemble(
        range(load.groups if whole is None else whole),
        room=load.question_tokens + load.answer_tokens,
        chunk_groups=1,
        sparse=SparseRule(step=load.pooling_step),
        keep_ends=False,
    )
    assert cache.nbytes == spec.nbytes(load.entries, kv.compute_dtype)


def peak_bytes(run):
    """The most bytes that torch had allocated at once while `run()` ran."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        kept = run()
    waiting = list(profile.profiler.kineto_results.experimental_event_tree())
    found = []
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        if event.tag == torch._C._profiler._EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    live = most = 0
    for _, size in sorted(found, key=lambda each: each[0]):
        live += size
        most = max(most, live)
    del kept
    return most


def assert_foretold(foretold, measured, most):
    """Never too little, and at most `most` times as much."""
    assert measured <= foretold <= most * measured


@pytest.mark.parametrize(("width", "inner", "heads"), [(64, 96, 4), (128, 480, 4)])
def test_pictures_take_no_more_than_foretold(width, inner, heads):
    sizes = VisionConfig(width, inner, num_hidden_layers=2, num_attention_heads=heads)
    config = VideoXL2Config(sizes, {"hidden_size": 160})
    tower, connector = VisionTower(sizes).eval(), Connector(width, 160).eval()
    frames = torch.zeros(4, 3, 384, 384)
    features = tower(frames)
    connector(features)  # its convolutions' weights are laid anew once
    assert_foretold(memory.tower_bytes(config, 4, 4), peak_bytes(lambda: tower(frames)), 1.5)
    held = features.nbytes + peak_bytes(lambda: connector(features))
    assert_foretold(memory.connector_bytes(config, 4, 4), held, 1.6)


def sized(hidden, inner):
    fields = {"hidden_size": hidden, "intermediate_size": inner, "vocab_size": 260}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
    return VideoXL2Config(VisionConfig(), {**FULL.language_model, **fields, **heads})


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
@pytest.mark.parametrize(("hidden", "inner"), [(64, 176), (64, 340)])
def test_prefilling_takes_no_more_than_foretold(tmp_path, dtype, hidden, inner):
    config = sized(hidden, inner)
    decoder = tiny_decoder(tmp_path, **config.language_model)
    load = Workload(80)
    prefilled(decoder, load, dtype)  # tables that are made once
    caches = []
    measured = peak_bytes(lambda: caches.append(prefilled(decoder, load, dtype)))
    pages = sum(
        each.nbytes
        for page in caches[0].pages._pages
        for each in vars(page).values()
        if isinstance(each, torch.Tensor)
    )
    foretold = memory.prefill_bytes(config, 4 * (144 + 8), 4, tile_rows=1024)
    assert_foretold(foretold, measured - pages, 1.6)
    assembled = []
    measured = peak_bytes(lambda: assembled.append(caches[0].assemble([], room=4)))
    foretold = memory.assembly_bytes(memory.kv_spec(config))
    assert_foretold(foretold, measured - assembled[0].nbytes, 3.0)


def test_the_sizes_that_were_promised_hold():
    one = plan_memory(1_000, 24 * GB)
    assert (one.fits, one.setting) == (True, Setting())
    long = plan_memory(10_000, 45 * GB, weights="model", kv="model")
    assert long.fits
    assert long.phase_bytes("prefill") < 45 * GB
    small = plan_memory(10_000, 24 * GB, weights="int8", kv="int8")
    assert small.fits
    assert small.setting.offload
    assert not plan_memory(10_000, 24 * GB, kv="model").fits


def test_the_parts_of_a_plan():
    whole = plan_of(FULL, Setting(), Workload(2_048), 80 * GB)
    assert whole.item_bytes("weights") == 2 * (8_136_720_160 - UNUSED)
    away = plan_of(FULL, Setting(offload=True), Workload(2_048), 80 * GB)
    kv = whole.item_bytes("keys and values")
    assert whole.phase_bytes("decode") - away.phase_bytes("decode") == kv
    assert whole.phase_bytes("prefill") == away.phase_bytes("prefill")
    dense = plan_of(FULL, Setting(), Workload(2_048, dense_groups=None), 80 * GB)
    pooled = plan_of(FULL, Setting(), Workload(2_048, dense_groups=0), 80 * GB)
    shares = [each.item_bytes("decoded cache") for each in (pooled, dense)]
    assert 0.28 < shares[0] / shares[1] < 0.31
    less = [plan_of(FULL, each, Workload(99), 80 * GB).peak_bytes for each in memory.settings()]
    assert less[-1] == min(less)


@given(st.integers(6, 200), st.sampled_from(list(memory.settings())))
def test_as_many_frames_fit_as_a_plan_says(gigabytes, setting):
    plan = plan_of(FULL, setting, Workload(1_000), gigabytes * GB)
    assert plan.fits == (plan.max_frames >= 1_000)
    if plan.max_frames:
        assert plan_of(FULL, setting, Workload(plan.max_frames), gigabytes * GB).fits
    assert not plan_of(FULL, setting, Workload(plan.max_frames + 1), gigabytes * GB).fits


@settings(max_examples=25)
@given(st.integers(1, 30_000), st.integers(4, 100), st.integers(0, 60))
def test_more_memory_never_gives_a_worse_setting(num_frames, gigabytes, more):
    order = list(memory.settings())
    small, large = (plan_memory(num_frames, each * GB) for each in (gigabytes, gigabytes + more))
    assert order.index(large.setting) <= order.index(small.setting)
    assert large.fits >= small.fits
    better = order[: order.index(large.setting)]
    assert not any(plan_of(FULL, each, large.workload, large.device_bytes).fits for each in better)


def test_too_many_frames_are_refused_with_what_would_fit():
    plan = plan_memory(10_000, 24 * GB, weights="model", kv="model")
    words = rf"10000 frames need \d+\.\d GB of 24\.0; {plan.max_frames} frames fit"
    with pytest.raises(RoomError, match=words):
        plan.require()
    assert plan.max_frames > 0
    replaced = replace(plan, device_bytes=100 * GB)
    assert replaced.require() is replaced


@pytest.mark.parametrize(
    "make",
    [
        lambda: Workload(0),
        lambda: Workload(5, fps=0),
        lambda: plan_memory(5, GB, weights="int4", kv="model"),
    ],
)
def test_plans_that_mean_nothing_are_refused(make):
    with pytest.raises(SettingError):
        make()


def test_the_table_has_every_card_and_length():
    cards = memory.table(frames=(256, 1_000), cards_gb=(8, 24))
    assert {
        card: [plan.workload.num_frames for plan in plans] for card, plans in cards.items()
    } == {
        8: [256, 1_000],
        24: [256, 1_000],
    }


def test_a_device_is_told_in_words():
    words = memory.told(24 * GB)
    assert words.startswith("1000 frames take ")
    for weights, kv in memory.KINDS:
        plan = plan_memory(1 << 20, 24 * GB, weights=weights, kv=kv)
        assert f"{plan.max_frames} with {plan.setting.kinds}" in words
    assert memory.told(GB) == "too small, whatever the setting"
