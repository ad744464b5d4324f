"""Messages and frames in, what the model takes out; every other shape of them is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from videoxl2_model import VideoXL2
from videoxl2_model.errors import SettingError
from videoxl2_model.processor import Processor, VideoInputs
from videoxl2_model.prompting import SYSTEM_TEXT
from videoxl2_model.sampling import SamplingRule
from videoxl2_model.testing import write_tiny_videoxl2

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def user(*parts):
    return {"role": "user", "content": list(parts)}


def video(what=FRAMES, **more):
    return {"type": "video", "video": what, **more}


def text(words):
    return {"type": "text", "text": words}


def times_of(frames):
    return [time_s for _, time_s in frames]


def test_a_conversation_is_frames_history_and_question():
    inputs = Processor()(
        [
            {"role": "system", "content": "Be brief."},
            user(video(times_s=[0, 2, 4, 6, 8]), text("Who?")),
            {"role": "assistant", "content": "A man."},
            {"role": "user", "content": "Where?"},
        ]
    )
    assert (inputs.question, inputs.history, inputs.system) == (
        "Where?",
        (("Who?", "A man."),),
        "Be brief.",
    )
    frames = list(inputs.frames)
    assert times_of(frames) == [0, 2, 4, 6, 8]
    assert np.array_equal(np.stack([frame for frame, _ in frames]), FRAMES)


def test_one_message_is_enough_and_texts_are_joined():
    inputs = Processor()([user(text("Look."), video(), text("Who?"))])
    assert inputs == VideoInputs(inputs.frames, "Look.\nWho?", (), SYSTEM_TEXT)


@pytest.mark.parametrize("frames", [FRAMES, list(FRAMES), torch.from_numpy(FRAMES)])
def test_frames_without_times_are_a_second_apart(frames):
    assert times_of(Processor().frames(frames)) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_pairs_are_taken_as_they_come():
    pairs = ((frame, 0.5) for frame in FRAMES)
    assert Processor().frames(pairs) is pairs


@pytest.mark.parametrize("path", ["talk.mp4", Path("talk.mp4")])
def test_a_path_goes_to_the_reader_with_the_rule(path):
    asked = []

    def read(name, rule):
        asked.append((name, rule))
        return [(FRAMES[0], 3.0)]

    rule = SamplingRule(fps=2, max_frames=9)
    inputs = Processor(read, rule)([user(video(path), text("Who?"))])
    assert times_of(inputs.frames) == [3.0]
    assert asked == [("talk.mp4", rule)]


def test_a_path_without_a_reader_says_how_to_give_one():
    with pytest.raises(SettingError, match=r"talk\.mp4.*load_video"):
        Processor().frames("talk.mp4")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "nobody"),
        ([user(text("Who?"))], "0 videos"),
        ([user(video(), video(), text("Who?"))], "2 videos"),
        ([user(video(), {"type": "image", "image": 1})], "unknown type of content 'image'"),
        ([user(video(), {"type": "text"})], "has no field 'text'"),
        ([user(video(vidoe=1), text("Who?"))], "unknown video field 'vidoe'; did you mean 'video'"),
        ([user(video(times_s=[1]), text("Who?"))], "5 frames have 1 times"),
        ([user(video(7), text("Who?"))], "a video of int"),
        ([user(video(), text(None))], "content of type text holds None"),
        ([user(video(), "Who?")], "unknown type of content 'Who[?]'"),
        ([{"role": "tool", "content": "x"}], "unknown role 'tool'"),
        ([{"role": "user"}], "has no content"),
        ([{"role": "user", "contents": "x"}], "did you mean 'content'"),
        ([user(video(), text("Who?")), {"role": "assistant", "content": "x"}], "take turns"),
        ([{"role": "user", "content": "a"}, user(video()), user(text("b"))], "take turns"),
        (
            [user(text("a")), {"role": "assistant", "content": "b"}, user(video(), text("c"))],
            "first question",
        ),
    ],
)
def test_messages_that_cannot_be_read_are_told(messages, words):
    with pytest.raises(SettingError, match=words):
        Processor()(messages)


def test_the_model_takes_what_comes_out(tmp_path):
    model = VideoXL2.from_pretrained(write_tiny_videoxl2(tmp_path), device="cpu", steps="model")
    inputs = Processor()([user(video(), text("Who?"))])
    kv = model.prefill(model.encode_stream(inputs.frames), system=inputs.system)
    assert kv.num_groups == 2
    assert model.ask(kv, inputs.question, history=inputs.history)
