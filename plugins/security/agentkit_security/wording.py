"""Events and reasons in words, in each language. Knows no rule and no report."""

from collections.abc import Sequence
from functools import cache

from agentkit.types import Prompts
from agentkit_security.event import Event


@cache
def texts() -> Prompts:
    """Return the domain's prompts and words."""
    return Prompts.load("agentkit_security")


def joined(parts: Sequence[str], language: str) -> str:
    """Return a list as it is written."""
    return ("、" if language == "zh" else ", ").join(parts)


def thing(kind: str, language: str) -> str:
    return texts()(f"thing.{kind}", language)


def place(zone: str, language: str) -> str:
    return zone or texts()("report.whole", language)


def kind_of(event: Event, language: str) -> str:
    """Return what sort of event it is, as a legend names it."""
    return texts()(f"kind.{event.kind}", language)


def label(event: Event, language: str) -> str:
    """Return what happened in one line, with its reasons: "Person 4 enters walkway (...)"."""
    kind = event.kind
    key = kind if event.zone or kind in ("fall", "fight", "action") else f"{kind}_view"
    line = texts()(
        f"event.{key}",
        language,
        thing=thing(event.thing, language) if event.thing else "",
        track=event.tracks[0] if event.tracks else "",
        zone=event.zone,
        seconds=f"{event.end_s - event.start_s:.0f}",
        count=event.count,
        text=event.text,
    )
    if not event.reasons:
        return line
    other = event.tracks[1] if len(event.tracks) > 1 else ""
    reasons = [texts()(f"reason.{name}", language, other=other) for name in event.reasons]
    return texts()("event.with_reasons", language, label=line, reasons=joined(reasons, language))
