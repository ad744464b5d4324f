"""Subtitles: WebVTT (W3C, 2019) and SubRip. Knows notes and milliseconds, no frames.

A long sentence becomes several cues, each of at most two lines, which share its time by their
width. No cue overlaps another: one that lasts into the next ends there, those that begin together
are one. An instant is shown for a second, or until the next.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from agentkit.exports.material import Material
from agentkit.exports.texts import balanced, lines_of, width
from agentkit.types import Note

MAX_LINES = 2
INSTANT_MS = 1000

# SubRip has no escapes, and players take tags for commands: <i>, {\an8}, {y:i}.
_NO_TAGS = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")"})


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines of text, from `start_ms` to before `end_ms`."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def webvtt(material: Material) -> bytes:
    """Return the parts as a WebVTT file."""
    blocks = ["WEBVTT"]
    for cue in cues(material.parts, _ms(material.end_s)):
        times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}"
        blocks.append("\n".join([times, *(escape(line, quote=False) for line in cue.lines)]))
    return ("\n\n".join(blocks) + "\n").encode()


def subrip(material: Material) -> bytes:
    """Return the parts as a SubRip (.srt) file; angle and curly brackets are changed to others."""
    blocks = []
    for number, cue in enumerate(cues(material.parts, _ms(material.end_s)), start=1):
        times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
        blocks.append("\n".join([str(number), times, *(_untagged(line) for line in cue.lines)]))
    return "".join(block + "\n\n" for block in blocks).encode()


def cues(parts: Sequence[Note], limit_ms: int) -> list[Cue]:
    """Return parts in order of time as cues, none over another; those without text are left out."""
    spoken = _together(parts)
    found: list[Cue] = []
    for index, (start_ms, end_ms, text) in enumerate(spoken):
        end_ms = end_ms if end_ms > start_ms else min(start_ms + INSTANT_MS, limit_ms)
        later = [next_ms for next_ms, _, _ in spoken[index + 1 : index + 2]]
        found += _split(start_ms, min([max(end_ms, start_ms + 1), *later]), text)
    return found


def _together(parts: Sequence[Note]) -> list[tuple[int, int, str]]:
    """Return (start, end, text), each start once: texts that begin together are joined."""
    found: dict[int, tuple[int, str]] = {}
    for part in parts:
        if not part.text:
            continue
        start_ms, end_ms = _ms(part.start_s), _ms(part.end_s)
        before = found.get(start_ms)
        text = part.text if before is None else f"{before[1]} {part.text}"
        found[start_ms] = (end_ms if before is None else max(before[0], end_ms), text)
    return [(start_ms, *found[start_ms]) for start_ms in sorted(found)]


def _split(start_ms: int, end_ms: int, text: str) -> Iterator[Cue]:
    """Yield the cues of one text; all in one where there is less than a millisecond for each."""
    shown = balanced(text, MAX_LINES)
    if len(shown) > end_ms - start_ms:
        shown = [tuple(lines_of(text))]
    done, widths = 0, [sum(map(width, block)) for block in shown]
    cuts = [start_ms]
    for index, wide in enumerate(widths):
        done += wide
        fair_ms = start_ms + round((end_ms - start_ms) * done / max(sum(widths), 1))
        left = len(shown) - index - 1  # cues still to come, a millisecond each at least
        cuts.append(min(max(fair_ms, cuts[-1] + 1), end_ms - left))
    for block, (first_ms, last_ms) in zip(shown, pairwise(cuts), strict=True):
        yield Cue(first_ms, last_ms, block)


def _untagged(line: str) -> str:
    return line.translate(_NO_TAGS)


def _ms(time_s: float) -> int:
    return math.floor(time_s * 1000 + 0.5)


def _clock(time_ms: int, point: str) -> str:
    seconds, thousandths = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"
