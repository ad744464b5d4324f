"""Something that was watched for, and how grave it is. Knows no rule that finds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "present", "enters", "leaves", "crosses", "loiters", "left", "crowd", "fall", "fight", "action"
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was watched for. `tracks` are whose it is, `reasons` names of its words."""

    kind: EventKind
    start_s: float
    end_s: float
    zone: str = ""  # of the zone or line; "" is the whole picture
    thing: str = ""  # COCO's name
    tracks: tuple[int, ...] = ()
    count: int = 1
    reasons: tuple[str, ...] = ()
    text: str = ""  # what another instrument wrote

    @property
    def severity(self) -> int:
        """0: for the record, 1: worth a line, 2: worth a look, 3: worth a look now."""
        return 1 if "never_moves" in self.reasons else _SEVERITY[self.kind]


_SEVERITY: Mapping[EventKind, int] = {
    "present": 0,
    "enters": 1,
    "leaves": 0,
    "crosses": 1,
    "loiters": 2,
    "crowd": 2,
    "left": 3,
    "fall": 3,
    "fight": 3,
    "action": 2,
}
