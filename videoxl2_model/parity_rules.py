"""Cases of rules: h sampled frames and times, prompt texts and ids, and the weights' formula."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from torch import nn

from videoxl2_model.golden import parameter, scale
from videoxl2_model.parity_model import CONNECTOR, TOWER, GoldenModel
from videoxl2_model.parity_report import Report
from videoxl2_model.prompting import (
    VIDEO_MARKER,
    chat_prompt,
    prompt_parts,
    seconds_for_clock_times,
    time_text,
)
from videoxl2_model.reference import VIDEO, time_text_ids
from videoxl2_model.sampling import (
    SamplingRule,
    frame_indices,
    group_texts,
    timestamps_s,
    uniform_indices,
)

LOADERS = {"pure": True, "w_chunk": False, "w_chunk_bilevel": False}  # name: cuts to whole groups

Facts = Mapping[str, Any]
Encode = Callable[[str], Sequence[int]]


def check_sampling(facts: Facts, report: Report) -> None:
    """Case h: the frames that each loader looks at, their times and texts."""
    videos, spread = facts.get("load_video", []), facts.get("load_video_uniform", [])
    report.what = f"sampling, videos: {len(videos) + len(spread)}"
    for number, video in enumerate(videos):
        loaders = [key for key, value in video.items() if isinstance(value, dict)]
        for loader in loaders:
            name = f"video {number} {loader}"
            report.equal(name, loaded(video, LOADERS[loader]), known(video[loader]))
    for number, video in enumerate(spread):
        indices = uniform_indices(video["total_frames"], video["frames"])
        name = f"uniform {number}"
        report.equal(name, indices.tolist(), video["frame_indices"])
        times_s = timestamps_s(indices, video["video_fps"])
        report.equal(f"{name} times", times_s, video["timestamps"])


def loaded(video: Facts, whole_groups: bool) -> list[Any]:
    """Return indices, times and texts; a single None where there is nothing to load."""
    rule = SamplingRule(
        video["target_fps"], video["max_frames"], video["max_fps"], whole_groups=whole_groups
    )
    try:
        indices = frame_indices(video["total_frames"], video["video_fps"], rule)
    except ValueError:
        return [None]
    times_s = timestamps_s(indices, video["video_fps"])
    return [indices.tolist(), times_s, group_texts(times_s)]


def known(loader: Facts) -> list[Any]:
    if "error" in loader:
        return [None]
    return [loader[name] for name in ("frame_indices", "timestamps", "time_texts")]


def check_prompts(facts: Facts, encode: Encode | None, report: Report) -> None:
    """Case prompt: texts; ids if there is a tokenizer; ids of time texts by rule."""
    prompts, times = facts.get("prompts", []), facts.get("time_texts", [])
    unchecked = "" if encode else "; ids need --tokenizer"
    report.what = f"prompts: {len(prompts)}, times: {len(times)}{unchecked}"
    for number, case in enumerate(prompts):
        name, prompt = f"prompt {number}", chat_prompt(case["question"])
        report.equal(name, prompt, case["prompt"])
        converted = case["prompt_after_time_conversion"]
        report.equal(f"{name} converted", seconds_for_clock_times(prompt), converted)
        parts = prompt_parts(case["question"])
        report.equal(f"{name} parts", parts, converted.split(VIDEO_MARKER))
        if encode:
            report.equal(f"{name} ids", prompt_ids(case["question"], encode), case["input_ids"])
    for case in times:
        report.equal(f"time {case['time']}", time_text(case["time"]), case["text"])
        report.equal(f"ids of time {case['time']}", time_text_ids(case["time"]), case["ids"])


def prompt_ids(question: str, encode: Encode) -> list[int]:
    """Return a prompt's ids, each part encoded by itself, the video's mark between."""
    first, *others = prompt_parts(question)
    return [*encode(first), *(each for part in others for each in (VIDEO, *encode(part)))]


def check_weights(model: GoldenModel, facts: Facts, report: Report) -> None:
    """The list of parameters: each one's numbers, and that ours are the listed ones."""
    listed = {each["key"]: each for each in facts["parameters"]}
    report.what = f"formula of weights: {len(listed)}"
    for key, each in listed.items():
        drawn = parameter(key, each["shape"], facts.get("salt", model.salt)).numpy()
        report.equal(f"{key} scale", round(scale(key, each["shape"]), 9), round(each["scale"], 9))
        digest = sha256(drawn.astype("<f4").tobytes()).hexdigest()
        report.equal(key, digest[: len(each["sha256_16"])], each["sha256_16"])
    parts: dict[str, nn.Module] = {TOWER: model.tower, CONNECTOR: model.connector}
    for prefix, module in {**parts, "": model.language()}.items():
        for name, value in module.state_dict().items():
            shape = listed.get(prefix + name, {}).get("shape")
            report.equal(f"shape of {prefix + name}", list(value.shape), shape)
