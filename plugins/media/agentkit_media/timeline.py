"""The timeline of a report: scenes, shots, speech, text, names and highlights, and their score."""

from agentkit.types import Curve, Lane, Section, Span, Timeline
from agentkit_media.breakdown import Breakdown, label
from agentkit_media.frames import LOOK_S
from agentkit_media.shots import FADE
from agentkit_media.wording import Words, short

NAMED = 5  # lanes of characters, at most


def timeline_section(found: Breakdown, words: Words) -> Section:
    """Return the section with the timeline alone; lanes without anything are left out."""
    title, video = words("timeline"), found.material.video
    lanes = [lane for lane in _lanes(found, words) if lane.spans]
    values = tuple(round(value / 10, 3) for value in found.highlights.curve)
    curve = Curve(words("curve"), LOOK_S, values, video.video_id)
    curves = (curve,) if any(values) else ()
    timeline = Timeline(words("table_timeline"), video.duration_s, tuple(lanes), curves)
    return Section(title, timelines=(timeline,))


def _lanes(found: Breakdown, words: Words) -> list[Lane]:
    material = found.material
    scenes = [Span(s.start_s, s.end_s, label(s, words), words("lane_scenes")) for s in found.scenes]
    shots = [
        Span(
            shot.start_s,
            shot.end_s,
            _shot_label(shot.number, shot.begins, words),
            words("lane_shots"),
        )
        for shot in material.shots
    ]
    speech = [
        Span(n.start_s, n.end_s, short(n.text, 60), words("lane_speech"))
        for n in material.of("speech")
    ]
    written = [
        Span(n.start_s, n.end_s, short(n.text, 60), words("lane_written"))
        for n in material.of("ocr")
    ]
    moments = [
        Span(m.start_s, m.end_s, f"{m.score:.1f}", words("lane_highlights"))
        for m in found.highlights.moments
    ]
    named = [
        (
            words("lane_characters", who=one.name),
            [Span(a, b, one.name, words("lane_name")) for a, b in one.stretches],
        )
        for one in found.characters
        if one.is_person
    ]
    lanes = [
        (words("lane_scenes"), scenes),
        (words("lane_shots"), shots),
        (words("lane_speech"), speech),
        (words("lane_written"), written),
        *named[:NAMED],
        (words("lane_highlights"), moments),
    ]
    return [Lane(name, tuple(spans), material.video.video_id) for name, spans in lanes]


def _shot_label(number: int, begins: str, words: Words) -> str:
    name = words("shot", number=number)
    return f"{name}, {words('by_fade')}" if begins == FADE else name
