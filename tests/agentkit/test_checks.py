import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.checks import MAX_QUESTION, check_question, check_range, parse_time
from agentkit.errors import QuestionError, TimeRangeError


def test_question_keeps_its_words_and_loses_the_space_around() -> None:
    assert check_question("  Who waves\nat 00:05? \n") == "Who waves\nat 00:05?"


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "x" * 100_000, "a\0b", "a\x1b[2J", "a\x85b", "\udc80"]
)
def test_bad_question_is_one_line_with_a_remedy(text: str) -> None:
    with pytest.raises(QuestionError) as raised:
        check_question(text)
    message = str(raised.value)
    assert message.startswith("the question ")
    assert "; " in message
    assert message.isprintable()
    assert len(message) < 120


@given(st.text(max_size=200))
def test_question_is_returned_stripped_or_refused(text: str) -> None:
    try:
        found = check_question(text)
    except QuestionError:
        return
    assert found == text.strip()
    assert 0 < len(found) <= MAX_QUESTION
    assert "\0" not in found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("12", 12.0),
        ("12.5", 12.5),
        (".5", 0.5),
        (7.25, 7.25),
        ("01:30", 90.0),
        ("1:05", 65.0),
        ("90:00", 5400.0),
        ("00:00:01.250", 1.25),
        ("10:00:00", 36_000.0),
        (" 2:03 ", 123.0),
    ],
)
def test_times_are_read_in_three_ways(text: str | float, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "-0:05",
        "1:60",
        "1:75:00",
        "1:2:3:4",
        "abc",
        "inf",
        "nan",
        "1e3",
        "9" * 400,
        "1:",
        "٣",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeRangeError, match="is no time; write seconds, MM:SS or HH:MM:SS"):
        parse_time(text)


@given(st.integers(0, 999_999_999))
def test_a_written_clock_time_is_read_back(milliseconds: int) -> None:
    seconds, rest = divmod(milliseconds, 1000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
    assert parse_time(text) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.text(alphabet="0123456789:.-eE ", max_size=20))
def test_any_text_is_a_time_or_a_time_error(text: str) -> None:
    with contextlib.suppress(TimeRangeError):
        assert parse_time(text) >= 0


def test_range_without_an_end_goes_to_the_videos_end() -> None:
    assert check_range(10.0) == (0.0, 10.0)
    assert check_range(10.0, 2.0) == (2.0, 10.0)
    assert check_range(10.0, 2.0, 10.0) == (2.0, 10.0)
    with pytest.raises(TimeRangeError, match="the time 12 s is outside the video"):
        check_range(10.0, 12.0)


@pytest.mark.parametrize(
    ("start_s", "end_s", "problem"),
    [
        (0.0, 10.5, "is outside the video"),
        (11.0, 12.0, "is outside the video"),
        (-1.0, 2.0, "is outside the video"),
        (float("nan"), 2.0, "is outside the video"),
        (5.0, 4.0, "ends before it starts"),
    ],
)
def test_bad_range_names_the_videos_length(start_s: float, end_s: float, problem: str) -> None:
    with pytest.raises(TimeRangeError, match=rf"{problem}, which is 10\.000 s long"):
        check_range(10.0, start_s, end_s)


@given(st.floats(), st.floats(), st.floats(0, 1e6))
def test_an_accepted_range_lies_inside(start_s: float, end_s: float, duration_s: float) -> None:
    try:
        first_s, last_s = check_range(duration_s, start_s, end_s)
    except TimeRangeError:
        return
    assert 0 <= first_s <= last_s <= duration_s
