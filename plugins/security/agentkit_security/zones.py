"""Zones and lines: what a person draws over a camera's picture, read from TOML and checked."""

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any, Literal

from agentkit.types import StoredVideo, UsageError
from agentkit_security.geometry import Point, area, crossed
from agentkit_security.options import KINDS, Options

Direction = Literal["both", "left", "right", "up", "down"]
CROWD_S = 3.0


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of the picture and what is watched for in it; without a polygon, all of it."""

    name: str = ""
    polygon: tuple[Point, ...] = ()
    camera: str = ""
    enters: tuple[str, ...] = ("person",)  # kinds whose entering and leaving is an event
    loiter_s: float = math.inf
    crowd: int = 0  # people at once; 0: not watched for
    crowd_s: float = CROWD_S
    left_s: float = math.inf  # how long a bag stands alone

    @property
    def is_whole(self) -> bool:
        return not self.polygon


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be crossed, both ways or one; the ways are those of the picture."""

    name: str
    start: Point
    end: Point
    camera: str = ""
    kinds: tuple[str, ...] = ("person",)
    direction: Direction = "both"

    @property
    def ways(self) -> tuple[Direction, Direction]:
        """Where one goes who crosses: to the right-hand side of start to end, and to the other."""
        across, down = self.start[1] - self.end[1], self.end[0] - self.start[0]
        if abs(across) >= abs(down):
            return ("right", "left") if across > 0 else ("left", "right")
        return ("down", "up") if down > 0 else ("up", "down")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is watched for in one video."""

    zones: tuple[Zone, ...]
    lines: tuple[Line, ...] = ()


def rules_of(options: Options, video: StoredVideo) -> Rules:
    """Return the rules for a video: those of the file that are for it, or for the whole picture.

    Raises:
        UsageError: the file cannot be read, or says what cannot be.
    """
    if not options.rules:
        whole = Zone(
            enters=options.track_kinds,
            loiter_s=options.loiter_s,
            crowd=options.crowd,
            crowd_s=options.crowd_s,
            left_s=options.left_s,
        )
        return Rules((whole,))
    rules = read_rules(Path(options.rules))
    return Rules(
        tuple(zone for zone in rules.zones if is_of(zone.camera, video)),
        tuple(line for line in rules.lines if is_of(line.camera, video)),
    )


def is_of(camera: str, video: StoredVideo) -> bool:
    """Say whether a rule's camera means this video: by its id's beginning or its file's name."""
    names = (PurePath(video.path).name, PurePath(video.path).stem)
    return not camera or camera in names or video.video_id.startswith(camera)


def read_rules(file: Path) -> Rules:
    """Return all zones and lines of a file.

    Raises:
        UsageError: names the file, the zone or line, and what to do.
    """
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read as rules: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not a TOML file: {error}") from error
    _refuse_unknown(str(file), table, ("zone", "line"))
    rules = Rules(
        tuple(_zone(_place(file, "zone", n, t), t) for n, t in _tables(file, table, "zone")),
        tuple(_line(_place(file, "line", n, t), t) for n, t in _tables(file, table, "line")),
    )
    if not rules.zones and not rules.lines:
        raise UsageError(f"{file}: no rules; write a [[zone]] or a [[line]] (docs/security.md)")
    names = [(zone.name, zone.camera) for zone in rules.zones]
    _refuse_twice(file, names + [(line.name, line.camera) for line in rules.lines])
    return rules


def _tables(file: Path, table: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    tables = table.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise UsageError(f"{file}: {key} is no table of its own; write [[{key}]]")
    return list(enumerate(tables, start=1))


def _place(file: Path, key: str, number: int, table: Mapping[str, Any]) -> str:
    name = table.get("name")
    return (
        f"{file}: {key} {name!r}" if isinstance(name, str) and name else f"{file}: {key} {number}"
    )


def _zone(place: str, table: Mapping[str, Any]) -> Zone:
    _refuse_unknown(
        place,
        table,
        ("name", "polygon", "camera", "enters", "loiter_s", "crowd", "crowd_s", "left_s"),
    )
    crowd = _number(place, table, "crowd", 0, 2)
    if crowd != int(crowd):
        raise UsageError(f"{place}: crowd is a number of people, not {crowd:g}")
    return Zone(
        name=_text(place, table, "name", needed=True),
        polygon=_polygon(place, table),
        camera=_text(place, table, "camera"),
        enters=_kinds(place, table, "enters"),
        loiter_s=_number(place, table, "loiter_s", math.inf, 0.5),
        crowd=int(crowd),
        crowd_s=_number(place, table, "crowd_s", CROWD_S, 0),
        left_s=_number(place, table, "left_s", math.inf, 0.5),
    )


def _line(place: str, table: Mapping[str, Any]) -> Line:
    _refuse_unknown(place, table, ("name", "from", "to", "camera", "kinds", "direction"))
    ends = [_point(place, key, table.get(key)) for key in ("from", "to")]
    if math.dist(*ends) < 0.01:
        raise UsageError(f"{place}: from and to are one place; a line needs two")
    line = Line(
        name=_text(place, table, "name", needed=True),
        start=ends[0],
        end=ends[1],
        camera=_text(place, table, "camera"),
        kinds=_kinds(place, table, "kinds"),
        direction=table.get("direction", "both"),
    )
    ways = ("both", *sorted(line.ways))
    if line.direction not in ways:
        raise UsageError(
            f"{place}: this line is crossed to the {' or '.join(sorted(line.ways))};"
            f" direction is one of {', '.join(ways)}, not {line.direction!r}"
        )
    return line


def _text(place: str, table: Mapping[str, Any], key: str, needed: bool = False) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or (needed and not value.strip()):
        raise UsageError(f'{place}: {key} must be a text; write {key} = "..."')
    return value.strip()


def _number(place: str, table: Mapping[str, Any], key: str, default: float, least: float) -> float:
    if key not in table:
        return default
    value = table[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:
        raise UsageError(f"{place}: {key} must be a number of at least {least:g}, not {value!r}")
    return float(value)


def _kinds(place: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = table.get(key, ["person"])
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise UsageError(f'{place}: {key} must be a list of names, as ["person", "car"]')
    for value in values:
        if value not in KINDS:
            raise UsageError(f"{place}: {key}: {value!r} is not followed; {_nearest(value, KINDS)}")
    return tuple(values)


def _point(place: str, key: str, value: Any) -> Point:
    is_pair = isinstance(value, list) and len(value) == 2
    if not is_pair or not all(_is_share(at) for at in value):
        raise UsageError(
            f"{place}: {key}: {value!r} is no place; write [x, y] as shares of the picture, 0 to 1"
        )
    return float(value[0]), float(value[1])


def _is_share(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1


def _polygon(place: str, table: Mapping[str, Any]) -> tuple[Point, ...]:
    corners = table.get("polygon")
    if not isinstance(corners, list) or len(corners) < 3:
        raise UsageError(f"{place}: polygon needs three corners or more; write [[x, y], ...]")
    points = tuple(_point(place, "polygon", corner) for corner in corners)
    if points[0] == points[-1]:
        points = points[:-1]
    if all(abs(area((points[0], one, other))) < 1e-4 for one, other in pairwise(points)):
        raise UsageError(f"{place}: polygon holds no part of the picture; move its corners apart")
    crossing = crossed(points)
    if crossing:
        one, other = crossing
        raise UsageError(
            f"{place}: polygon crosses itself: side {one + 1} meets side {other + 1};"
            " name its corners in order around it"
        )
    return points


def _refuse_unknown(place: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{place}: unknown key {key!r}; {_nearest(key, known)}")


def _refuse_twice(file: Path, names: Sequence[tuple[str, str]]) -> None:
    for number, (name, camera) in enumerate(names):
        others = names[:number]
        if any(name == n and (camera == c or not camera or not c) for n, c in others):
            raise UsageError(
                f"{file}: {name!r} is there twice; give each zone and line its own name"
            )


def _nearest(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
