"""The words of the instruments' notes: object names, counts and places, written and read back.

Notes are stored as text, so what is written here must be read here: `ObjectCount.parse` undoes
`ObjectCount.text`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

PLACES = ("left", "centre", "right")

# The 80 classes of COCO (Lin et al., 2014) in the order of the detector's outputs.
COCO_NAMES = tuple(
    resources.files("agentkit.instruments").joinpath("coco.txt").read_text("utf-8").splitlines()
)

_IRREGULAR = {
    "person": "people",
    "sheep": "sheep",
    "skis": "skis",
    "scissors": "scissors",
    "broccoli": "broccoli",
    "knife": "knives",
    "mouse": "mice",
}
_PLACE_WORDS = re.compile(r" (across|(?:left|centre|right)(?: and (?:left|centre|right))?)$")


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """So many things of one kind, and in which thirds of the picture."""

    name: str
    count: int
    places: tuple[str, ...]  # a part of PLACES, in its order

    @property
    def things(self) -> str:
        """The count and the name: "3 people", "1 car"."""
        return f"{self.count} {self.name if self.count == 1 else plural(self.name)}"

    @property
    def text(self) -> str:
        """The whole: "3 people left and centre"."""
        return f"{self.things} {places_text(self.places)}" if self.places else self.things

    @classmethod
    def parse(cls, text: str) -> "ObjectCount | None":
        """Return what `text` was written from, or None if it was not written here."""
        where = _PLACE_WORDS.search(text)
        number, _, name = text[: where.start() if where else None].partition(" ")
        if not (number.isascii() and number.isdigit() and name):
            return None
        count = int(number)
        name = name if count == 1 else singular(name)
        return cls(name, count, _places(where.group(1)) if where else ())


def places_text(places: Sequence[str]) -> str:
    """Return "left", "left and right" or, for all thirds, "across"."""
    return "across" if len(places) == len(PLACES) else " and ".join(places)


def plural(name: str) -> str:
    """Return the plural of an English noun as the notes use it."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"


def singular(name: str) -> str:
    """Undo `plural` for the detector's names; another name loses a final "s"."""
    return _SINGULAR.get(name) or name.removesuffix("s")


def joined(parts: Iterable[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _places(text: str) -> tuple[str, ...]:
    named = PLACES if text == "across" else text.split(" and ")
    return tuple(place for place in PLACES if place in named)


_SINGULAR = {plural(name): name for name in COCO_NAMES}
