"""Notes of kind "objects" read back: "3 people left and centre" is three people."""

import re
from collections.abc import Iterable

from agentkit.types import Note

_COUNT = re.compile(
    r"^(\d+) (.+?)(?: (?:across|(?:left|centre|right)(?: and (?:centre|right))?))?$"
)
_ODD = {"people": "person", "knives": "knife", "mice": "mouse", "skis": "skis", "sheep": "sheep"}
_ODD |= {"scissors": "scissors", "vases": "vase", "mouses": "mouse"}


def count_of(note: Note) -> tuple[int, str] | None:
    """Return how many of what; None where the note was written by no detector."""
    match = _COUNT.match(note.text) if note.kind == "objects" else None
    return (int(match[1]), match[2]) if match else None


def most_of_each(notes: Iterable[Note]) -> dict[str, tuple[int, str]]:
    """Return each thing's greatest count and the words for it: {"car": (3, "3 cars")}."""
    most: dict[str, tuple[int, str]] = {}
    for note in notes:
        if counted := count_of(note):
            count, word = counted
            name = word if count == 1 else _singular(word)
            most[name] = max(most.get(name, (0, "")), (count, f"{count} {word}"))
    return most


def people_in(notes: Iterable[Note]) -> int:
    """Return the most people counted in one note."""
    return most_of_each(notes).get("person", (0, ""))[0]


def _singular(word: str) -> str:
    if word in _ODD:
        return _ODD[word]
    for ending in ("ches", "shes", "xes", "sses", "uses"):
        if word.endswith(ending):
            return word[:-2]
    return word.removesuffix("s")
