"""Jumping from keyframe to keyframe gives the very pictures of decoding from the start."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit import video_decode
from agentkit.testing import LONG_GOP, frame_number, long_gop, make_video
from agentkit.video_clock import Timeline, scan
from agentkit.video_decode import Damage, PictureSource, runs, upright
from agentkit.video_open import VideoLimits, open_container, picture_stream

LIMITS = VideoLimits()
FRAMES = 130
SIZE = (96, 64)
VFR_MS = tuple(int(x) for x in np.cumsum([20 + 37 * (n * n % 7) for n in range(FRAMES)]))


def drawn(suffix: str, **kwargs: object) -> Callable[[Path], Path]:
    def draw(folder: Path) -> Path:
        path = folder / f"video{suffix}"
        return make_video(path, seconds=FRAMES / 25, fps=25, size_px=SIZE, **kwargs)  # type: ignore[arg-type]

    return draw


# One file for each way in which pictures may lean on each other, or times may stand in a file.
ENCODES: dict[str, Callable[[Path], Path]] = {
    "x264-default": drawn(".mp4", options={}),
    "long-gop": drawn(".mp4", options=LONG_GOP),
    "short-gop": drawn(".mp4", options=long_gop(12)),
    "no-b-frames": drawn(".mp4", options=long_gop(30, b_frames=0)),
    "open-gop": drawn(".mp4", options={**long_gop(20), "x264-params": "open-gop=1"}),
    "variable-rate": drawn(".mkv", options=long_gop(25), times_ms=VFR_MS),
    "rotated": drawn(".mp4", options=long_gop(25), rotation_deg=90),
    "transport-stream": drawn(".ts", options=long_gop(25)),
    "avi-intra": drawn(".avi", codec="mjpeg"),
    "mpeg4-b": drawn(".mp4", codec="mpeg4", options={"g": "15", "bf": "2"}),
    "hevc": drawn(
        ".mp4",
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:bframes=3"},
    ),
    "vp9": drawn(".webm", codec="libvpx-vp9", options={"g": "20", "cpu-used": "8"}),
}


@dataclass(frozen=True)
class Drawn:
    source: PictureSource
    linear: dict[int, NDArray[np.uint8]]  # the slow, obvious way: every frame from the first on

    @property
    def timeline(self) -> Timeline:
        return self.source.timeline


def source_of(path: Path) -> PictureSource:
    with open_container(path, LIMITS) as container:
        stream = picture_stream(container, path, LIMITS)
        timeline = scan(container, stream, path, path.stat().st_size, LIMITS)
    return PictureSource(path, timeline, LIMITS, Damage())


@pytest.fixture(scope="module", params=ENCODES, ids=str)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    source = source_of(ENCODES[request.param](tmp_path_factory.mktemp("video")))
    every = np.arange(len(source.timeline.times_s))
    return Drawn(source, {rank: upright(frame) for rank, frame in source.from_start(every)})


def test_linear_decoding_finds_every_frame_in_order(video: Drawn) -> None:
    assert list(video.linear) == list(range(FRAMES))
    if video.linear[0].shape[:2] == (64, 96):  # upright pictures carry their number
        assert [frame_number(image) for image in video.linear.values()] == list(range(FRAMES))


# The file is drawn once and only read, so the fixture may serve every example.
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(step=st.integers(1, FRAMES), start=st.integers(0, FRAMES - 1))
def test_every_step_gives_the_pictures_of_linear_decoding(
    video: Drawn, step: int, start: int
) -> None:
    ranks = np.arange(start, FRAMES, step)
    found = [(rank, upright(frame)) for rank, frame in video.source.by_keyframes(ranks)]
    assert [rank for rank, _ in found] == ranks.tolist()
    for rank, image in found:
        np.testing.assert_array_equal(image, video.linear[rank])


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=12))
def test_any_frames_give_the_pictures_of_linear_decoding(video: Drawn, wanted: set[int]) -> None:
    ranks = np.array(sorted(wanted))
    for rank, frame in video.source.by_keyframes(ranks):
        np.testing.assert_array_equal(upright(frame), video.linear[rank])


def test_keyframes_alone_decode_one_packet_each(tmp_path: Path) -> None:
    source = source_of(ENCODES["no-b-frames"](tmp_path))
    keys = source.timeline.key_ranks()
    assert keys.tolist() == [0, 30, 60, 90, 120]
    assert [rank for rank, _ in source.by_keyframes(keys)] == keys.tolist()
    assert source.damage.packets == len(keys)


def test_nothing_after_the_last_wanted_frame_is_decoded(tmp_path: Path) -> None:
    source = source_of(ENCODES["no-b-frames"](tmp_path))
    assert [rank for rank, _ in source.by_keyframes(np.array([33, 95]))] == [33, 95]
    assert source.damage.packets == 4 + 6


def test_wanting_every_frame_is_one_run(tmp_path: Path) -> None:
    timeline = source_of(ENCODES["short-gop"](tmp_path)).timeline
    (run,) = runs(timeline, np.arange(FRAMES))
    assert (run.first, run.last) == (0, FRAMES - 1)


def test_avi_with_reordered_frames_is_decoded_in_order_on_its_grid(tmp_path: Path) -> None:
    source = source_of(drawn(".avi", options=long_gop(25))(tmp_path))
    assert not source.timeline.exact
    assert not source.timeline.estimated
    np.testing.assert_allclose(source.timeline.times_s, np.arange(FRAMES) / 25, atol=1e-9)
    found = list(source.pictures(np.arange(3, FRAMES, 40)))
    assert [frame_number(image) for _, image in found] == [3, 43, 83, 123]
    assert [rank for rank, _ in found] == [3, 43, 83, 123]


@pytest.mark.parametrize(
    ("suffix", "kwargs"),
    [
        (".mp4", {"options": {**long_gop(40, 0), "x264-params": "intra-refresh=1"}}),
        (".webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
    ],
    ids=["intra-refresh", "vp8-hidden-frames"],
)
def test_where_jumping_fails_pictures_come_from_the_start(
    tmp_path: Path, suffix: str, kwargs: dict[str, object]
) -> None:
    source = source_of(drawn(suffix, **kwargs)(tmp_path))
    every = np.arange(len(source.timeline.times_s))
    linear = {rank: upright(frame) for rank, frame in source.from_start(every)}
    ranks = np.array([rank for rank in every[::7] if rank in linear])
    found = dict(source.pictures(ranks))
    assert list(found) == ranks.tolist()
    for rank, image in found.items():
        np.testing.assert_array_equal(image, linear[rank])
    assert source.damage.stand_ins == 0


def test_an_unseekable_file_is_decoded_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(ENCODES["short-gop"](tmp_path))

    def refuse(*_: object) -> None:
        raise video_decode._SeekError("not seekable")

    monkeypatch.setattr(PictureSource, "_from_key", refuse)
    found = dict(source.pictures(np.array([5, 50, 100])))
    assert [frame_number(image) for image in found.values()] == [5, 50, 100]
    assert source.damage.packets >= 100
