"""What agents may ask of the security domain, and what its commands print: plain values."""

import math
from collections.abc import Callable
from typing import Any

from agentkit.types import SessionView, StoredVideo
from agentkit_security.judging import noted, reasons_in_words
from agentkit_security.tracks import Track
from agentkit_security.watched import Watched, curve, watch
from agentkit_security.wording import label, texts


def events_json(watched: Watched, language: str) -> list[dict[str, Any]]:
    """Return events as JSON prints them."""
    return [
        {
            "kind": event.kind,
            "start_s": round(event.start_s, 3),
            "end_s": round(event.end_s, 3),
            "zone": event.zone,
            "thing": event.thing,
            "tracks": list(event.tracks),
            "count": event.count,
            "severity": event.severity,
            "reasons": list(event.reasons),
            "label": label(event, language),
        }
        for event in watched.events
    ]


def tracks_json(tracks: list[Track]) -> list[dict[str, Any]]:
    """Return tracks as JSON prints them."""
    return [
        {
            "track": one.number,
            "kind": one.kind,
            "start_s": one.start_s,
            "end_s": one.end_s,
            "seen": len(one.times_s),
            "first_box": list(one.boxes[0]),
            "last_box": list(one.boxes[-1]),
            "mean_score": round(sum(one.scores) / len(one.scores), 3),
        }
        for one in tracks
    ]


def anomaly_json(session: SessionView, video: StoredVideo) -> dict[str, Any]:
    """Return the anomaly curve as JSON prints it; a second without a score is null."""
    found = curve(session, video)
    return {
        "step_s": 1.0,
        "scores": [None if math.isnan(score) else round(score, 4) for score in found.scores],
        "peaks": [
            {
                "start_s": peak.start_s,
                "end_s": peak.end_s,
                "at_s": peak.at_s,
                "score": round(peak.score, 4),
                "reasons": reasons_in_words(peak.reasons, session.language),
            }
            for peak in found.peaks
        ],
    }


def tools(session: SessionView) -> list[Callable[..., object]]:
    """Return the tools of a session; each takes a video's id."""

    def security_events(video: str) -> list[dict[str, Any]]:
        """List who or what entered, left, stayed long, crossed a line or crowded in a video."""
        return events_json(watch(session, session.video(video)), session.language)

    def security_anomaly(video: str) -> dict[str, Any]:
        """Give each second's anomaly score (0 usual, 1 unusual) and what stands out, and why."""
        return anomaly_json(session, session.video(video))

    def describe_event(video: str, start_s: float, end_s: float) -> dict[str, Any]:
        """Let the language model say what happens between two times: event, who, severity 0-3."""
        shown = session.video(video)
        question = texts()(
            "task.event.question",
            session.language,
            start=f"{start_s:.0f}",
            end=f"{end_s:.0f}",
            noted=noted(session, shown, start_s, end_s),
        )
        chunks = [
            chunk.index
            for chunk in session.chunks(shown)
            if chunk.start_s < end_s and start_s < chunk.end_s
        ]
        return dict(session.ask(question, shown, task="event", chunks=chunks).fields)

    return [security_events, security_anomaly, describe_event]
