"""Steps as files: Cholec80's phase text, and a table of comma-separated values."""

import csv
import io

from agentkit.types import SessionView, StoredVideo, UsageError
from agentkit_healthcare.deidentify import redact_text
from agentkit_healthcare.steps import Recognition, recognised

FRAMES_PER_S = 25  # of Cholec80's videos and annotations
CSV_HEAD = ("start_s", "end_s", "step", "name", "confidence", "evidence")


def cholec80(video: StoredVideo, session: SessionView) -> bytes:
    """Return "Frame<TAB>Phase" with a line for each frame at 25 a second, as the dataset has it.

    The format has no word for "none": where no step was recognised the step before stands, before
    the first the first.

    Raises:
        UsageError: no step was recognised.
    """
    recognition = recognised(video, session)
    if not recognition.occurrences:
        raise UsageError(
            f"{video.video_id[:12]}: no step was recognised, so there is no phase to write; "
            "see what its notes say with agentkit videos"
        )
    lines = [f"{frame}\t{label}" for frame, label in enumerate(labels(recognition))]
    return "\n".join(["Frame\tPhase", *lines, ""]).encode()


def labels(recognition: Recognition) -> list[str]:
    """Return each frame's label, at 25 frames a second."""
    ones = recognition.occurrences
    place, found = 0, []
    for frame in range(max(round(recognition.duration_s * FRAMES_PER_S), 1)):
        while place + 1 < len(ones) and ones[place + 1].start_s <= frame / FRAMES_PER_S:
            place += 1
        found.append(ones[place].step.label)
    return found


def steps_csv(video: StoredVideo, session: SessionView) -> bytes:
    """Return the recognised steps, one a line, with redacted evidence."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for one in recognised(video, session).occurrences:
        told = " | ".join(redact_text(cite.why, video, session) for cite in one.evidence)
        name = one.step.name(session.language)
        times = f"{one.start_s:.3f}", f"{one.end_s:.3f}"
        writer.writerow((*times, one.step.id, name, f"{one.confidence:.3f}", _plain(told)))
    return out.getvalue().encode()


def _plain(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
