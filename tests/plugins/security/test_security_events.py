"""Events by rules: what lasts counts, what trembles does not, and nothing happens twice."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.types import Note
from agentkit_security.event import Event
from agentkit_security.events import actions_in, events_of, people_over_time
from agentkit_security.geometry import Point
from agentkit_security.stays import Scene, settled, stays_in
from agentkit_security.tracks import Track
from agentkit_security.zones import Line, Rules, Zone

FPS = 5.0
SQUARE = ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))
YARD = Zone("yard", SQUARE, enters=("person", "car"))


def track(
    feet: list[Point],
    number: int = 1,
    kind: str = "person",
    start_s: float = 0.0,
    tall: float = 0.1,
) -> Track:
    """A track whose bottom centre goes along `feet`, five a second."""
    return Track(
        "v",
        number,
        kind,
        tuple(round(start_s + n / FPS, 6) for n in range(len(feet))),
        tuple((x - 0.02, y - tall, x + 0.02, y) for x, y in feet),
        (0.9,) * len(feet),
    )


def straight(start: Point, end: Point, seconds: float) -> list[Point]:
    count = round(seconds * FPS) + 1
    return [
        (
            start[0] + (end[0] - start[0]) * n / (count - 1),
            start[1] + (end[1] - start[1]) * n / (count - 1),
        )
        for n in range(count)
    ]


def scene(*tracks: Track, duration_s: float = 100.0) -> Scene:
    return Scene(tracks, duration_s, 1.0, settle_s=0.6, lost_s=2.0)


def happened(watched: Scene, *zones: Zone, lines: tuple[Line, ...] = ()) -> list[Event]:
    return events_of(watched, Rules(zones, lines))


def test_somebody_walks_through_a_zone() -> None:
    walk = track(straight((0.2, 0.5), (0.8, 0.5), 12))  # 0.05 a second, inside from 4 s to 8 s
    assert happened(scene(walk), YARD) == [
        Event("enters", 4.2, 4.2, "yard", "person", (1,)),
        Event("leaves", 8.2, 8.2, "yard", "person", (1,)),
    ]


def test_who_is_there_at_the_start_and_the_end_neither_enters_nor_leaves() -> None:
    stands = track([(0.5, 0.5)] * 51)
    assert happened(scene(stands, duration_s=10.2), YARD) == [
        Event("present", 0.0, 0.0, "yard", "person", (1,))
    ]


def test_who_is_first_and_last_seen_inside_is_said_to_be() -> None:
    stands = track([(0.5, 0.5)] * 26, start_s=20.0)
    assert happened(scene(stands), YARD) == [
        Event("enters", 20.0, 20.0, "yard", "person", (1,), reasons=("appeared",)),
        Event("leaves", 25.0, 25.0, "yard", "person", (1,), reasons=("lost",)),
    ]


def test_a_kind_that_the_zone_does_not_name_makes_no_event() -> None:
    walk = track(straight((0.2, 0.5), (0.8, 0.5), 12), kind="dog")
    assert happened(scene(walk), YARD) == []


def test_a_step_over_the_edge_and_back_is_no_event() -> None:
    path = [(0.3, 0.5)] * 20 + [(0.45, 0.5)] * 2 + [(0.3, 0.5)] * 20
    assert happened(scene(track(path)), YARD) == []


def test_the_feet_count_not_the_head() -> None:
    """The box reaches into the zone, its bottom is below it."""
    walk = track(straight((0.2, 0.65), (0.8, 0.65), 12), tall=0.2)
    assert happened(scene(walk), YARD) == []


def test_without_rules_coming_and_going_are_those_of_the_picture() -> None:
    walk = track(straight((0.2, 0.5), (0.8, 0.5), 12), start_s=10.0)
    assert happened(scene(walk), Zone(enters=("person",))) == [
        Event("enters", 10.0, 10.0, "", "person", (1,)),
        Event("leaves", 22.0, 22.0, "", "person", (1,)),
    ]


def test_loitering_is_a_stay_as_long_as_the_zone_says() -> None:
    path = straight((0.42, 0.5), (0.58, 0.5), 10) + straight((0.58, 0.5), (0.42, 0.5), 10)
    walks = scene(track(path, start_s=5.0))
    spans = [
        (e.start_s, e.end_s)
        for e in happened(walks, replace(YARD, loiter_s=20.0))
        if e.kind == "loiters"
    ]
    assert spans == [(5.0, 25.2)]
    assert "loiters" not in {e.kind for e in happened(walks, replace(YARD, loiter_s=20.5))}


def test_who_never_moves_is_told_from_who_loiters() -> None:
    stands = track([(0.5, 0.5)] * 100)
    sways = track([(0.5 + 0.02 * (n % 20 > 9), 0.5) for n in range(100)], number=2)
    events = happened(scene(stands, sways), replace(YARD, loiter_s=10.0))
    told = {e.tracks[0]: (e.reasons, e.severity) for e in events if e.kind == "loiters"}
    assert told == {1: (("never_moves",), 1), 2: ((), 2)}


def test_a_crowd_is_so_many_at_once_for_so_long() -> None:
    people = [track([(0.45 + n / 50, 0.5)] * 50, n + 1, start_s=2.0 * n) for n in range(3)]
    crowded = replace(YARD, crowd=3, crowd_s=3.0)
    crowd = [e for e in happened(scene(*people), crowded) if e.kind == "crowd"]
    assert crowd == [Event("crowd", 4.0, 9.8, "yard", "person", (1, 2, 3), 3)]
    assert not [
        e for e in happened(scene(*people), replace(crowded, crowd_s=6.0)) if e.kind == "crowd"
    ]
    assert not [e for e in happened(scene(*people), replace(crowded, crowd=4)) if e.kind == "crowd"]


def test_a_crowd_that_is_short_of_one_for_a_moment_is_one_crowd() -> None:
    stands = [track([(0.45, 0.5)] * 100, 1), track([(0.5, 0.5)] * 40, 2)]
    again = track([(0.5, 0.5)] * 50, 3, start_s=9.0)  # the second came back after 1.2 s
    crowd = [
        e for e in happened(scene(*stands, again), replace(YARD, crowd=2)) if e.kind == "crowd"
    ]
    assert [(e.start_s, e.end_s, e.count, e.tracks) for e in crowd] == [(0.0, 18.8, 2, (1, 2, 3))]


def test_a_line_is_crossed_the_way_the_picture_shows() -> None:
    gate = Line("gate", (0.5, 0.2), (0.5, 0.8))
    walk = track(straight((0.2, 0.5), (0.8, 0.5), 6) + straight((0.8, 0.5), (0.2, 0.5), 6))
    assert happened(scene(walk), lines=(gate,)) == [
        Event("crosses", 3.2, 3.2, "gate", "person", (1,), reasons=("to_right",)),
        Event("crosses", 9.4, 9.4, "gate", "person", (1,), reasons=("to_left",)),
    ]
    assert [e.start_s for e in happened(scene(walk), lines=(replace(gate, direction="left"),))] == [
        9.4
    ]


def test_the_ways_over_a_line_do_not_depend_on_how_it_was_drawn() -> None:
    walk = track(straight((0.5, 0.2), (0.5, 0.8), 6))
    for ends in (((0.2, 0.5), (0.8, 0.5)), ((0.8, 0.5), (0.2, 0.5))):
        (event,) = happened(scene(walk), lines=(Line("sill", *ends),))
        assert event.reasons == ("to_down",)


def test_who_walks_past_the_end_of_a_line_does_not_cross_it() -> None:
    short = Line("gate", (0.5, 0.2), (0.5, 0.4))
    walk = track(straight((0.2, 0.5), (0.8, 0.5), 6))
    assert happened(scene(walk), lines=(short,)) == []


def bag(start_s: float, seconds: float, at: Point = (0.5, 0.5)) -> Track:
    return track([at] * round(seconds * FPS), 9, "backpack", start_s, tall=0.03)


def test_a_bag_that_somebody_brings_and_leaves_is_left() -> None:
    brings = track(straight((0.1, 0.5), (0.5, 0.5), 10) + straight((0.5, 0.5), (0.95, 0.5), 4), 4)
    events = happened(scene(brings, bag(9.0, 60.0)), replace(YARD, left_s=20.0))
    (left,) = [e for e in events if e.kind == "left"]
    assert (left.thing, left.tracks, left.reasons, left.zone) == (
        "backpack", (9, 4), ("brought",), "yard",
    )  # fmt: skip
    assert left.start_s == pytest.approx(11.4, abs=0.3)  # when they are 1.5 heights away


def test_a_bag_with_its_owner_beside_it_is_not_left() -> None:
    stays = track([(0.52, 0.5)] * 400, 4)
    events = happened(scene(stays, bag(9.0, 60.0)), replace(YARD, left_s=20.0))
    assert "left" not in {e.kind for e in events}


def test_a_bag_that_is_carried_is_not_left() -> None:
    carried = track(straight((0.41, 0.5), (0.59, 0.5), 60), 9, "backpack", tall=0.03)
    assert not [e for e in happened(scene(carried), replace(YARD, left_s=20.0)) if e.kind == "left"]


def test_a_bag_that_nobody_brought_says_so() -> None:
    (left,) = [
        e for e in happened(scene(bag(9.0, 60.0)), replace(YARD, left_s=20.0)) if e.kind == "left"
    ]
    assert (left.start_s, left.reasons, left.severity) == (9.0, ("unseen",), 3)


def test_actions_are_what_another_instrument_noted() -> None:
    notes = [
        Note(1, 2, "action", "a man falls down"),
        Note(3, 4, "action", "打架"),
        Note(5, 6, "action", "running"),
        Note(7, 8, "objects", "1 person falls"),
    ]
    assert [(e.kind, e.start_s, e.text) for e in actions_in(notes, "action")] == [
        ("fall", 1, "a man falls down"),
        ("fight", 3, "打架"),
        ("action", 5, "running"),
    ]


# Laws.

places = st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
walks = st.lists(places, min_size=2, max_size=5).map(
    lambda corners: [p for a, b in pairwise(corners) for p in straight(a, b, 4)]
)
LINE = Line("gate", (0.5, 0.1), (0.5, 0.9))


@given(st.lists(walks, min_size=1, max_size=4))
def test_comings_and_goings_alternate_and_nothing_is_told_twice(paths: list[list[Point]]) -> None:
    watched = scene(*(track(path, n) for n, path in enumerate(paths, start=1)))
    events = happened(watched, replace(YARD, loiter_s=5, crowd=2), lines=(LINE,))
    assert len(events) == len(set(events))
    assert events == sorted(events, key=lambda e: (e.start_s, e.end_s))
    for number in range(1, len(paths) + 1):
        of_track = [
            e.kind
            for e in events
            if e.tracks == (number,) and e.kind in ("present", "enters", "leaves")
        ]
        assert of_track[::2] == [kind for kind in of_track if kind != "leaves"]
        assert of_track[1::2] == [kind for kind in of_track if kind == "leaves"]
        ways = [e.reasons[0] for e in events if e.kind == "crosses" and e.tracks == (number,)]
        # Who crossed to the right comes back around the line's end, or crosses to the left next.
        assert set(ways) <= {"to_left", "to_right"}


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=120, max_size=120))
def test_trembling_on_an_edge_makes_no_event(shakes: list[Point]) -> None:
    """Feet that stay within the margin of the left edge, however long, are no news."""
    margin = 0.049 * 0.1  # of the height
    feet = [(0.4 + margin * dx, 0.5 + margin * dy) for dx, dy in shakes]
    arrives = straight((0.2, 0.5), (0.38, 0.5), 3)
    assert happened(scene(track(arrives + feet)), YARD) == []


@given(walks, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_what_happens_does_not_depend_on_where(path: list[Point], dx: float, dy: float) -> None:
    """Moving the walk, the zone and the line together changes nothing."""

    def moved(points: tuple[Point, ...]) -> tuple[Point, ...]:
        return tuple((x + dx, y + dy) for x, y in points)

    zone, line = replace(YARD, loiter_s=5.0), LINE
    there = replace(zone, polygon=moved(zone.polygon))
    line_there = replace(line, start=moved((line.start,))[0], end=moved((line.end,))[0])
    here = happened(scene(track(path)), zone, lines=(line,))
    other = happened(scene(track(list(moved(tuple(path))))), there, lines=(line_there,))
    # Feet exactly on a margin may fall to either side by rounding.
    if min(abs(d) for d in _edges(path)) > 1e-6:
        assert here == other


def _edges(path: list[Point]) -> list[float]:
    """How far each place is from where a decision is made."""
    margin = 0.05 * 0.1
    from agentkit_security.geometry import depth

    depths = [abs(depth(SQUARE, p)) - margin for p in path]
    return [*depths, *(abs(x - 0.5) - margin for x, _ in path), *(x - 0.5 for x, _ in path)]


@given(walks)
def test_the_stays_of_a_track_are_within_it_and_apart(path: list[Point]) -> None:
    one = track(path, start_s=3.0)
    stays = stays_in(YARD, scene(one))
    for stay in stays:
        assert one.start_s <= stay.start_s < stay.end_s <= one.end_s
    for before, after in pairwise(stays):
        assert before.end_s < after.start_s


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_settled_runs_are_those_of_a_machine_that_steps_through_time(flags: list[bool]) -> None:
    """Against a plain state machine that waits for three steps of the other state."""
    times_s = [n * 0.2 for n in range(len(flags))]
    runs = settled(times_s, [1.0 if flag else -1.0 for flag in flags], 0.1, 0.4 - 1e-9)
    state: bool | None = None
    changes: list[tuple[bool, float]] = []
    for n in range(len(flags)):
        lasts = flags[n : n + 3] == [flags[n]] * 3
        if lasts and flags[n] != state:
            state = flags[n]
            changes.append((state, times_s[n] if changes else 0.0))
    if len(set(flags)) == 1:
        changes = [(flags[0], 0.0)]
    assert [(inside, start_s) for inside, start_s, _ in runs] == changes
    assert [end_s for _, _, end_s in runs] == [
        *(at_s for _, at_s in changes[1:]), *([times_s[-1]] if changes else []),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=8))
def test_people_over_time_are_counted_as_at_each_moment(spans: list[tuple[int, int]]) -> None:
    tracks = [
        track([(0.5, 0.5)] * (length * 5 + 1), n, start_s=float(start))
        for n, (start, length) in enumerate(spans, start=1)
    ]
    counts = people_over_time(stays_in(YARD, scene(*tracks)))
    for moment in range(62):
        at = moment + 0.5
        shown = next((count for time_s, count in reversed(counts) if time_s <= at), 0)
        assert shown == sum(start <= at < start + length for start, length in spans)
