"""Notes that say the same for a while, as one run; how long and when, in words."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from agentkit.reports.wording import Words, span
from agentkit.types import Citation, Note

GAP_S = 1.5  # notes of groups follow each other; a longer gap is one
MAX_TIMES = 3  # spans named in one cell of a table
MAX_EVIDENCE_S = 32.0  # a cited span is one that a person watches through

Name = Callable[[Note], Hashable | None]


@dataclass(frozen=True, slots=True)
class Run:
    """Notes of one name that follow each other."""

    start_s: float
    end_s: float
    notes: tuple[Note, ...]

    @property
    def lasts_s(self) -> float:
        return self.end_s - self.start_s


def runs(notes: Iterable[Note], gap_s: float = GAP_S) -> list[Run]:
    """Return the notes as runs without gaps of more than `gap_s`, in order of time."""
    found: list[Run] = []
    for note in sorted(notes, key=lambda note: (note.start_s, note.end_s)):
        last = found[-1] if found else None
        if last is not None and note.start_s <= last.end_s + gap_s:
            end_s = max(last.end_s, note.end_s)
            found[-1] = Run(last.start_s, end_s, (*last.notes, note))
        else:
            found.append(Run(note.start_s, note.end_s, (note,)))
    return found


def grouped(notes: Iterable[Note], name: Name) -> dict[Hashable, list[Note]]:
    """Return notes by name, in order of first note; those without a name are left out."""
    found: dict[Hashable, list[Note]] = {}
    for note in notes:
        if (of := name(note)) is not None:
            found.setdefault(of, []).append(note)
    return found


def lasting_s(of: Sequence[Run]) -> float:
    return sum(run.lasts_s for run in of)


def times(of: Sequence[Run], words: Words) -> str:
    """Return when runs are, the first few of them in full."""
    told = ", ".join(span(run.start_s, run.end_s) for run in of[:MAX_TIMES])
    left = len(of) - MAX_TIMES
    return told if left <= 0 else f"{told}, {words('general.more', count=left)}"


def best(notes: Sequence[Note]) -> Note:
    """Return the note with the highest score; the first of equals."""
    return max(notes, key=lambda note: (note.score or 0.0, -note.start_s))


def evidence(video_id: str, note: Note, why: str) -> Citation:
    """Return a citation of one note, cut to what a person watches through."""
    end_s = min(note.end_s, note.start_s + MAX_EVIDENCE_S)
    return Citation(video_id, note.start_s, end_s, why)
