"""The safety checklist against the video: done, seen too late, or not seen, each with evidence.

What was not seen may have been done all the same: before the camera ran, off the picture, unsaid.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentkit.types import Chunk, Citation, Note, SessionView, StoredVideo
from agentkit_healthcare.asking import judged
from agentkit_healthcare.cues import found
from agentkit_healthcare.options import Options
from agentkit_healthcare.protocol import Check
from agentkit_healthcare.scores import NO_WORDS_KINDS, SEEN_KINDS, SHOWN_KIND
from agentkit_healthcare.steps import Recognition

Status = Literal["done", "late", "not_seen", "denied"]
MAX_EVIDENCE = 3
# "We have not done the time-out", "without antibiotics": the cue is there, the deed is not.
_DENIED = re.compile(
    r"\b(?:not|no|never|without|skip(?:ped)?|forg[eo]t(?:ten)?|missing|pending|\w+n't)\b"
    r"|[未没无]|尚未|忘",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"[.,;:!?\u3002\uff0c\uff1b\uff01\uff1f]|\bbut\b")


@dataclass(frozen=True, slots=True)
class Checked:
    """One item, what carries its status, and when it was due; None where no step says.

    "denied" is what is named and said not to be done, or not done as the model judges.
    """

    check: Check
    status: Status
    evidence: tuple[Citation, ...] = ()
    due_s: float | None = None


def checked(video: StoredVideo, session: SessionView, recognition: Recognition) -> list[Checked]:
    """Return each item of the protocol's checklist, in its order."""
    options = Options.of(session.options)
    notes = session.notes(video.video_id)
    items = [_checked(video, check, notes, recognition) for check in recognition.protocol.checks]
    if options.ask != "always":
        return items
    return [_judged(video, session, item) for item in items]


def _checked(
    video: StoredVideo, check: Check, notes: Sequence[Note], recognition: Recognition
) -> Checked:
    due = recognition.of(check.before) if check.before else ()
    # A step may begin a little before the first note that tells it; by that note it is under way.
    due_s = due[0].evidence[0].start_s if due else None
    telling = [note for note in notes if _tells(check, note)]
    done = [note for note in telling if not _is_denied(check, note.text)]
    if not done:
        status: Status = "denied" if telling else "not_seen"
        return Checked(check, status, _cites(video, telling), due_s)
    is_late = due_s is not None and done[0].start_s > due_s
    return Checked(check, "late" if is_late else "done", _cites(video, done), due_s)


def _tells(check: Check, note: Note) -> bool:
    if note.kind in NO_WORDS_KINDS:
        return False
    cues = check.cues
    if note.kind in SEEN_KINDS:
        return bool(found(cues.objects, note.text))
    shown = cues.text if note.kind == SHOWN_KIND else ()
    return bool(found((*cues.words, *cues.objects, *shown), note.text))


def _is_denied(check: Check, text: str) -> bool:
    """Say whether each clause that names the item denies it.

    "No tourniquet" is a cue of its own and denies nothing.
    """
    cues = (*check.cues.words, *check.cues.text, *check.cues.objects)
    naming = [clause for clause in _CLAUSES.split(text) if found(cues, clause)]
    return bool(naming) and all(_denies(clause, cues) for clause in naming)


def _denies(clause: str, cues: Sequence[str]) -> bool:
    named = found(cues, clause)
    return bool(_DENIED.search(clause)) and not any(_DENIED.search(cue) for cue in named)


def _cites(video: StoredVideo, notes: Sequence[Note]) -> tuple[Citation, ...]:
    first: dict[str, Note] = {}
    for note in notes:
        first.setdefault(note.text, note)
    kept = list(first.values())[:MAX_EVIDENCE]
    return tuple(Citation(video.video_id, n.start_s, n.end_s, n.text) for n in kept)


def _judged(video: StoredVideo, session: SessionView, item: Checked) -> Checked:
    """Return an item as the model judges what carries it: it may take back, never add."""
    if item.status not in ("done", "late"):
        return item
    chunks = [c.index for c in session.chunks(video.video_id) if _holds(c, item.evidence)]
    done = judged(video, session, item.check, chunks)
    if done is False:
        return Checked(item.check, "denied", item.evidence, item.due_s)
    return item


def _holds(chunk: Chunk, evidence: Sequence[Citation]) -> bool:
    return any(c.start_s < chunk.end_s and c.end_s > chunk.start_s for c in evidence)
