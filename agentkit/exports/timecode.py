"""Frames counted exactly: from a time to the frame, its timecode and back. Knows no file.

Times are what the container says, rates are fractions: 23.976 is 24000/1001. Timecode is counted
without drop frames (SMPTE ST 12-1): HH:MM:SS:FF names the number of a frame at the rate's whole
number, so that at 29.97 an hour of timecode lasts 3.6 s longer than an hour. Hours go to 99;
nothing wraps.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from agentkit.errors import TimeRangeError, UsageError

STANDARD = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
)
MAX_RATE = 60  # above it frames are counted in twos: the frame field has two digits
MAX_HOURS = 100
# 24 and 24000/1001 are 1 in 1000 apart; containers that keep milliseconds round by less than this.
SAME_RATE = 2e-4

_TIMECODE = re.compile(r"(\d{2}):(\d{2}):(\d{2}):(\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Frames a second, as a fraction; `steady` says whether the file's own frames come so."""

    exact: Fraction
    steady: bool = True

    @property
    def nominal(self) -> int:
        """Frames that timecode counts as a second."""
        return round(self.exact)

    def frame_at(self, time_s: float) -> int:
        """Return the number of the frame nearest to a time; frame n is shown at n / rate.

        Raises:
            TimeRangeError: the time is negative, infinite or no number.
        """
        if not math.isfinite(time_s) or time_s < 0:
            raise TimeRangeError(f"{time_s:g} s is no time of a video")
        return math.floor(Fraction(time_s) * self.exact + Fraction(1, 2))

    def time_s(self, frame: int) -> float:
        """Return when a frame is shown."""
        return float(frame / self.exact)

    def timecode(self, frame: int) -> str:
        """Return a frame's number as HH:MM:SS:FF.

        Raises:
            TimeRangeError: negative, or at 100 hours and more, which timecode cannot write.
        """
        seconds, frames = divmod(frame, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        if not 0 <= hours < MAX_HOURS:
            raise TimeRangeError(f"frame {frame} is at {hours} hours; timecode has two digits")
        return f"{hours:02}:{minutes:02}:{seconds:02}:{frames:02}"

    def frame_of(self, timecode: str) -> int:
        """Return the number of the frame that a timecode names.

        Raises:
            UsageError: it is no timecode without drop frames, or not of this rate.
        """
        found = _TIMECODE.fullmatch(timecode)
        hours, minutes, seconds, frames = map(int, found.groups()) if found else (0, 60, 60, 0)
        if minutes >= 60 or seconds >= 60 or frames >= self.nominal:
            raise UsageError(
                f"{timecode!r} is no timecode at {float(self.exact):g} frames a second"
            )
        return ((hours * 60 + minutes) * 60 + seconds) * self.nominal + frames


def rate_near(frames_per_s: float) -> FrameRate:
    """Return the rate that an average means: a whole number of frames, or that / 1.001.

    A file whose frames come at no such rate is counted at the nearest higher standard one, as
    editing programs conform it; one above 60 in twos.
    """
    if not math.isfinite(frames_per_s) or frames_per_s <= 0:
        return FrameRate(Fraction(25), steady=False)
    halvings = 0
    while frames_per_s / 2**halvings > MAX_RATE * (1 + SAME_RATE):
        halvings += 1
    seen = frames_per_s / 2**halvings
    for rate in _candidates(seen):
        if abs(seen / float(rate) - 1) <= SAME_RATE:
            return FrameRate(rate, steady=not halvings)
    higher = (rate for rate in STANDARD if rate.denominator == 1 and rate >= seen)
    return FrameRate(next(higher, Fraction(MAX_RATE)), steady=False)


def _candidates(frames_per_s: float) -> tuple[Fraction, ...]:
    whole = Fraction(max(round(frames_per_s), 1))
    return (whole, whole * 1000 / 1001)
