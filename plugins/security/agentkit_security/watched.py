"""What a session's rules find in a video: events and the anomaly curve. Knows no report."""

import math
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from agentkit.types import Citation, Note, SessionView, StoredVideo
from agentkit_security.anomaly import Curve, Peak, Reason, as_json, curve_of
from agentkit_security.event import Event
from agentkit_security.events import actions_in, events_of
from agentkit_security.options import Options, options_of
from agentkit_security.seen import sights
from agentkit_security.stays import Scene
from agentkit_security.tracking import VERSION as TRACKS_VERSION
from agentkit_security.tracking import aspect, tracks_of
from agentkit_security.wording import label
from agentkit_security.zones import Rules, rules_of

VERSION = "1"
BEFORE_S, AFTER_S = 1.0, 2.0  # of an event that is over at once, what a clip of it shows
LONGEST_S = 20.0  # of a long one, its beginning


@dataclass(frozen=True, slots=True)
class Watched:
    """A video under its rules."""

    video: StoredVideo
    options: Options
    rules: Rules
    scene: Scene
    events: tuple[Event, ...]


def watch(session: SessionView, video: StoredVideo) -> Watched:
    """Return what happened in a video. The first call looks at it; what it saw is kept.

    Raises:
        UsageError: a setting or the rules file says what cannot be.
        InstrumentMissingError: the detector's weights are not here.
    """
    options = options_of(session)
    rules = rules_of(options, video)
    tracks = tracks_of(session, video)
    scene = Scene(tracks, video.duration_s, aspect(video), options.settle_s, options.track_lost_s)
    actions = actions_in(session.notes(video), options.actions)
    events = sorted([*events_of(scene, rules), *actions], key=lambda event: event.start_s)
    return Watched(video, options, rules, scene, tuple(events))


def curve(session: SessionView, video: StoredVideo) -> Curve:
    """Return how unusual each second was; it is kept in the store."""
    options = options_of(session)

    def make() -> Any:
        tracks = tracks_of(session, video)
        seen = sights(session, video, options.track_fps, options.track_kinds)
        return as_json(curve_of(seen, tracks, video.duration_s, aspect(video), options.learn_s))

    on = f"{options.track_fps} {options.track_kinds} {options.track_lost_s} {options.learn_s}"
    version = f"{VERSION}/{TRACKS_VERSION} {sha256(on.encode()).hexdigest()[:16]}"
    return _curve(session.analysis(video, "security/anomaly", version, make))


def _curve(kept: Any) -> Curve:
    return Curve(
        tuple(math.nan if score is None else score for score in kept["scores"]),
        tuple(
            Peak(
                peak["start_s"],
                peak["end_s"],
                peak["at_s"],
                peak["score"],
                tuple(Reason(r["feature"], r["value"], r["usual"]) for r in peak["reasons"]),
            )
            for peak in kept["peaks"]
        ),
    )


def span_of(event: Event, duration_s: float) -> tuple[float, float]:
    """Return the seconds of a video that show an event."""
    if event.end_s - event.start_s > AFTER_S:
        return event.start_s, min(event.end_s, event.start_s + LONGEST_S)
    return max(event.start_s - BEFORE_S, 0.0), min(event.end_s + AFTER_S, duration_s)


def citation(event: Event, watched: Watched, language: str) -> Citation:
    """Return where an event is to be seen; its key frame is when it is sure to have begun."""
    video = watched.video
    start_s, end_s = span_of(event, video.duration_s)
    settled_s = event.start_s + (0.0 if event.kind == "leaves" else watched.options.settle_s)
    frame_s = min(max(settled_s, start_s), end_s)
    return Citation(video.video_id, start_s, end_s, label(event, language), frame_s)


def parts_of(session: SessionView, video: StoredVideo) -> list[Note]:
    """Return the events that are more than for the record, as parts of a video in order."""
    language = session.language
    return sorted(
        (
            Note(*span_of(event, video.duration_s), "event", label(event, language))
            for event in watch(session, video).events
            if event.severity
        ),
        key=lambda note: (note.start_s, note.end_s),
    )
