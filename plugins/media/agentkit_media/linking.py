"""Which shots belong to one scene: overlapping links between like shots.

The rule is that of Hanjalic, Lagendijk and Biemond (Automated high-level movie segmentation for
advanced video-retrieval systems, IEEE Transactions on Circuits and Systems for Video Technology,
1999): two shots that are alike and near in time are linked, and all between them belong to their
scene, so a new scene begins where no link passes over the change of shot. That shots further apart
than a limit are not compared is the time constraint of Yeung and Yeo (Time-constrained clustering
for segmentation of video into story units, ICPR 1996). Ours: what a look is compared by, that words
of notes count, that a sentence over a cut links its sides, and that no link passes a fade.
"""

from dataclasses import dataclass

from agentkit_media.frames import Look
from agentkit_media.material import Material
from agentkit_media.shots import FADE, Shot
from agentkit_media.words import words_of

AHEAD = 12  # shots that one is compared with, at most
LOOKS = 3  # of a shot: its first, middle and last
WORDS_WEIGHT = 0.25  # of a pair's likeness, where both shots have words
LAYOUT_RANGE = 96.0  # of 255: a mean difference of the layout that is no likeness at all
SPOKEN_OVER_S = 0.5  # a sentence that goes on for so long on both sides of a cut links them
SENTENCE_S = 10.0  # a longer note of speech is several sentences, with pauses between them
WORDY = ("objects", "scene", "ocr")


@dataclass(frozen=True, slots=True)
class _Face:
    """What a shot is compared by."""

    shot: Shot
    looks: tuple[Look, ...]
    words: frozenset[str]


def scene_starts(material: Material) -> list[int]:
    """Return the places of the shots that begin a scene, the first included."""
    shots = material.shots
    faces = [_face(material, shot) for shot in shots]
    reach = list(range(len(shots)))  # how far a link from here on goes
    for first, face in enumerate(faces):
        for second in range(first + 1, min(first + 1 + AHEAD, len(shots))):
            other = faces[second]
            if (
                other.shot.begins == FADE
                or other.shot.start_s - face.shot.end_s > material.options.scene_gap_s
            ):
                break
            if likeness(face, other) >= material.options.scene_likeness:
                reach[first] = second
        if first + 1 < len(shots) and _spoken_over(material, shots[first + 1]):
            reach[first] = max(reach[first], first + 1)
    starts, furthest = [0], 0
    for place in range(len(shots)):
        if place > furthest:
            starts.append(place)
        furthest = max(furthest, reach[place])
    return starts


def likeness(one: _Face, other: _Face) -> float:
    """Return how alike two shots are, 0..1, by their most alike looks and by their words."""
    seen = max((alike(a, b) for a in one.looks for b in other.looks), default=0.0)
    if not (one.words and other.words):
        return seen
    named = len(one.words & other.words) / len(one.words | other.words)
    return (1 - WORDS_WEIGHT) * seen + WORDS_WEIGHT * named


def alike(one: Look, other: Look) -> float:
    """Return half the intersection of the colours (Swain and Ballard, 1991), half the layout's."""
    colours = sum(min(a, b) for a, b in zip(one.histogram, other.histogram, strict=True))
    apart = sum(abs(a - b) for a, b in zip(one.layout, other.layout, strict=True))
    return (min(colours, 1.0) + max(1 - apart / len(one.layout) / LAYOUT_RANGE, 0.0)) / 2


def _face(material: Material, shot: Shot) -> _Face:
    notes = material.of(*WORDY, start_s=shot.start_s, end_s=shot.end_s)
    inside = [note for note in notes if _mostly_in(note.start_s, note.end_s, shot)]
    words = frozenset(word for note in inside for word in words_of(note.text))
    return _Face(shot, _looks(material, shot), words)


def _mostly_in(start_s: float, end_s: float, shot: Shot) -> bool:
    """Say whether a note, made at sampled frames, is of this shot more than of its neighbours."""
    inside_s = min(end_s, shot.end_s) - max(start_s, shot.start_s)
    return inside_s >= 0.5 * min(end_s - start_s, shot.duration_s)


def _looks(material: Material, shot: Shot) -> tuple[Look, ...]:
    inside = material.looks(shot.start_s, shot.end_s)
    if not inside:
        return ()
    return tuple(inside[round(i * (len(inside) - 1) / (LOOKS - 1))] for i in range(LOOKS))


def _spoken_over(material: Material, following: Shot) -> bool:
    if following.begins == FADE:
        return False
    cut_s = following.start_s
    return any(
        note.start_s <= cut_s - SPOKEN_OVER_S
        and note.end_s >= cut_s + SPOKEN_OVER_S
        and note.end_s - note.start_s <= SENTENCE_S
        for note in material.of("speech", start_s=cut_s, end_s=cut_s + 1e-3)
    )
