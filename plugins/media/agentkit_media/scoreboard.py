"""The score of a match, read from the text on screen, and where it changes.

A text looks like a score if two small numbers stand on both sides of a dash or colon ("2-1",
"2 : 1", "ARS 2-1 CHE") or between two team codes ("ARS 2 CHE 1"). What looks like a clock is left
out. A change counts if it adds to the score and stays.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.types import Note

Score = tuple[int, int]

STAYS_S = 6.0  # for so long, or seen twice, the new score must stand
MOST = 3  # that one side gains at once: beyond it the reader misread
_PAIR = re.compile(r"(?<![\d:.\-/])(\d{1,3})\s*([-:\u2013\u2014])\s*(\d{1,3})(?![\d:.\-/%])")
_TEAMS = re.compile(r"\b([A-Z]{2,4})\s*(\d{1,3})\s*[-\u2013 ]?\s*([A-Z]{2,4})\s*(\d{1,3})\b")
_CODE = re.compile(r"\b[A-Z]{2,4}\b")


@dataclass(frozen=True, slots=True)
class Change:
    """The score as it was, as it is, and the note that shows it new."""

    before: Score
    after: Score
    note: Note


def score_in(text: str) -> Score | None:
    """Return the score that a text shows, None where it shows none."""
    if teams := _TEAMS.search(text):
        return int(teams[2]), int(teams[4])
    match = _PAIR.search(text)
    if not match or (match[2] == ":" and _is_clock(match[1], match[3], text)):
        return None
    left, right = int(match[1]), int(match[3])
    # "2014-15" is a season, "90-2" of small and large a range: a score's sides are of a kind.
    return (left, right) if max(left, right) < 200 else None


def _is_clock(left: str, right: str, text: str) -> bool:
    """Say whether "45:12" is a time: two digits under 60 behind the colon, and no team beside."""
    return len(right) == 2 and int(right) < 60 and not _CODE.search(text)


def changes(notes: Sequence[Note]) -> list[Change]:
    """Return where the score of captions in order of time changes and stays so."""
    shown = [(score, note) for note in notes if (score := score_in(note.text))]
    found: list[Change] = []
    current: Score | None = None
    for place, (score, note) in enumerate(shown):
        if current is None:
            current = score
        elif score != current and _adds(current, score) and _stays(shown[place:], score):
            found.append(Change(current, score, note))
            current = score
    return found


def _adds(before: Score, after: Score) -> bool:
    gains = after[0] - before[0], after[1] - before[1]
    return min(gains) >= 0 and max(gains) <= MOST


def _stays(shown: Sequence[tuple[Score, Note]], score: Score) -> bool:
    """Say whether the score now shown is shown for long enough before another is."""
    run = []
    for other, note in shown:
        if other != score:
            break
        run.append(note)
    return len(run) > 1 or run[-1].end_s - run[0].start_s >= STAYS_S
