"""Characters: people who are named in speech or captions, with where, and their arc over the film.

An arc is first named, last named, and the stretches between whose namings are near. It follows the
name, not the face: who is named need not be in the picture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkit.types import Note
from agentkit_media.material import Material
from agentkit_media.names import PERSONAL, Naming, names_in_caption, names_in_speech

NEAR_S = 10.0  # namings nearer than this are one stretch


@dataclass(frozen=True, slots=True)
class Mention:
    start_s: float
    end_s: float
    how: str  # introduced, titled, captioned, said
    kind: str  # speech or ocr
    text: str


@dataclass(frozen=True, slots=True)
class Character:
    """A name that recurs, or that is surely a person's."""

    name: str
    other_names: tuple[str, ...]
    is_person: bool  # introduced, with a title or in a caption; else it may be a place or a thing
    mentions: tuple[Mention, ...]

    @property
    def first_s(self) -> float:
        return self.mentions[0].start_s

    @property
    def last_s(self) -> float:
        return max(mention.end_s for mention in self.mentions)

    @property
    def stretches(self) -> tuple[tuple[float, float], ...]:
        """Return when the name is about: mentions that are near each other joined."""
        joined: list[tuple[float, float]] = []
        for mention in self.mentions:
            if joined and mention.start_s - joined[-1][1] <= NEAR_S:
                joined[-1] = (joined[-1][0], max(joined[-1][1], mention.end_s))
            else:
                joined.append((mention.start_s, mention.end_s))
        return tuple(joined)


def characters_of(material: Material) -> list[Character]:
    """Return characters, the most named first."""
    named = list(_namings(material))
    full = _full_names({naming.name for naming, _ in named})
    groups: dict[str, list[tuple[Naming, Note]]] = {}
    for naming, note in named:
        groups.setdefault(full[naming.name], []).append((naming, note))
    _add_sentence_starts(material, groups)
    found = [_character(name, group) for name, group in groups.items()]
    kept = [one for one in found if one.is_person or len(one.mentions) > 1]
    return sorted(kept, key=lambda one: (-len(one.mentions), one.first_s, one.name))


def _namings(material: Material) -> Iterable[tuple[Naming, Note]]:
    language = material.options.names_language
    for note in material.of("speech", "ocr"):
        find = names_in_speech if note.kind == "speech" else names_in_caption
        for naming in find(note.text, language):
            yield naming, note


def _full_names(names: set[str]) -> dict[str, str]:
    """Return for each name the longest that ends or begins with it, if there is only one."""
    full = {}
    for name in names:
        words = name.lower().split()
        longer = [
            other
            for other in names
            if len(other) > len(name)
            and (
                other.lower().split()[-len(words) :] == words
                or other.lower().split()[: len(words)] == words
            )
        ]
        full[name] = longer[0] if len(longer) == 1 else name
    return {name: full.get(full[name], full[name]) for name in names}


def _add_sentence_starts(material: Material, groups: dict[str, list[tuple[Naming, Note]]]) -> None:
    """Count a known name also where it begins a sentence, where any word is capitalised."""
    for name, group in groups.items():
        known = {name, *(naming.name for naming, _ in group)}
        noted = {note for _, note in group}
        for note in material.of("speech"):
            if note not in noted and any(_begins_sentence(note.text, one) for one in known):
                group.append((Naming(name, "said"), note))


def _begins_sentence(text: str, name: str) -> bool:
    place = text.find(name)
    after = text[place + len(name) : place + len(name) + 1]
    return place >= 0 and not after.isalnum()


def _character(name: str, group: Sequence[tuple[Naming, Note]]) -> Character:
    ordered = sorted(group, key=lambda pair: (pair[1].start_s, pair[1].end_s))
    mentions = tuple(
        Mention(note.start_s, note.end_s, naming.how, note.kind, note.text)
        for naming, note in ordered
    )
    others = tuple(sorted({naming.name for naming, _ in group} - {name}))
    return Character(name, others, any(m.how in PERSONAL for m in mentions), mentions)
