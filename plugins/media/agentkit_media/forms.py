"""What is found as plain values, for JSON, tools and the terminal. Times are in seconds."""

from typing import Any

from agentkit_media.breakdown import Breakdown
from agentkit_media.script import script_of
from agentkit_media.themes import themes_of


def scenes(found: Breakdown) -> list[dict[str, Any]]:
    return [
        {
            "scene": scene.number,
            "start_s": _s(scene.start_s),
            "end_s": _s(scene.end_s),
            "shots": len(scene.shots),
            "first_frame": scene.shots[0].first_frame,
            "last_frame": scene.shots[-1].after_frame - 1,
            "place": scene.place,
            "doors": scene.doors,
            "tags": list(scene.tags),
            "people": scene.people,
            "names": list(scene.names),
            "things": list(scene.things),
            "motion": scene.motion,
            "said": [note.text for note in scene.dialogue],
            "on_screen": [note.text for note in scene.written],
            "mood_guess": scene.mood.name,
            "mood_reasons": list(scene.mood.reasons),
        }
        for scene in found.scenes
    ]


def highlights(found: Breakdown) -> list[dict[str, Any]]:
    """Return the moments, best first."""
    best = sorted(found.highlights.moments, key=lambda moment: (-moment.score, moment.start_s))
    return [
        {
            "start_s": _s(moment.start_s),
            "end_s": _s(moment.end_s),
            "peak_s": _s(moment.peak_s),
            "score": moment.score,
            "reasons": [
                {"sign": r.sign, "share": r.share, "detail": r.detail} for r in moment.reasons
            ],
        }
        for moment in best
    ]


def characters(found: Breakdown) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "other_names": list(one.other_names),
            "is_person": one.is_person,
            "first_s": _s(one.first_s),
            "last_s": _s(one.last_s),
            "mentions": [
                {
                    "start_s": _s(mention.start_s),
                    "end_s": _s(mention.end_s),
                    "how": mention.how,
                    "where": mention.kind,
                    "text": mention.text,
                }
                for mention in one.mentions
            ],
        }
        for one in found.characters
    ]


def themes(found: Breakdown) -> list[dict[str, Any]]:
    return [
        {
            "terms": list(theme.terms),
            "notes": theme.notes,
            "share": theme.share,
            "moments": [
                {"start_s": _s(note.start_s), "end_s": _s(note.end_s), "text": note.text}
                for note in theme.moments
            ],
        }
        for theme in themes_of(found.material)
    ]


def script(found: Breakdown) -> list[dict[str, Any]]:
    lines = script_of(
        found.scenes, found.characters, found.words, found.material.options.names_language
    )
    return [
        {
            "kind": line.kind,
            "start_s": _s(line.start_s),
            "end_s": _s(line.end_s),
            "speaker": line.speaker,
            "by_caption": line.by_caption,
            "text": line.text,
        }
        for line in lines
    ]


def _s(time_s: float) -> float:
    return round(time_s, 3)
