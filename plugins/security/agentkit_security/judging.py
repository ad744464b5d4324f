"""What the language model says of what stands out. It is asked little, once, and not believed."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from agentkit.types import Answer, SessionView, StoredVideo
from agentkit_security.anomaly import Peak, Reason
from agentkit_security.wording import joined, texts

VERSION = "1"
NOTED = ("objects", "motion", "scene")
MAX_NOTED = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """A peak and what the model called it; None where it gave no judgement, or was not asked."""

    peak: Peak
    unusual: bool | None
    reason: str


def judged(
    session: SessionView, video: StoredVideo, peaks: tuple[Peak, ...], of: int
) -> list[Judged]:
    """Return all peaks, the highest `of` of them judged; judgements are kept in the store."""
    out = []
    asked = peaks[:of]
    for number, peak in enumerate(asked, start=1):
        kept = _kept(session, video, peak)
        out.append(Judged(peak, kept["unusual"], kept["reason"]))
        session.progress("judging", number, len(asked))
    return out + [Judged(peak, None, "") for peak in peaks[of:]]


def _kept(session: SessionView, video: StoredVideo, peak: Peak) -> Any:
    language = session.language
    question = texts()(
        "task.anomaly.question",
        language,
        start=f"{peak.start_s:.0f}",
        end=f"{peak.end_s:.0f}",
        noted=noted(session, video, peak.start_s, peak.end_s),
        reasons=reasons_in_words(peak.reasons, language),
    )
    version = f"{VERSION} {sha256(question.encode()).hexdigest()[:16]}"
    key = f"security/judged/{peak.at_s:.0f}/{language}"

    def make() -> dict[str, object]:
        return dict(_ask(session, video, peak, question).fields)

    return session.analysis(video, key, version, make)


def _ask(session: SessionView, video: StoredVideo, peak: Peak, question: str) -> Answer:
    """Ask with the chunks of the peak, and the video's first, which shows what is usual."""
    chunks = [
        chunk.index
        for chunk in session.chunks(video)
        if chunk.index == 0 or (chunk.start_s < peak.end_s and peak.start_s < chunk.end_s)
    ]
    return session.ask(question, video, task="anomaly", chunks=chunks)


def noted(session: SessionView, video: StoredVideo, start_s: float, end_s: float) -> str:
    """Return what instruments noted between two times, each once.

    It stands in the question, so that the search finds what the question is about, and so that
    a small model need not find the time in the timeline.
    """
    until_s = min(end_s, video.duration_s)
    notes = session.notes(video, min(start_s, until_s), until_s)
    told = dict.fromkeys(note.text for note in notes if note.kind in NOTED)
    return "; ".join(list(told)[:MAX_NOTED]) or "-"


def reasons_in_words(reasons: tuple[Reason, ...], language: str) -> str:
    """Return why a second stands out: "7 people where 3 are usual"."""
    return joined([_in_words(reason, language) for reason in reasons], language)


def _in_words(reason: Reason, language: str) -> str:
    as_percent = 100 if reason.feature == "motion" else 1
    digits = 1 if reason.feature == "speed" else 0
    return texts()(
        f"feature.{reason.feature}",
        language,
        value=f"{reason.value * as_percent:.{digits}f}",
        usual=f"{reason.usual * as_percent:.{digits}f}",
    )
