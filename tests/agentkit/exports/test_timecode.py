"""Frames counted exactly: frame to timecode and back, time to the nearest frame."""

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import TimeRangeError, UsageError
from agentkit.exports.timecode import MAX_HOURS, STANDARD, FrameRate, rate_near

RATES = st.sampled_from(STANDARD)
DAY_S = 24 * 3600.0


@given(RATES, st.data())
def test_a_frame_is_its_timecodes_frame(rate: Fraction, data: st.DataObject) -> None:
    counted = FrameRate(rate)
    frame = data.draw(st.integers(0, counted.nominal * 3600 * MAX_HOURS - 1))
    assert counted.frame_of(counted.timecode(frame)) == frame


@given(RATES, st.integers(0, 60 * 86_400))
def test_a_frames_time_is_of_that_frame(rate: Fraction, frame: int) -> None:
    counted = FrameRate(rate)
    assert counted.frame_at(counted.time_s(frame)) == frame


@given(RATES, st.floats(0, DAY_S))
def test_a_time_is_within_half_a_frame_of_its_frame(rate: Fraction, time_s: float) -> None:
    counted = FrameRate(rate)
    off = Fraction(time_s) - counted.frame_at(time_s) / rate
    assert abs(off) <= 1 / rate / 2


@given(RATES, st.integers(0, 24 * 3600 * 24 - 1))  # theirs begins anew after a day
def test_timecode_is_that_of_the_library_of_the_field(rate: Fraction, frame: int) -> None:
    counted = FrameRate(rate)
    time = otio.opentime.RationalTime(frame, float(rate))
    theirs = otio.opentime.to_timecode(time, float(rate), drop_frame=False)
    assert counted.timecode(frame) == theirs


@pytest.mark.parametrize(
    ("rate", "frame", "timecode"),
    [
        (Fraction(24000, 1001), 0, "00:00:00:00"),
        (Fraction(24000, 1001), 24 * 3600, "01:00:00:00"),  # 3.6 s after an hour has gone by
        (Fraction(25), 25 * 61 - 1, "00:01:00:24"),
        (Fraction(30000, 1001), 30 * 60, "00:01:00:00"),  # no frame is dropped
        (Fraction(60), 60 * 3600 * 3 + 59, "03:00:00:59"),
        (Fraction(25), 25 * 3600 * 100 - 1, "99:59:59:24"),
    ],
)
def test_known_timecodes(rate: Fraction, frame: int, timecode: str) -> None:
    assert FrameRate(rate).timecode(frame) == timecode


@pytest.mark.parametrize("frame", [-1, 25 * 3600 * 100])
def test_what_two_digits_cannot_say_is_refused(frame: int) -> None:
    with pytest.raises(TimeRangeError, match="two digits"):
        FrameRate(Fraction(25)).timecode(frame)


@pytest.mark.parametrize("time_s", [-0.001, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(time_s: float) -> None:
    with pytest.raises(TimeRangeError, match="no time"):
        FrameRate(Fraction(25)).frame_at(time_s)


@pytest.mark.parametrize(
    "timecode", ["", "00:00:00", "00:00:00:25", "00:60:00:00", "00:00:60:00", "00:00:00;01", "x"]
)
def test_what_is_no_timecode_is_refused(timecode: str) -> None:
    with pytest.raises(UsageError, match="no timecode"):
        FrameRate(Fraction(25)).frame_of(timecode)


@pytest.mark.parametrize("rate", STANDARD)
@pytest.mark.parametrize("off", [-1e-4, 0.0, 1e-4])
def test_an_average_means_the_standard_rate_near_it(rate: Fraction, off: float) -> None:
    assert rate_near(float(rate) * (1 + off)) == FrameRate(rate)


@pytest.mark.parametrize(
    ("average", "rate"),
    [
        (10.0, FrameRate(Fraction(10))),
        (15000 / 1001, FrameRate(Fraction(15000, 1001))),
        (120.0, FrameRate(Fraction(60), steady=False)),
        (120000 / 1001, FrameRate(Fraction(60000, 1001), steady=False)),
        (11.936, FrameRate(Fraction(24), steady=False)),
        (27.3, FrameRate(Fraction(30), steady=False)),
        (0.0, FrameRate(Fraction(25), steady=False)),
        (float("nan"), FrameRate(Fraction(25), steady=False)),
    ],
)
def test_other_rates_are_counted_at_one_that_programs_know(average: float, rate: FrameRate) -> None:
    assert rate_near(average) == rate
