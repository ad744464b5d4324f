"""The summary of a video: what the language model writes, held against the notes by bookkeeping.

A sentence stands where notes carry its words and each of its numbers; any other is marked. The
model is never asked whether it is sure.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from agentkit.citing import abstains
from agentkit.reports.carried import Carriers
from agentkit.reports.wording import Words
from agentkit.terms import content_terms, overlap
from agentkit.types import (
    Answer,
    Citation,
    Finding,
    Note,
    Section,
    SessionView,
    StoredVideo,
    Verdict,
)

TASK = "summary"
VERSION = 1  # of what is kept of an answer: raise it when that changes
MAX_CHUNKS = 12  # read whole for a summary, spread evenly over the video

_ENDING = re.compile(r"(?<=[\u3002\uff01\uff1f])|(?<=[.!?])(?=\s)|(?<=[.!?][\"'\u201d])(?=\s)")


@dataclass(frozen=True, slots=True)
class Said:
    """What is kept of the model's answer."""

    text: str
    supported: bool | None
    citations: tuple[Citation, ...]
    findings: tuple[Finding, ...]


def summary(
    video: StoredVideo, notes: Sequence[Note], session: SessionView, words: Words, made_with: str
) -> Section:
    """Return the summary of a video, sentence by sentence with what carries each.

    The answer is kept in the store and not asked for again; `made_with` says what it depends on.
    """
    question = words("task.summary.question")
    key = f"report/summary/{words.language}"
    version = f"{VERSION}/{sha256(f'{question}|{made_with}'.encode()).hexdigest()[:16]}"
    kept = session.analysis(video, key, version, lambda: _asked(question, video, session))
    findings = claims(_said(kept), video, notes)
    title = words("summary.title")
    if not findings:
        return Section(title, words("summary.none"))
    return Section(title, words("summary.body"), findings)


def _asked(question: str, video: StoredVideo, session: SessionView) -> dict[str, Any]:
    """Return the model's answer as JSON keeps it."""
    answer: Answer = session.ask(question, video, task=TASK, chunks=_spread(video.chunks))
    return {
        "text": answer.text,
        "supported": answer.supported,
        "citations": [asdict(cite) for cite in answer.citations],
        "findings": [asdict(finding) for finding in answer.findings],
    }


def _spread(chunks: int) -> list[int]:
    """Return up to MAX_CHUNKS of 0..chunks-1, both ends included."""
    if chunks <= MAX_CHUNKS:
        return list(range(chunks))
    return sorted({round(i * (chunks - 1) / (MAX_CHUNKS - 1)) for i in range(MAX_CHUNKS)})


def _said(kept: dict[str, Any]) -> Said:
    findings = [
        Finding(
            finding["claim"],
            finding["verdict"],
            tuple(Citation(**cite) for cite in finding["citations"]),
        )
        for finding in kept["findings"]
    ]
    citations = tuple(Citation(**cite) for cite in kept["citations"])
    return Said(kept["text"], kept["supported"], citations, tuple(findings))


def claims(said: Said, video: StoredVideo, notes: Sequence[Note]) -> tuple[Finding, ...]:
    """Return an answer's sentences as findings, then what the domain's check found beside them.

    Nothing where the answer has no support at all: its words are then no summary.
    """
    if said.supported is False:
        return ()
    told = [sentence for sentence in sentences(said.text) if not abstains(sentence)]
    checks = [finding for finding in said.findings if finding.verdict != "supported"]
    carriers = Carriers(video.video_id, said.citations, notes)
    found = [_finding(sentence, checks, carriers) for sentence in told]
    beside = [check for check in checks if not any(_about(check, one) for one in told)]
    return (*found, *beside)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each once; a last one that was cut off is left out.

    "3.5" and "14,2015" are no ends: a point ends a sentence where space follows.
    """
    parts = [" ".join(part.split()) for part in _ENDING.split(text)]
    whole = [part for part in parts if part]
    if len(whole) > 1 and not whole[-1].endswith(tuple(".!?\u3002\uff01\uff1f\"'\u201d")):
        whole.pop()
    return list(dict.fromkeys(whole))


def _finding(sentence: str, checks: Sequence[Finding], carriers: Carriers) -> Finding:
    """Return a sentence as a claim; what the domain's check says of it counts more than words."""
    checked = [check for check in checks if _about(check, sentence)]
    carried = carriers.of(sentence)
    if not checked:
        return Finding(sentence, "supported" if carried else "unsupported", carried)
    against = tuple(cite for check in checked for cite in check.citations)
    is_against = any(check.verdict == "contradicted" for check in checked)
    verdict: Verdict = "contradicted" if is_against else "unsupported"
    return Finding(sentence, verdict, against or carried)


def _about(check: Finding, sentence: str) -> bool:
    """Say whether a checked claim is made by a sentence: it has all of the claim's own words."""
    terms = content_terms(check.claim)
    return check.claim in sentence or (bool(terms) and overlap(terms, sentence) == 1.0)
