from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.errors import TimeRangeError, UsageError, VideoLimitError
from agentkit.testing import frame_number, long_gop, make_video, scenes
from agentkit.types import FrameBatch, SamplingPlan, VideoInfo
from agentkit.video import VideoLimits, frames_at, plan_times, probe, sample
from videoxl2_model.sampling import SamplingRule, frame_indices


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoInfo]:
    """10 s at 30 frames/s, a keyframe every 2 s; every picture carries its number."""
    folder = tmp_path_factory.mktemp("film")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTKIT_HOME", str(folder))
        yield probe(make_video(folder / "film.mp4", seconds=10, fps=30, options=long_gop(60)))


def numbers(batches: list[FrameBatch]) -> list[list[int]]:
    return [[frame_number(image) for image in batch.images] for batch in batches]


def test_probe_says_what_is_in_the_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=2, fps=10, metadata={"title": "Kick-off"})
    info = probe(path)
    assert (info.path, info.codec, info.title) == (path, "h264", "Kick-off")
    assert (info.duration_s, info.frames_in_file, info.frames_per_s) == (2.0, 20, 10.0)
    assert (info.size_px, info.rotation_deg) == ((160, 120), 0)
    assert (info.has_sound, info.times_estimated, info.warnings) == (False, False, ())


def test_sample_takes_the_last_frame_at_or_before_each_multiple_of_the_step(
    film: VideoInfo,
) -> None:
    batches = list(sample(film, SamplingPlan(fps=0.7)))
    assert numbers(batches) == [[0, 42, 85, 128], [171, 214, 257]]
    assert [batch.times_s.tolist() for batch in batches] == [
        pytest.approx([0, 42 / 30, 85 / 30, 128 / 30]),
        pytest.approx([171 / 30, 214 / 30, 257 / 30]),
    ]
    assert [batch.index for batch in batches] == [0, 1]
    assert [batch.end_s for batch in batches] == [pytest.approx(171 / 30), 10.0]
    assert batches[0].images.shape == (4, 120, 160, 3)
    assert batches[0].images.dtype == np.uint8


def slow_plan(info: VideoInfo, fps: float) -> list[int]:
    """Every multiple of 1/fps before the end, looked up one by one."""
    times_s = [number / 30 for number in range(info.frames_in_file)]
    count = next(k for k in range(10**6) if k / fps >= info.duration_s - 5e-7)
    found = [max(n for n, t in enumerate(times_s) if t <= k / fps + 5e-7) for k in range(count)]
    return sorted(set(found))


# The film is drawn once and only read, so the fixture may serve every example.
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 4000).map(lambda thousandths: thousandths / 100))
def test_planned_times_are_those_of_the_slow_rule(film: VideoInfo, fps: float) -> None:
    planned = np.rint(plan_times(film, SamplingPlan(fps=fps)) * 30).astype(int).tolist()
    assert planned == slow_plan(film, fps)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["fps", "keyframes", "uniform", "reference"]),
    st.floats(0.2, 3.0),
    st.integers(1, 30),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_what_is_sampled_is_what_was_planned_from_any_group_on(
    film: VideoInfo, mode: str, fps: float, max_frames: int, size: int, start: int
) -> None:
    plan = SamplingPlan(mode, fps, max_frames, frames_per_group=size)  # type: ignore[arg-type]
    times_s = plan_times(film, plan)
    batches = list(sample(film, plan, start_group=start))
    sampled = [time_s for batch in batches for time_s in batch.times_s]
    assert sampled == times_s[start * size :].tolist()
    assert len(times_s) <= max_frames
    for batch in batches:
        assert numbers([batch]) == [np.rint(batch.times_s * 30).astype(int).tolist()]
    groups = -(-len(times_s) // size)
    assert [batch.index for batch in batches] == list(range(start, groups))
    ends = [*[batch.times_s[0] for batch in batches[1:]], film.duration_s]
    assert [batch.end_s for batch in batches] == ends[: len(batches)]


def test_keyframes_mode_takes_the_keyframes_nearest_to_the_targets(film: VideoInfo) -> None:
    assert plan_times(film, SamplingPlan("keyframes", fps=1)).tolist() == [0, 2, 4, 6, 8]
    # Targets 0, 3, 6, 9 s: 3 lies as near to 2 as to 4, and goes to the later; 9 to 8.
    assert plan_times(film, SamplingPlan("keyframes", fps=1 / 3)).tolist() == [0, 4, 6, 8]


def test_uniform_mode_takes_first_and_last_and_spreads_the_rest(film: VideoInfo) -> None:
    times_s = plan_times(film, SamplingPlan("uniform", max_frames=4))
    assert np.rint(times_s * 30).tolist() == [0, 99, 199, 299]


def test_max_frames_spreads_what_fps_finds(film: VideoInfo) -> None:
    times_s = plan_times(film, SamplingPlan(fps=1, max_frames=4))
    assert times_s.tolist() == [0, 3, 6, 9]


def test_reference_mode_takes_the_references_frames_at_their_own_times(film: VideoInfo) -> None:
    plan = SamplingPlan("reference", fps=1, max_frames=20, max_fps=4)
    expected = frame_indices(300, 30.0, SamplingRule(1, 20, 4))
    assert numbers(list(sample(film, plan))) == [
        expected[at : at + 4].tolist() for at in range(0, len(expected), 4)
    ]
    np.testing.assert_allclose(plan_times(film, plan), expected / 30, atol=1e-9)


@pytest.mark.parametrize(
    "plan",
    [
        SamplingPlan(fps=0),
        SamplingPlan(fps=float("nan")),
        SamplingPlan(max_frames=0),
        SamplingPlan(frames_per_group=0),
        SamplingPlan("uniform"),
        SamplingPlan("reference", fps=100),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_before_a_frame_is_read(
    film: VideoInfo, plan: SamplingPlan
) -> None:
    with pytest.raises(UsageError):
        plan_times(film, plan)
    with pytest.raises(UsageError):
        sample(film, plan)


def test_more_frames_than_the_sampling_budget_are_refused(film: VideoInfo) -> None:
    with pytest.raises(VideoLimitError, match="10 frames to look at, the limit is 9"):
        sample(film, SamplingPlan(fps=1), limits=VideoLimits(max_sampled_frames=9))


def test_frames_at_are_the_frames_shown_then_in_the_order_asked(film: VideoInfo) -> None:
    images = frames_at(film, [9.99, 0.0, 5.016, 5.0, 10.0, 0.0])
    assert [frame_number(image) for image in images] == [299, 0, 150, 150, 299, 0]
    assert frames_at(film, []) == []


@pytest.mark.parametrize("time_s", [-0.1, 10.1, float("nan")])
def test_frames_outside_the_video_are_refused_with_its_length(
    film: VideoInfo, time_s: float
) -> None:
    with pytest.raises(TimeRangeError, match=r"outside the video, which is 10\.000 s long"):
        frames_at(film, [1.0, time_s])


def test_a_still_picture_in_a_variable_rate_is_sampled_once(tmp_path: Path) -> None:
    path = make_video(tmp_path / "slides.mkv", times_ms=[0, 5000, 5040, 9000])
    info = probe(path)
    assert plan_times(info, SamplingPlan(fps=1)).tolist() == [0, 5.0, 5.04, 9.0]


def test_colours_are_those_that_were_drawn(tmp_path: Path) -> None:
    draw = scenes([(1.0, (255, 0, 0)), (1.0, (0, 0, 255))])
    info = probe(make_video(tmp_path / "c.mp4", seconds=2, draw=draw))
    red, blue = frames_at(info, [0.5, 1.5])
    assert np.abs(red.reshape(-1, 3).mean(axis=0) - (255, 0, 0)).max() < 6
    assert np.abs(blue.reshape(-1, 3).mean(axis=0) - (0, 0, 255)).max() < 6


def test_one_group_at_a_time_is_decoded(film: VideoInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops where the caller does: pictures are made when they are asked for."""
    from agentkit import video_decode

    made: list[int] = []
    upright = video_decode.upright
    monkeypatch.setattr(video_decode, "upright", lambda *args: made.append(1) or upright(*args))
    batches = sample(film, SamplingPlan(fps=3))
    next(batches)
    next(batches)
    assert len(made) <= 2 * 4 + 1
