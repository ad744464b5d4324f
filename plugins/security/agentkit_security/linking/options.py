"""The settings of cross-camera linking, read from the domain's own. Knows no camera."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkit.types import UsageError


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Part of `[plugins.security]`; other names there are none of its business.

    `offsets` names a video by its id, the beginning of it or its file's name, and says how many
    seconds to add to its times to come to the clock that all of them share. What is given wins
    over what is found; name the camera whose clock is taken, too, with 0.
    """

    min_transit_s: float = 0.0  # from one camera's view to another's
    max_transit_s: float = math.inf
    offsets: Mapping[str, float] = field(default_factory=dict)
    min_probability: float = 0.5  # of a link that is listed
    max_offset_s: float = 120.0  # how far apart two clocks are looked for

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "LinkOptions":
        """Take what is ours out of the domain's options.

        Raises:
            UsageError: a value is not of its kind or out of its range.
        """
        numbers = {
            name: _number(name, options[name], *limits)
            for name, limits in LIMITS.items()
            if name in options
        }
        offsets = options.get("offsets", {})
        if not isinstance(offsets, Mapping):
            raise UsageError(f"offsets: {offsets!r} is no table; write offsets = {{ID = SECONDS}}")
        given = {
            str(name): _number(f"offsets.{name}", s, -MOST_S, MOST_S) for name, s in offsets.items()
        }
        read = cls(offsets=given, **numbers)
        if read.min_transit_s > read.max_transit_s:
            raise UsageError(
                f"min_transit_s ({read.min_transit_s:g}) is more than "
                f"max_transit_s ({read.max_transit_s:g}): no link could be made"
            )
        return read


# What each number may be. Together with "offsets" these are all the names read here.
LIMITS: Mapping[str, tuple[float, float]] = {
    "min_transit_s": (0.0, math.inf),
    "max_transit_s": (0.0, math.inf),
    "min_probability": (0.0, 1.0),
    "max_offset_s": (1.0, math.inf),
}
MOST_S = 1e12  # of an offset: clocks may count from 1970 in milliseconds
NAMES = (*LIMITS, "offsets")


def _number(name: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name}: {value!r} is no number")
    if math.isnan(value) or not least <= value <= most:
        raise UsageError(f"{name}: {value!r} is not between {least:g} and {most:g}")
    return float(value)
