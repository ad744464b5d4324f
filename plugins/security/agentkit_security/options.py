"""The domain's own settings, read once and checked. Knows no zone and no video."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from agentkit.types import SessionView, UsageError
from agentkit_security.linking.options import NAMES as OF_LINKING  # which checks their values

PEOPLE = ("person",)
VEHICLES = ("bicycle", "car", "motorcycle", "bus", "train", "truck")
BAGS = ("backpack", "handbag", "suitcase")
ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
KINDS = (*PEOPLE, *VEHICLES, *BAGS, *ANIMALS)  # what may be followed, by COCO's names
HEADS = ("upper-part", "whole-person", "off")


@dataclass(frozen=True, slots=True)
class Options:
    """`[plugins.security]` in agentkit.toml, or --set KEY=VALUE."""

    rules: str = ""  # the file of zones and lines
    track_fps: float = 5.0  # frames looked at per second
    track_kinds: tuple[str, ...] = (*PEOPLE, *VEHICLES, *BAGS)  # what is followed
    track_lost_s: float = 2.0  # how long a track out of sight is waited for
    settle_s: float = 0.6  # how long something must be inside, or outside, to count
    loiter_s: float = 30.0  # without a rules file: how long is long
    left_s: float = 20.0  # how long a bag stands alone before it is left
    crowd: int = 8  # without a rules file: how many people at once are many
    crowd_s: float = 3.0  # how long they must be there
    judge: int = 3  # highest windows of the anomaly curve that the model is asked about
    learn_s: float = 60.0  # how much of a camera's history comes before its first score
    blur: bool = True  # faces and heads in everything that is exported
    heads: str = "upper-part"  # of a person without a face: upper-part, whole-person, off
    head_share: float = 0.25  # the upper part of a person's box that is blurred
    actions: str = "action"  # kind of the notes of a model that sees actions


_LEAST: Mapping[str, float] = {
    "track_fps": 0.2,
    "track_lost_s": 0.0,
    "settle_s": 0.0,
    "loiter_s": 0.5,
    "left_s": 0.5,
    "crowd": 2,
    "crowd_s": 0.0,
    "judge": 0,
    "learn_s": 5.0,
    "head_share": 0.1,
}
_MOST: Mapping[str, float] = {"track_fps": 60.0, "head_share": 1.0, "judge": 50}


def options_of(session: SessionView) -> Options:
    """Return the settings of a session.

    Raises:
        UsageError: a key that no setting has (names the nearest), or a value that does not fit.
    """
    return read(session.options)


def read(given: Mapping[str, Any]) -> Options:
    """Return settings, checked; see `options_of`."""
    known = {field.name: field for field in fields(Options)}
    for key in sorted(given.keys() - set(OF_LINKING)):
        if key not in known:
            raise UsageError(
                f"plugins.security: unknown setting {key!r}; {_nearest(key, [*known, *OF_LINKING])}"
            )
    values = {key: _value(key, given[key], known[key].default) for key in known if key in given}
    return Options(**values)


def _nearest(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _value(key: str, value: Any, default: object) -> Any:
    """Return a value in the type of its default."""
    if isinstance(default, bool):
        return value if isinstance(value, bool) else _refuse(key, value, "true or false")
    if isinstance(default, str):
        return _text(key, value)
    if isinstance(default, tuple):
        return _texts(key, value)
    return _number(key, value, default)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(key, value, "a text")
    if key == "heads" and value not in HEADS:
        _refuse(key, value, f"one of {', '.join(HEADS)}")
    if key == "rules" and value:
        return str(Path(value).expanduser())
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values:
        _refuse(key, value, 'a list of names, as ["person", "car"]')
    unknown = sorted({str(one) for one in values} - set(KINDS))
    if unknown:
        raise UsageError(
            f"plugins.security: {key} names {unknown[0]!r}, which is not followed; "
            f"{_nearest(unknown[0], KINDS)}"
        )
    return tuple(values)


def _number(key: str, value: Any, default: object) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        _refuse(key, value, "a number")
    least, most = _LEAST.get(key, 0.0), _MOST.get(key, math.inf)
    if not least <= value <= most:
        upper = "" if math.isinf(most) else f" and at most {most:g}"
        _refuse(key, value, f"at least {least:g}{upper}")
    if isinstance(default, int):
        return int(value) if value == int(value) else _refuse(key, value, "a whole number")
    return float(value)


def _refuse(key: str, value: Any, wanted: str) -> NoReturn:
    raise UsageError(f"plugins.security: {key} must be {wanted}, not {value!r}")
