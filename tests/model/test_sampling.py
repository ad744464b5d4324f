import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videoxl2_model.sampling import (
    SamplingRule,
    frame_indices,
    group_texts,
    timestamps_s,
    uniform_indices,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "h_sampling.json").read_text())


def name(case: dict[str, Any]) -> str:
    return f"{case['total_frames']}@{case['video_fps']:.3f}-{case['max_frames']}"


@pytest.mark.parametrize("loader", ["pure", "w_chunk"])
@pytest.mark.parametrize("case", GOLDEN["load_video"], ids=name)
def test_loader_picks_the_references_frames(case: dict[str, Any], loader: str) -> None:
    rule = SamplingRule(case["target_fps"], case["max_frames"], case["max_fps"], loader == "pure")
    expected = case[loader]
    if "error" in expected:
        with pytest.raises(ValueError, match=r"sample fewer a second|without frames"):
            frame_indices(case["total_frames"], case["video_fps"], rule)
        return
    indices = frame_indices(case["total_frames"], case["video_fps"], rule)
    times_s = timestamps_s(indices, case["video_fps"])
    assert indices.tolist() == expected["frame_indices"]
    assert times_s == expected["timestamps"]
    assert group_texts(times_s) == expected["time_texts"]


@pytest.mark.parametrize("case", GOLDEN["load_video_uniform"], ids=lambda case: str(case["frames"]))
def test_uniform_loader_picks_the_references_frames(case: dict[str, Any]) -> None:
    indices = uniform_indices(case["total_frames"], case["frames"])
    assert indices.tolist() == case["frame_indices"]
    assert timestamps_s(indices, case["video_fps"]) == case["timestamps"]


def test_no_rate_gives_no_frame() -> None:
    assert frame_indices(100, 0.0, SamplingRule()).tolist() == []


def test_one_frame_of_many_is_the_first() -> None:
    assert uniform_indices(1000, 1).tolist() == [0]


@given(st.integers(1, 10**6), st.integers(1, 2000))
def test_uniform_frames_are_numpys_linspace(num_frames: int, count: int) -> None:
    expected = np.linspace(0, num_frames - 1, count, dtype=int)
    assert uniform_indices(num_frames, count).tolist() == expected.tolist()


@given(
    num_frames=st.integers(1, 5000),
    frames_per_s=st.floats(1.0, 120.0),
    max_frames=st.integers(0, 300),
    max_fps=st.none() | st.floats(0.5, 8.0),
)
def test_frames_are_ascending_inside_the_video_and_under_the_cap(
    num_frames: int, frames_per_s: float, max_frames: int, max_fps: float | None
) -> None:
    rule = SamplingRule(max_frames=max_frames, max_fps=max_fps)
    try:
        indices = frame_indices(num_frames, frames_per_s, rule)
    except ValueError:
        return
    assert indices[0] == 0
    assert indices[-1] < num_frames
    assert (np.diff(indices) > 0).all()
    assert not max_frames or len(indices) <= max_frames
