"""When which track was in a zone. Knows tracks and polygons, not what is watched for.

A thing stands where the bottom of its box is. It is inside only when it is a little way inside,
and outside only a little way outside, and only what lasts counts: a box that trembles on an edge
makes no stays (hysteresis, as in a Schmitt trigger).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agentkit_security.geometry import Point, depth
from agentkit_security.tracks import Box, Track
from agentkit_security.zones import Zone

MARGIN = 0.05  # of a thing's height: how far over an edge counts as over it


@dataclass(frozen=True, slots=True)
class Stay:
    """A track's time in a zone. How it began and ended is not always seen."""

    track: Track
    start_s: float
    end_s: float
    begins: Literal["present", "entered", "appeared"]
    ends: Literal["open", "left", "lost"]

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Scene:
    """A video's tracks and what they are held against."""

    tracks: Sequence[Track]
    duration_s: float
    aspect: float
    settle_s: float
    lost_s: float  # a track that ends so near the video's end is still there


def stays_in(zone: Zone, scene: Scene) -> list[Stay]:
    """Return when which track was in a zone, in order of time."""
    stays = [stay for track in scene.tracks for stay in _stays(track, zone, scene)]
    return sorted(stays, key=lambda stay: (stay.start_s, stay.track.number))


def _stays(track: Track, zone: Zone, scene: Scene) -> Iterator[Stay]:
    if zone.is_whole:
        runs = [(True, track.start_s, track.end_s)]
    else:
        margin = MARGIN * height_of(track)
        polygon = [(x * scene.aspect, y) for x, y in zone.polygon]
        depths = [depth(polygon, foot) for foot in feet(track, scene.aspect)]
        runs = settled(track.times_s, depths, margin, scene.settle_s)
    for place, (inside, start_s, end_s) in enumerate(runs):
        if not inside:
            continue
        is_first, is_last = place == 0, place == len(runs) - 1
        from_start = is_first and start_s <= max(scene.settle_s, 0.5)
        to_end = is_last and end_s >= scene.duration_s - max(scene.lost_s, 0.5)
        yield Stay(
            track,
            start_s,
            end_s,
            "present" if from_start else "appeared" if is_first else "entered",
            "open" if to_end else "lost" if is_last else "left",
        )


def feet(track: Track, aspect: float) -> list[Point]:
    """Return where a thing stands at each time, in picture heights."""
    return [foot(box, aspect) for box in track.boxes]


def foot(box: Box, aspect: float) -> Point:
    left, _, right, bottom = box
    return (left + right) / 2 * aspect, bottom


def height_of(track: Track) -> float:
    heights = sorted(bottom - top for _, top, _, bottom in track.boxes)
    return heights[len(heights) // 2]


def settled(
    times_s: Sequence[float], depths: Sequence[float], margin: float, settle_s: float
) -> list[tuple[bool, float, float]]:
    """Return the runs (inside, start in s, end in s) of a depth over time that lasted.

    A depth within the margin keeps what was before. A run ends where the next begins; one that
    lasts less than `settle_s`, or has one frame, belongs to the run before it.
    """
    states: list[bool | None] = []
    for value in depths:
        before = states[-1] if states else None
        states.append(before if abs(value) <= margin else value > 0)
    raw = _runs(times_s, states)
    lasting = [run for run in raw if (run[2] - run[1] >= settle_s and run[3] > 1) or len(raw) == 1]
    joined: list[tuple[bool, float, float]] = []
    for inside, start_s, _, _ in lasting:
        if joined and joined[-1][0] == inside:
            continue
        if joined:
            joined[-1] = (*joined[-1][:2], start_s)
        joined.append((inside, start_s if joined else times_s[0], times_s[-1]))
    return joined


def _runs(
    times_s: Sequence[float], states: Sequence[bool | None]
) -> list[tuple[bool, float, float, int]]:
    """Return runs of one state: state, first and last time, number of frames."""
    runs: list[tuple[bool, float, float, int]] = []
    for time_s, state in zip(times_s, states, strict=True):
        if state is None:
            continue
        if runs and runs[-1][0] == state:
            runs[-1] = (state, runs[-1][1], time_s, runs[-1][3] + 1)
        else:
            runs.append((state, time_s, time_s, 1))
    return runs


def spread_of(boxes: Sequence[Box]) -> float:
    """Return how far apart the extreme places of a box are, without the odd slip (5 %)."""
    spreads = []
    for axis in (0, 1):
        middles = sorted((box[axis] + box[axis + 2]) / 2 for box in boxes)
        cut = len(middles) // 20
        spreads.append(middles[-1 - cut] - middles[cut])
    return max(spreads)
