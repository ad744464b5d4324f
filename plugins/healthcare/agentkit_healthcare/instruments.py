"""Which instruments were named or seen, and when. A name is no sight: both are told apart.

The detector of objects knows COCO's scissors and knife only, and not as surgeons hold them: what it
sees is a hint.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkit.types import Citation, Note, SessionView, StoredVideo
from agentkit_healthcare.cues import found
from agentkit_healthcare.lexicon import Instrument, instruments, named_in
from agentkit_healthcare.scores import NO_WORDS_KINDS, SEEN_KINDS, SHOWN_KIND

JOIN_S = 8.0  # spans of one instrument that are nearer are one
MAX_EVIDENCE = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """One instrument: how it was noted ("said", "shown" in writing, "seen"), when, and by what."""

    instrument: Instrument
    how: tuple[str, ...]
    spans_s: tuple[tuple[float, float], ...]
    evidence: tuple[Citation, ...]

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self.spans_s)


def instruments_seen(video: StoredVideo, session: SessionView) -> list[Seen]:
    """Return the instruments of a video's notes, first noted first."""
    by_instrument: dict[str, list[Note]] = {item.id: [] for item in instruments()}
    for note in session.notes(video.video_id):
        for item_id in _told_by(note):
            by_instrument[item_id].append(note)
    seen = [_seen(video, item, own) for item in instruments() if (own := by_instrument[item.id])]
    return sorted(seen, key=lambda one: (one.spans_s[0][0], one.instrument.id))


def merged(spans: Iterable[tuple[float, float]], join_s: float) -> list[tuple[float, float]]:
    """Return spans in order, those nearer than `join_s` as one."""
    joined: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s - joined[-1][1] <= join_s:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((start_s, end_s))
    return joined


def _told_by(note: Note) -> list[str]:
    """Return the ids of the instruments that a note names, or that the detector takes for them."""
    if note.kind in SEEN_KINDS:
        return [item.id for item in instruments() if found(item.coco, note.text)]
    return [] if note.kind in NO_WORDS_KINDS else named_in(note.text)


def _how(note: Note) -> str:
    return "seen" if note.kind in SEEN_KINDS else "shown" if note.kind == SHOWN_KIND else "said"


def _seen(video: StoredVideo, item: Instrument, notes: Sequence[Note]) -> Seen:
    spans = merged(((note.start_s, note.end_s) for note in notes), JOIN_S)
    first: dict[tuple[str, str], Note] = {}
    for note in notes:
        first.setdefault((note.kind, note.text), note)
    cites = [Citation(video.video_id, n.start_s, n.end_s, n.text) for n in first.values()]
    how = tuple(dict.fromkeys(_how(note) for note in notes))
    return Seen(item, how, tuple(spans), tuple(cites[:MAX_EVIDENCE]))
