"""What happens in zones and at lines, by rules over tracks. Knows no picture and no model."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from agentkit.types import Note
from agentkit_security.event import Event, EventKind
from agentkit_security.geometry import Point, meet, side_of
from agentkit_security.left import left_in
from agentkit_security.options import PEOPLE
from agentkit_security.stays import (
    MARGIN,
    Scene,
    Stay,
    feet,
    height_of,
    settled,
    spread_of,
    stays_in,
)
from agentkit_security.tracks import Track
from agentkit_security.zones import Line, Rules, Zone


def events_of(scene: Scene, rules: Rules) -> list[Event]:
    """Return all events of a video's rules, in order of time, none of them twice."""
    found: set[Event] = set()
    for zone in rules.zones:
        stays = stays_in(zone, scene)
        found.update(_comings(zone, stays))
        found.update(_loiterings(zone, stays))
        found.update(_crowds(zone, stays))
        found.update(left_in(zone, stays, scene))
    for line in rules.lines:
        found.update(_crossings(line, scene))
    return sorted(found, key=lambda e: (e.start_s, e.end_s, e.kind, e.zone, e.tracks))


def _comings(zone: Zone, stays: Sequence[Stay]) -> Iterator[Event]:
    for stay in stays:
        if stay.track.kind not in zone.enters:
            continue
        came: EventKind = "present" if stay.begins == "present" else "enters"
        yield _of(stay, came, zone, stay.start_s, _unseen(zone, stay.begins, "appeared"))
        if stay.ends != "open":
            yield _of(stay, "leaves", zone, stay.end_s, _unseen(zone, stay.ends, "lost"))


def _of(stay: Stay, kind: EventKind, zone: Zone, at_s: float, reasons: tuple[str, ...]) -> Event:
    track = stay.track
    return Event(kind, at_s, at_s, zone.name, track.kind, (track.number,), reasons=reasons)


def _unseen(zone: Zone, how: str, unseen: str) -> tuple[str, ...]:
    """Return the reason why a zone's edge was not seen to be crossed; the picture's never is."""
    return (unseen,) if how == unseen and not zone.is_whole else ()


def _loiterings(zone: Zone, stays: Sequence[Stay]) -> Iterator[Event]:
    """Say who stayed for long; who never moves at all may be no person."""
    for stay in stays:
        if stay.track.kind in PEOPLE and stay.seconds >= zone.loiter_s:
            never_moves = ("never_moves",) if _never_moves(stay.track) else ()
            yield Event(
                "loiters",
                stay.start_s,
                stay.end_s,
                zone.name,
                stay.track.kind,
                (stay.track.number,),
                reasons=never_moves,
            )


def _never_moves(track: Track) -> bool:
    """Say whether a thing stays within a fifth of its height: people shift more."""
    return spread_of(track.boxes) < 0.2 * height_of(track)


def _crowds(zone: Zone, stays: Sequence[Stay]) -> Iterator[Event]:
    """Say when at least `crowd` people were there at once for `crowd_s`, but for short gaps."""
    if not zone.crowd:
        return
    people = [stay for stay in stays if stay.track.kind in PEOPLE]
    counts = people_over_time(people)
    spans: list[tuple[float, float]] = []
    for (start_s, count), (end_s, _) in pairwise(counts):
        if count < zone.crowd:
            continue
        if spans and start_s - spans[-1][1] < max(zone.crowd_s, 0.001):
            spans[-1] = (spans[-1][0], end_s)
        else:
            spans.append((start_s, end_s))
    for start_s, end_s in spans:
        if end_s - start_s >= zone.crowd_s:
            peak = max(count for at_s, count in counts if start_s <= at_s < end_s)
            yield _crowd(zone, people, start_s, end_s, peak)


def people_over_time(stays: Sequence[Stay]) -> list[tuple[float, int]]:
    """Return (time in s, how many from then on) at each change."""
    steps: dict[float, int] = defaultdict(int)
    for stay in stays:
        steps[stay.start_s] += 1
        steps[stay.end_s] -= 1
    times_s = sorted(steps)
    return list(zip(times_s, accumulate(steps[at_s] for at_s in times_s), strict=True))


def _crowd(zone: Zone, people: Sequence[Stay], start_s: float, end_s: float, count: int) -> Event:
    there = {s.track.number for s in people if s.start_s < end_s and s.end_s > start_s}
    return Event("crowd", start_s, end_s, zone.name, "person", tuple(sorted(there)), count)


def _crossings(line: Line, scene: Scene) -> Iterator[Event]:
    start, end = ((x * scene.aspect, y) for x, y in (line.start, line.end))
    for track in scene.tracks:
        if track.kind not in line.kinds:
            continue
        places = feet(track, scene.aspect)
        sides = [side_of(start, end, place) for place in places]
        runs = settled(track.times_s, sides, MARGIN * height_of(track), scene.settle_s)
        for (was_right, _, _), (is_right, time_s, _) in pairwise(runs):
            direction = line.ways[0 if is_right else 1]
            if line.direction not in ("both", direction):
                continue
            if _is_through(start, end, sides, places, track.times_s.index(time_s), was_right):
                yield Event(
                    "crosses",
                    time_s,
                    time_s,
                    line.name,
                    track.kind,
                    (track.number,),
                    reasons=(f"to_{direction}",),
                )


def _is_through(
    start: Point,
    end: Point,
    sides: Sequence[float],
    places: Sequence[Point],
    index: int,
    was_right: bool,
) -> bool:
    """Say whether the way from the old side to the new one leads through the line itself."""
    before = next(
        (i for i in range(index - 1, -1, -1) if (sides[i] > 0) == was_right and sides[i] != 0), 0
    )
    return meet(places[before], places[index], start, end)


def actions_in(notes: Sequence[Note], kind: str) -> list[Event]:
    """Return what another instrument noted of actions: a fall, a fight, or in its own words."""
    return [
        Event(_action(note.text), note.start_s, note.end_s, text=note.text)
        for note in notes
        if note.kind == kind
    ]


def _action(text: str) -> EventKind:
    low = text.lower()
    if any(word in low for word in ("fall", "fell", "摔", "跌", "倒地")):
        return "fall"
    return "fight" if any(w in low for w in ("fight", "punch", "打架", "斗殴")) else "action"
