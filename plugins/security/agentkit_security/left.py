"""Bags that stand with nobody near. Knows zones' stays, no picture."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentkit_security.event import Event
from agentkit_security.options import BAGS, PEOPLE
from agentkit_security.stays import Scene, Stay, foot, height_of, spread_of
from agentkit_security.tracks import Box, Track
from agentkit_security.zones import Zone

NEAR = 1.5  # of a person's height: so near a bag somebody is with it
STILL = 0.5  # of a bag's height: so far it may move and yet stand


def left_in(zone: Zone, stays: Sequence[Stay], scene: Scene) -> Iterator[Event]:
    """Say which bags stand with nobody near for `left_s`, and whether somebody brought them."""
    people = [track for track in scene.tracks if track.kind in PEOPLE]
    for stay in stays:
        bag = stay.track
        if bag.kind not in BAGS or math.isinf(zone.left_s):
            continue
        if spread_of(bag.boxes) > STILL * height_of(bag):
            continue
        for start_s, end_s in _alone(bag, people, scene.aspect, stay):
            if end_s - start_s < zone.left_s:
                continue
            owner = _owner(bag, people, scene.aspect)
            reason = "present" if stay.begins == "present" else "brought" if owner else "unseen"
            tracks = (bag.number, *([owner.number] if owner else []))
            yield Event("left", start_s, end_s, zone.name, bag.kind, tracks, reasons=(reason,))
            break


def _alone(
    bag: Track, people: Sequence[Track], aspect: float, stay: Stay
) -> list[tuple[float, float]]:
    """Return the spans of a stay in which nobody is near a bag."""
    near: list[float] = sorted(
        time_s
        for person in people
        for time_s, box in zip(person.times_s, person.boxes, strict=True)
        if stay.start_s <= time_s <= stay.end_s and _is_near(box, bag, aspect)
    )
    edges = [stay.start_s, *near, stay.end_s]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def _owner(bag: Track, people: Sequence[Track], aspect: float) -> Track | None:
    """Return who stood nearest when a bag was first seen; None where nobody was near."""
    first = bag.boxes[0]
    best: tuple[float, Track] | None = None
    for person in people:
        for time_s, box in zip(person.times_s, person.boxes, strict=True):
            if abs(time_s - bag.start_s) > 2.0 or not _is_near(box, bag, aspect):
                continue
            away = math.dist(foot(box, aspect), foot(first, aspect))
            if best is None or away < best[0]:
                best = away, person
    return best[1] if best else None


def _is_near(person: Box, bag: Track, aspect: float) -> bool:
    height = person[3] - person[1]
    return math.dist(foot(person, aspect), foot(bag.boxes[0], aspect)) <= NEAR * height
