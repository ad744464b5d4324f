"""All that the rules of this domain look at: a video's notes, shots, looks and loudness.

It is gathered once a hook; what is long to make is kept in the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.types import Citation, Note, SessionView, StoredVideo
from agentkit_media.frames import Look
from agentkit_media.options import Options
from agentkit_media.shots import Shot, Shots, shots_of
from agentkit_media.sound import STEP_S, loudness

SAME_RUN_S = 0.5  # notes of one text that follow each other sooner are one


@dataclass(frozen=True, slots=True)
class Material:
    video: StoredVideo
    language: str
    options: Options
    found: Shots
    notes: tuple[Note, ...]  # in order of time; one text over groups on end is one note
    levels_db: tuple[float, ...]  # each STEP_S

    @property
    def shots(self) -> tuple[Shot, ...]:
        return self.found.shots

    def of(self, *kinds: str, start_s: float = 0.0, end_s: float | None = None) -> list[Note]:
        """Return the notes of some kinds that touch [start_s, end_s)."""
        until_s = self.video.duration_s + 1 if end_s is None else end_s
        return [
            note
            for note in self.notes
            if note.kind in kinds
            and note.start_s < until_s
            and (note.end_s > start_s or note.start_s == note.end_s == start_s)
        ]

    def looks(self, start_s: float, end_s: float) -> list[Look]:
        return [look for look in self.found.looks if start_s <= look.time_s < end_s]

    def levels(self, start_s: float, end_s: float) -> Sequence[float]:
        first = int(start_s / STEP_S)
        return self.levels_db[first : max(int(end_s / STEP_S + 0.999), first + 1)]

    def cite(self, note: Note, why: str = "") -> Citation:
        return self.cite_span(note.start_s, note.end_s, why or note.text)

    def cite_span(self, start_s: float, end_s: float, why: str) -> Citation:
        """Return a citation inside the video, with the frame in its middle."""
        start_s, end_s = max(start_s, 0.0), min(end_s, self.video.duration_s)
        middle_s = min((start_s + end_s) / 2, max(self.video.duration_s - 0.05, 0.0))
        return Citation(self.video.video_id, start_s, end_s, why, middle_s)


def gather(video: StoredVideo, session: SessionView) -> Material:
    """Return a video's material; what is slow of it is kept in the store.

    Raises:
        UsageError: an option of the domain is unknown or out of range.
    """
    options = Options.of(session.options)
    return Material(
        video,
        session.language,
        options,
        shots_of(video, session, options),
        tuple(runs(session.notes(video.video_id))),
        loudness(video, session),
    )


def runs(notes: Sequence[Note]) -> list[Note]:
    """Return notes with those of one kind and text that follow each other made one."""
    open_runs: dict[tuple[str, str], int] = {}
    found: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.start_s, note.end_s)):
        place = open_runs.get((note.kind, note.text))
        before = None if place is None else found[place]
        if place is not None and before and note.start_s <= before.end_s + SAME_RUN_S:
            end_s = max(before.end_s, note.end_s)
            score = max((s for s in (before.score, note.score) if s is not None), default=None)
            found[place] = Note(
                before.start_s, end_s, note.kind, note.text, score, before.box or note.box
            )
        else:
            open_runs[note.kind, note.text] = len(found)
            found.append(note)
    return found
