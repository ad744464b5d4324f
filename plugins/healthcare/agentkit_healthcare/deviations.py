"""Where what was recognised differs from the protocol: missing, misplaced, repeated, too long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentkit.types import Citation
from agentkit_healthcare.protocol import Step
from agentkit_healthcare.steps import Occurrence, Recognition

Kind = Literal["missing", "order", "repeat", "short", "long"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """One difference. `after` is the step that came before it against the order.

    `count` is how often it was recognised, `seconds` how long, both 0 where it is missing.
    """

    kind: Kind
    step: Step
    citations: tuple[Citation, ...] = ()
    after: Step | None = None
    count: int = 0
    seconds: float = 0.0


def deviations(recognition: Recognition) -> list[Deviation]:
    """Return all differences, by the protocol's order of steps."""
    by_step = {step.id: recognition.of(step.id) for step in recognition.protocol.steps}
    out_of_order = misplaced(recognition)
    found: list[Deviation] = []
    for step in recognition.protocol.steps:
        ones = by_step[step.id]
        if not ones:
            found += [] if step.optional else [Deviation("missing", step)]
            continue
        found += [_ordered(ones, out_of_order[step.id])] if step.id in out_of_order else []
        found += [_of("repeat", ones)] if len(ones) > 1 and not step.may_repeat else []
        found += _lengths(step, ones)
    return found


def misplaced(recognition: Recognition) -> dict[str, Step]:
    """Return the steps whose first time is against the order, each with a step that came before.

    They are the fewest whose removal leaves the rest in order: what a longest increasing run of
    places leaves out (Schensted, 1961).
    """
    order = list(dict.fromkeys(one.step.id for one in recognition.occurrences))
    places = [recognition.protocol.index(step_id) for step_id in order]
    kept = set(longest_rise(places))
    found = {}
    for at, place in enumerate(places):
        if at not in kept:
            wrong = [p for p in places[:at] if p > place]
            later = [p for p in places[at:] if p < place]
            other = (wrong or later)[0]
            found[order[at]] = recognition.protocol.steps[other]
    return found


def longest_rise(places: Sequence[int]) -> list[int]:
    """Return where a longest increasing run of different places stands, the first of equals."""
    best: list[list[int]] = []
    for at, place in enumerate(places):
        before = [run for run in best if places[run[-1]] < place]
        best.append([*max(before, key=len, default=[]), at])
    return max(best, key=len, default=[])


def _ordered(ones: Sequence[Occurrence], other: Step) -> Deviation:
    first = ones[0]
    return Deviation("order", first.step, first.evidence, other, 1, first.seconds)


def _of(kind: Kind, ones: Sequence[Occurrence]) -> Deviation:
    cites = tuple(cite for one in ones for cite in one.evidence[:1])
    seconds = sum(one.seconds for one in ones)
    return Deviation(kind, ones[0].step, cites, None, len(ones), seconds)


def _lengths(step: Step, ones: Sequence[Occurrence]) -> list[Deviation]:
    seconds = sum(one.seconds for one in ones)
    if seconds < step.min_s:
        return [_of("short", ones)]
    return [_of("long", ones)] if step.max_s is not None and seconds > step.max_s else []
