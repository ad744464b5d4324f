"""Scenes: shots grouped (`linking.py`), and what is known of each: who, where, what, said, mood."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from agentkit.types import Citation, Note
from agentkit_media.characters import Character
from agentkit_media.counts import most_of_each, people_in
from agentkit_media.linking import scene_starts
from agentkit_media.material import Material
from agentkit_media.mood import Mood, mood_of
from agentkit_media.places import doors_of, place_of
from agentkit_media.shots import Shot

STILL, SOME, MUCH = "still", "some", "much"
SOME_MOTION, MUCH_MOTION = 0.02, 0.25  # shares of the picture that change in half a second


@dataclass(frozen=True, slots=True)
class Scene:
    number: int
    shots: tuple[Shot, ...]
    place: str  # a tag of the picture that names a place, "" where none does
    doors: str  # INT., EXT. or ""
    tags: tuple[str, ...]  # other tags of the picture
    people: int  # the most that were counted at once
    names: tuple[str, ...]
    motion: str  # still, some, much, or "" where no one looked
    things: tuple[str, ...]  # "3 cars", the most of each at once, people left out
    dialogue: tuple[Note, ...]
    written: tuple[Note, ...]  # text on screen, each once
    mood: Mood
    key: Citation

    @property
    def start_s(self) -> float:
        return self.shots[0].start_s

    @property
    def end_s(self) -> float:
        return self.shots[-1].end_s


def scenes_of(material: Material, characters: Sequence[Character]) -> list[Scene]:
    """Return the scenes of a video in order, without a gap."""
    starts = scene_starts(material)
    ends = [*starts[1:], len(material.shots)]
    spans = [material.shots[start:end] for start, end in zip(starts, ends, strict=True)]
    spoken = _shared_out(material, spans)
    return [
        _scene(material, number, shots, spoken[number - 1], characters)
        for number, shots in enumerate(spans, start=1)
    ]


def _shared_out(material: Material, spans: Sequence[Sequence[Shot]]) -> list[tuple[Note, ...]]:
    """Give each sentence to the scene in which most of it is said."""
    shares: list[list[Note]] = [[] for _ in spans]
    for note in material.of("speech"):
        inside_s = [
            min(note.end_s, shots[-1].end_s) - max(note.start_s, shots[0].start_s)
            for shots in spans
        ]
        shares[inside_s.index(max(inside_s))].append(note)
    return [tuple(share) for share in shares]


def _scene(
    material: Material,
    number: int,
    shots: Sequence[Shot],
    dialogue: tuple[Note, ...],
    characters: Sequence[Character],
) -> Scene:
    start_s, end_s = shots[0].start_s, shots[-1].end_s
    tags = tagged(material, start_s, end_s)
    objects = inside(material, ("objects",), start_s, end_s)
    counted = most_of_each(objects)
    written = {note.text: note for note in reversed(inside(material, ("ocr",), start_s, end_s))}
    return Scene(
        number=number,
        shots=tuple(shots),
        place=next((place for tag in tags if (place := place_of(tag))), ""),
        doors=next((doors for tag in tags if (doors := doors_of(tag))), ""),
        tags=tuple(tag for tag in tags if not place_of(tag)),
        people=people_in(objects),
        names=tuple(c.name for c in characters if c.is_person and _named_in(c, start_s, end_s)),
        motion=_motion(material, start_s, end_s),
        things=tuple(text for name, (_, text) in counted.items() if name != "person"),
        dialogue=dialogue,
        written=tuple(reversed(written.values())),
        mood=mood_of(material, shots, " ".join(note.text for note in dialogue)),
        key=_key(material, shots),
    )


def inside(material: Material, kinds: tuple[str, ...], start_s: float, end_s: float) -> list[Note]:
    """Return notes that lie in a span by half of themselves, or by half of the span."""
    return [
        note
        for note in material.of(*kinds, start_s=start_s, end_s=end_s)
        if min(note.end_s, end_s) - max(note.start_s, start_s)
        >= 0.5 * min(note.end_s - note.start_s, end_s - start_s)
    ]


def tagged(material: Material, start_s: float, end_s: float) -> list[str]:
    """Return the tags of the picture, that of the longest time first."""
    lasts: dict[str, float] = {}
    for note in inside(material, ("scene",), start_s, end_s):
        seconds = min(note.end_s, end_s) - max(note.start_s, start_s)
        lasts[note.text] = lasts.get(note.text, 0.0) + seconds
    return sorted(lasts, key=lambda tag: (-lasts[tag], tag))


def _named_in(character: Character, start_s: float, end_s: float) -> bool:
    return any(m.start_s < end_s and m.end_s > start_s for m in character.mentions)


def _motion(material: Material, start_s: float, end_s: float) -> str:
    cuts_s = [shot.start_s for shot in material.shots]
    # A look whose predecessor lies before a cut changed by the cut, not by motion.
    steady = [
        look.change
        for look in material.looks(start_s, end_s)
        if not any(cut_s <= look.time_s < cut_s + 0.55 for cut_s in cuts_s)
    ]
    if not steady:
        noted = [n.score for n in inside(material, ("motion",), start_s, end_s) if n.score]
        if not noted:
            return ""
        steady = noted
    share = mean(steady)
    return STILL if share < SOME_MOTION else SOME if share < MUCH_MOTION else MUCH


def _key(material: Material, shots: Sequence[Shot]) -> Citation:
    """Cite the scene by the middle of its longest shot."""
    longest = max(shots, key=lambda shot: shot.duration_s)
    span = material.cite_span(shots[0].start_s, shots[-1].end_s, "")
    frame_s = min(longest.middle_s, max(material.video.duration_s - 0.05, 0.0))
    return Citation(span.video_id, span.start_s, span.end_s, "scene", frame_s)
