"""Video-XL-2 as a whole: frames to groups, groups to a cache, questions over it."""

import logging
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_video import SHORT, drawn
from torch.testing import assert_close

from videoxl2_model import (
    GenerationSettings,
    PrefillConfig,
    SparseRule,
    TokenGroup,
    VideoXL2,
    encoding,
    frames,
    pixels,
)
from videoxl2_model.config import Budget, Relevance
from videoxl2_model.errors import RoomError, SettingError
from videoxl2_model.prompting import chat_prompt, prompt_parts
from videoxl2_model.testing import write_tiny_videoxl2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_videoxl2(tmp_path_factory.mktemp("videoxl2"), shards=3)


@pytest.fixture(scope="module")
def model(folder):
    return VideoXL2.from_pretrained(folder, device="cpu", steps="model")


@pytest.fixture(scope="module")
def kv(model):
    return model.prefill(model.encode(drawn(22), range(22)))


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


def test_one_batch_of_pixels_is_alive(model, monkeypatch):
    alive, most = 0, 0
    copy = frames._picture

    def gone():
        nonlocal alive
        alive -= 1

    def counted(frame, index):
        nonlocal alive, most
        picture = copy(frame, index)
        weakref.finalize(picture, gone)
        alive += 1
        most = max(most, alive)
        return picture

    monkeypatch.setattr(frames, "_picture", counted)
    source = ((drawn(1, seed=index)[0], float(index)) for index in range(40))
    assert len(list(model.encode_stream(source, batch_frames=8))) == 10
    assert most == 8
    assert alive == 0


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_a_reader_may_fill_one_buffer_again_and_again(model, kind):
    images = drawn(9)

    def reader():
        buffer = kind(images[0])
        for index, image in enumerate(images):
            buffer[:] = kind(image)
            yield buffer, float(index)

    assert_close(model_rows(model.encode_stream(reader())), model.encode_rows(images))


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
        ([drawn(1)], [0.0], r"frame 0 has shape \[1, 20, 28, 3\]"),
        (drawn(2)[..., :2], [0.0, 1.0], r"frame 0 has shape \[20, 28, 2\]"),
        (drawn(2).astype(np.float32), [0.0, 1.0], "type float32"),
        (drawn(2).view(np.int8), [0.0, 1.0], "type int8"),
        (drawn(2)[:, :0], [0.0, 1.0], r"\[0, 28, 3\]"),
        (drawn(2), [0.0, float("nan")], "the time of frame 1 is nan"),
        (drawn(2), [0.0, None], "the time of frame 1 is None"),
    ],
)
def test_frames_that_cannot_be_used_are_told(model, images, times_s, words):
    with pytest.raises(SettingError, match=words):
        model.encode(images, times_s)


@pytest.mark.parametrize("frames", [drawn(2), [1, 2], [(drawn(1)[0], 0.0, 1)]])
def test_frames_without_their_times_are_told(model, frames):
    with pytest.raises(SettingError, match=r"frame 0 comes as \w+; \(frame \[H, W, 3\], time"):
        list(model.encode_stream(frames))


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
    with pytest.raises(SettingError, match=r"name chunks, or give Relevance\('all'\)"):
        model.ask(kv, "What?", "all")
    with pytest.raises(SettingError, match=r"keys and values of torch.bool; torch.float32, "):
        model.start(kv_dtype=torch.bool)


@pytest.mark.parametrize(
    "history", [["ab"], [{"role": "user", "content": "a"}], [("a",)], [("a", 3)], [("a", "b", "c")]]
)
def test_a_history_of_another_form_is_told(model, history):
    with pytest.raises(SettingError, match=r"pairs are needed|words are needed"):
        model.question_ids("What?", history)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda n=n: PrefillConfig(block_groups=n) for n in (0, 2.5, "4", np.nan)),
        *(lambda n=n: PrefillConfig(lookback_blocks=n) for n in (0, 1.5)),
        *(lambda n=n: PrefillConfig(max_segment_positions=n) for n in (0, np.nan)),
        lambda: PrefillConfig(min_block_rows=-1),
        lambda: SparseRule(step=2.5),
        *(lambda n=n: Budget(top_k=n) for n in (-1, 1.5, "3")),
        *(lambda n=n: Budget(share=n) for n in (-0.1, 2.0, np.nan)),
        *(lambda n=n: GenerationSettings(max_new_tokens=n) for n in (0, 2.5)),
        *(lambda n=n: GenerationSettings(temperature=n) for n in (-1, np.nan, np.inf)),
        *(lambda n=n: GenerationSettings(repetition_penalty=n) for n in (0, np.nan, np.inf)),
    ],
)
def test_numbers_that_cannot_be_used_are_told_where_they_are_given(make):
    with pytest.raises(SettingError):
        make()


def test_numbers_may_come_from_arrays():
    assert PrefillConfig(np.int64(4), np.int32(3)) == PrefillConfig()


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
