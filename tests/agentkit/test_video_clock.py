from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import VideoDamagedError, VideoLimitError
from agentkit.video_clock import Timeline, packets_of, scan
from agentkit.video_open import VideoLimits


@dataclass
class Packet:
    """A packet as a demuxer would give it; size and flags as in an ordinary file."""

    pts: int | None
    dts: int | None = None
    is_keyframe: bool = False
    is_discard: bool = False
    is_corrupt: bool = False
    duration: int = 40
    size: int = 1


@dataclass
class Container:
    """Just enough of a container for `scan`: packets of a millisecond clock."""

    packets: list[Packet]
    name: str = "matroska,webm"
    format: SimpleNamespace = field(init=False)
    streams: tuple[int, ...] = (0, 1)
    duration: None = None

    def __post_init__(self) -> None:
        self.format = SimpleNamespace(name=self.name)

    def demux(self, _: object) -> Iterator[Packet]:
        return iter(self.packets)


STREAM = cast(
    VideoStream,
    SimpleNamespace(
        time_base=Fraction(1, 1000),
        average_rate=Fraction(25),
        guessed_rate=None,
        start_time=0,
        index_entries=(),
        metadata={},
    ),
)


def timeline_of(packets: list[Packet], name: str = "matroska,webm") -> Timeline:
    container = cast(InputContainer, Container(packets, name))
    return scan(container, STREAM, Path("x.mkv"), 1000, VideoLimits(max_duration_s=1e12))


def packets_at(*pts: int | None) -> list[Packet]:
    return [Packet(value, is_keyframe=number == 0) for number, value in enumerate(pts)]


def test_reordered_frames_stand_in_order_of_presentation() -> None:
    timeline = timeline_of(packets_at(0, 120, 40, 80, 160))
    assert timeline.exact
    assert timeline.packets.tolist() == [0, 2, 3, 1, 4]
    assert timeline.times_s.tolist() == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert timeline.duration_s == pytest.approx(0.2)


def test_frames_hidden_by_an_edit_list_or_before_the_first_keyframe_are_left_out() -> None:
    packets = packets_at(-80, -40, 0, 40, 80)
    packets[0].is_keyframe, packets[1].is_keyframe = False, True
    packets[1].is_discard = True
    timeline = timeline_of(packets)
    assert timeline.packets.tolist() == [2, 3, 4]
    assert timeline.times_s.tolist() == [0.0, 0.04, 0.08]
    assert timeline.keys.tolist() == [1]  # decoding still starts there


def test_a_torn_last_packet_is_no_frame() -> None:
    packets = packets_at(0, 40, 80)
    packets[2].is_corrupt = True
    assert timeline_of(packets).times_s.tolist() == [0.0, 0.04]


@pytest.mark.parametrize(
    ("packets", "times_s"),
    [
        (packets_at(None, None, None, None), [0.0, 0.04, 0.08, 0.12]),  # nothing known: the rate
        (packets_at(0, None, None, 120, None), [0.0, 0.04, 0.08, 0.12, 0.16]),  # between known
        (packets_at(100, 200, 300, 100, 200), [0.0, 0.04, 0.08, 0.12, 0.16]),  # said twice
        ([Packet(None, dts, dts == 10) for dts in (10, 60, 70)], [0.0, 0.05, 0.06]),  # dts
    ],
    ids=["missing", "partly-missing", "repeated", "dts-only"],
)
def test_times_without_usable_pts_are_estimated_and_flagged(
    packets: list[Packet], times_s: list[float]
) -> None:
    timeline = timeline_of(packets)
    assert timeline.times_s.tolist() == pytest.approx(times_s)
    assert (timeline.exact, timeline.estimated) == (False, True)
    assert timeline.warnings[0].startswith("times are estimated")


def test_pts_that_jump_back_are_not_believed() -> None:
    first, again = range(0, 4000, 40), range(20, 4020, 40)
    timeline = timeline_of(packets_at(*first, *again))
    assert timeline.estimated
    assert timeline.times_s.tolist() == pytest.approx([n * 0.04 for n in range(200)])


@given(
    st.lists(st.tuples(st.none() | st.integers(-(10**12), 10**12), st.booleans()), min_size=1),
    st.sampled_from(["matroska,webm", "avi", "mpegts"]),
)
def test_whatever_the_pts_times_start_at_0_and_never_go_back(
    values: list[tuple[int | None, bool]], name: str
) -> None:
    timeline = timeline_of([Packet(pts, is_keyframe=key) for pts, key in values], name)
    assert timeline.times_s[0] == 0
    assert np.isfinite(timeline.times_s).all()
    assert (np.diff(timeline.times_s) > 0).all()
    assert timeline.duration_s >= timeline.times_s[-1]
    assert timeline.at(timeline.times_s).tolist() == list(range(len(timeline.times_s)))


def test_no_packet_at_all_is_damage() -> None:
    with pytest.raises(VideoDamagedError, match="no frame can be read"):
        timeline_of([])


class Flaky(Container):
    """Fails after each of its packets, as a damaged file does, and ends after the last."""

    def demux(self, _: object) -> Iterator[Packet]:
        while self.packets:
            yield self.packets.pop(0)
            raise av.InvalidDataError(1, "damaged")


def test_reading_goes_on_after_a_packet_that_cannot_be_read() -> None:
    container = cast(InputContainer, Flaky(packets_at(0, 40, 80)))
    assert [packet.pts for packet in packets_of(container, STREAM)] == [0, 40, 80]


def test_reading_that_only_fails_ends() -> None:
    class Broken(Container):
        def demux(self, _: object) -> Iterator[Packet]:
            raise av.InvalidDataError(1, "damaged")

    assert list(packets_of(cast(InputContainer, Broken([])), STREAM)) == []


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (VideoLimits(max_frames_in_file=3), "too long: more than 3 frames"),
        (VideoLimits(max_duration_s=0.1), "too long: 0 s, the limit is 0 s"),
        (VideoLimits(max_probe_s=-1.0), "takes more than -1 s"),
    ],
)
def test_limits_stop_the_listing(limits: VideoLimits, problem: str) -> None:
    container = cast(InputContainer, Container(packets_at(0, 40, 80, 120, 160)))
    with pytest.raises(VideoLimitError, match=problem):
        scan(container, STREAM, Path("x.mkv"), 1000, limits)
