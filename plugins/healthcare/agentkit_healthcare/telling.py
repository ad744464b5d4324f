"""What was recognised as plain values, redacted: for the command's JSON and for agents."""

from typing import Any

from agentkit.types import Citation, SessionView, StoredVideo
from agentkit_healthcare.checklist import checked
from agentkit_healthcare.deidentify import redact_text
from agentkit_healthcare.deviations import deviations
from agentkit_healthcare.instruments import instruments_seen
from agentkit_healthcare.protocol import load, shipped
from agentkit_healthcare.steps import recognised

Values = dict[str, Any]


def steps(video: StoredVideo, session: SessionView) -> Values:
    """Return the steps with their times and evidence, and what differs from the protocol."""
    found = recognised(video, session)
    return {
        "video_id": video.video_id,
        "protocol": found.protocol.id,
        "steps": [
            {
                "step": one.step.id,
                "name": one.step.name(session.language),
                "start_s": round(one.start_s, 3),
                "end_s": round(one.end_s, 3),
                "confidence": one.confidence,
                "evidence": _cites(video, session, one.evidence),
            }
            for one in found.occurrences
        ],
        "unrecognised_s": [[round(start, 3), round(end, 3)] for start, end in found.gaps_s],
        "deviations": [
            {"kind": one.kind, "step": one.step.id, "count": one.count} for one in deviations(found)
        ],
    }


def checklist(video: StoredVideo, session: SessionView) -> Values:
    """Return the items of the safety checklist; "not_seen" never means that one was not done."""
    found = recognised(video, session)
    return {
        "video_id": video.video_id,
        "protocol": found.protocol.id,
        "items": [
            {
                "item": one.check.id,
                "name": one.check.name(session.language),
                "status": one.status,
                "before": one.check.before or None,
                "due_s": one.due_s,
                "evidence": _cites(video, session, one.evidence),
            }
            for one in checked(video, session, found)
        ],
    }


def instruments(video: StoredVideo, session: SessionView) -> Values:
    """Return the instruments that were named or seen, with their spans."""
    return {
        "video_id": video.video_id,
        "instruments": [
            {
                "instrument": one.instrument.id,
                "name": one.instrument.name(session.language),
                "how": list(one.how),
                "spans_s": [[start, end] for start, end in one.spans_s],
                "evidence": _cites(video, session, one.evidence),
            }
            for one in instruments_seen(video, session)
        ],
    }


def protocols(language: str) -> list[Values]:
    """Return the protocols that come with the plugin."""
    return [
        {
            "protocol": name,
            "title": protocol.title(language),
            "source": protocol.source,
            "steps": [step.name(language) for step in protocol.steps],
            "checklist": [check.name(language) for check in protocol.checks],
        }
        for name in shipped()
        for protocol in [load(name)]
    ]


def _cites(
    video: StoredVideo, session: SessionView, evidence: tuple[Citation, ...]
) -> list[Values]:
    return [
        {"start_s": c.start_s, "end_s": c.end_s, "why": redact_text(c.why, video, session)}
        for c in evidence
    ]
