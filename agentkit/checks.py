"""What users type, checked before anything is done with it: questions, times, ranges."""

import math
import re
from collections.abc import Iterable

from agentkit.errors import QuestionError, TimeRangeError, UsageError

__all__ = ["check_question", "check_range", "check_tags", "language_of", "parse_time"]

MAX_QUESTION = 8_000  # letters; about 2,000 tokens, far above any real question

_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:\.\d+)?)", re.ASCII)
_TAG = re.compile(r"[^\s,\x00-\x1f\x7f](?:[^,\x00-\x1f\x7f]{0,62}[^\s,\x00-\x1f\x7f])?")
_SECONDS = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)


def check_question(text: str) -> str:
    """Return the question without the space around it.

    Raises:
        QuestionError: empty, too long, not text, or with control characters other than line breaks.
    """
    text = text.strip()
    if not text:
        raise QuestionError("the question is empty; ask something about the video")
    if len(text) > MAX_QUESTION:
        raise QuestionError(
            f"the question has {len(text)} letters, the limit is {MAX_QUESTION}; shorten it"
        )
    for letter in text:
        if (ord(letter) < 32 and letter not in "\n\r\t") or 0x7F <= ord(letter) < 0xA0:
            raise QuestionError(f"the question holds the control character {letter!r}; remove it")
        if 0xD800 <= ord(letter) < 0xE000:
            raise QuestionError(f"the question holds broken text ({letter!r}); type it again")
    return text


def language_of(text: str) -> str:
    """Return the language to answer in: "zh" where a Chinese character stands, else "en"."""
    return "zh" if re.search("[\u3400-\u4dbf\u4e00-\u9fff]", text) else "en"


def check_range(
    duration_s: float, start_s: float = 0.0, end_s: float | None = None
) -> tuple[float, float]:
    """Return (start, end) if it lies inside a video of `duration_s`; None means to its end.

    Raises:
        TimeRangeError: outside the video, or the end before the start; names the video's length.
    """
    asked = f"time {start_s:g}" if end_s is None else f"range {start_s:g}-{end_s:g}"
    end_s = duration_s if end_s is None else end_s
    if not 0 <= start_s <= duration_s or not 0 <= end_s <= duration_s:
        problem = "is outside the video"
    elif end_s < start_s:
        problem = "ends before it starts"
    else:
        return start_s, end_s
    raise TimeRangeError(f"the {asked} s {problem}, which is {duration_s:.3f} s long")


def check_tags(tags: Iterable[str]) -> None:
    """Make sure that the store will take these tags: before hours of work, not after.

    Raises:
        UsageError: empty, longer than 64 letters, or with a comma, a control character or space
            around it.
    """
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"{tag!r} is no tag; use up to 64 characters, and no comma")


def parse_time(text: str | float) -> float:
    """Return seconds from seconds, MM:SS or HH:MM:SS, each with decimals if needed.

    Raises:
        TimeRangeError: none of these, negative, or a part of 60 or more after a colon.
    """
    text = str(text).strip()
    if _SECONDS.fullmatch(text):
        return _finite(text, float(text))
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        raise _time_error(text)
    hours, minutes, seconds = clock[1], int(clock[2]), float(clock[3])
    if seconds >= 60 or (hours is not None and minutes >= 60):
        raise _time_error(text)
    return _finite(text, int(hours or 0) * 3600.0 + minutes * 60.0 + seconds)


def _finite(text: str, time_s: float) -> float:
    if not math.isfinite(time_s):
        raise _time_error(text)
    return time_s


def _time_error(text: str) -> TimeRangeError:
    return TimeRangeError(f"{text[:40]!r} is no time; write seconds, MM:SS or HH:MM:SS.mmm")
