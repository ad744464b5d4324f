"""What is exported of a video: its notes or segments between two times, redacted. Knows no format.

A part is exported where it touches the range asked for, cut to it; times stay the video's own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agentkit.checks import check_range
from agentkit.errors import PluginError, UnknownNameError, VideoError
from agentkit.exports.texts import one_line
from agentkit.exports.timecode import FrameRate, rate_near
from agentkit.redaction import Redaction
from agentkit.types import Note, SessionView, StoredVideo, VideoInfo, VideoName

Source = Literal["speech", "notes", "segments"]

# Kinds that our own instruments note; plugins add theirs.
KINDS = ("colours", "motion", "objects", "ocr", "scene", "shot", "speech")
UNMARKED = frozenset(("colours", "motion", "objects", "scene", "shot"))  # too many to mark


class ExportSession(SessionView, Protocol):
    """What an export needs of a session beside what plugins see."""

    def info(self, name: VideoName) -> VideoInfo:
        """Return what the file says of a stored video."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: notes of one kind or what the format usually holds, between two times."""

    kind: str | None = None
    start_s: float | None = None
    end_s: float | None = None

    def span(self, duration_s: float) -> tuple[float, float]:
        """Return (start, end) in a video of this length.

        Raises:
            TimeRangeError: outside the video, the end before the start, or no numbers.
        """
        return check_range(duration_s, self.start_s or 0.0, self.end_s)


@dataclass(frozen=True, slots=True)
class Material:
    """Parts of a video in order of time, as they may leave the store."""

    video_id: str
    name: str
    path: str  # "" where no link may lead to the file
    duration_s: float
    rate: FrameRate
    start_s: float
    end_s: float
    parts: tuple[Note, ...]
    marks: tuple[Note, ...] = ()  # what was said, shown in writing or found by the domain

    def frames(self, part: Note) -> tuple[int, int]:
        """Return a part's first frame and the one after its last; at least one lies between."""
        first = self.rate.frame_at(part.start_s)
        return first, max(self.rate.frame_at(part.end_s), first + 1)


def gather(
    session: ExportSession,
    redaction: Redaction,
    video: StoredVideo,
    source: Source,
    wanted: Wanted,
    with_marks: bool = False,
) -> Material:
    """Return what a format is made of.

    Raises:
        TimeRangeError: the range is not inside the video.
        UnknownNameError: no note is ever of that kind.
        PluginError: a segment or a note has no time, or the redaction fails.
    """
    start_s, end_s = wanted.span(video.duration_s)
    notes = session.notes(video.video_id)
    if source == "segments" and wanted.kind is None:
        found: Sequence[Note] = redaction.domain.segments(video, session)
    else:
        kind = wanted.kind or ("speech" if source == "speech" else None)
        if wanted.kind is not None:
            _check_kind(wanted.kind, notes)
        found = notes if kind is None else [note for note in notes if note.kind == kind]
    marks = [note for note in notes if with_marks and note.kind not in UNMARKED]
    inside = [_told(redaction, video, part) for part in _inside(found, start_s, end_s)]
    return Material(
        video.video_id,
        one_line(redaction.name(video)),
        redaction.path(video),
        video.duration_s,
        rate_of(session, video),
        start_s,
        end_s,
        tuple(inside),
        tuple(_told(redaction, video, mark) for mark in _inside(marks, start_s, end_s)),
    )


def rate_of(session: ExportSession, video: StoredVideo) -> FrameRate:
    """Return a video's frame rate: as the file says, or as it was when it was ingested."""
    try:
        return rate_near(session.info(video).frames_per_s)
    except VideoError:  # gone or changed; its notes are here all the same
        return rate_near(video.frames_in_file / (video.duration_s or math.inf))


def _check_kind(kind: str, notes: Sequence[Note]) -> None:
    known = {*KINDS, *(note.kind for note in notes)}
    if kind not in known:
        raise UnknownNameError("kind of note", kind, known)


def _inside(parts: Sequence[Note], start_s: float, end_s: float) -> list[Note]:
    """Return the parts that touch [start_s, end_s), cut to it, in order."""
    found = []
    for part in parts:
        if not (math.isfinite(part.start_s) and math.isfinite(part.end_s)):
            raise PluginError(
                f"the {part.kind} {part.text[:40]!r} has no time; nothing is exported"
            )
        if part.start_s < end_s and (part.end_s > start_s or start_s <= part.start_s):
            first_s = max(part.start_s, start_s)
            last_s = max(min(part.end_s, end_s), first_s)
            found.append(replace(part, start_s=first_s, end_s=last_s))
    return sorted(found, key=lambda part: (part.start_s, part.end_s))


def _told(redaction: Redaction, video: StoredVideo, part: Note) -> Note:
    # One line before too: a name with an invisible letter in it is not known for one.
    told = redaction.note(video, replace(part, text=one_line(part.text)))
    return replace(told, text=one_line(told.text), kind=one_line(told.kind))
