"""What a video's notes say for each step of a protocol: hits, and their sum over time.

Weights are in nats a second: how much more probable a second becomes under the step that a cue
belongs to. A hit counts for a few seconds at most, whatever its note's length: what stands on
screen for an hour is one piece of evidence, not thousands.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Note
from agentkit_healthcare.cues import folded, found
from agentkit_healthcare.protocol import Protocol, Step

SEEN_KINDS = ("objects", "scene")  # what instruments see; all else is said or written
NO_WORDS_KINDS = ("motion", "colours", "shot")
SHOWN_KIND = "ocr"
UNREAD_S = 8.0  # a text on screen may go unread so long, two looks, and still be the same


@dataclass(frozen=True, slots=True)
class Weights:
    """Nats a second, and the seconds that a hit counts for at most."""

    name: float = 3.0
    words: float = 2.0
    text: float = 2.0
    objects: float = 1.0
    model: float = 0.5
    longest_s: float = 10.0


WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class Hit:
    """A span that speaks for a step (its index), how strongly, and in which words.

    What the model answered (`by_model`) has no words of its own.
    """

    step: int
    weight: float
    start_s: float
    end_s: float
    why: str
    by_model: bool = False


def hits_of(protocol: Protocol, notes: Iterable[Note], weights: Weights = WEIGHTS) -> list[Hit]:
    """Return the hits of all notes, in order of time. A cue that n steps have counts an nth each.

    Texts on screen are noted once a look: one that stays is one hit, however often it was read.
    """
    shared = _shares(protocol.steps)
    hits = (
        (note.kind, Hit(index, weight, note.start_s, note.end_s, note.text))
        for note in sorted(notes, key=lambda note: (note.start_s, note.end_s))
        if note.kind not in NO_WORDS_KINDS
        for index, step in enumerate(protocol.steps)
        if (weight := _weight(step, note, weights, shared)) > 0
    )
    return _standing(hits)


def _standing(hits: Iterable[tuple[str, Hit]]) -> list[Hit]:
    """Return hits with those of a text that stays on screen as one, over its whole time."""
    stood: list[Hit] = []
    last: dict[tuple[int, str], int] = {}  # where a text's hit for a step stands in `stood`
    for kind, hit in hits:
        key = hit.step, hit.why
        place = last.get(key)
        if kind == SHOWN_KIND and place is not None:
            before = stood[place]
            if hit.start_s - before.end_s <= UNREAD_S:
                stood[place] = replace(before, end_s=max(before.end_s, hit.end_s))
                continue
        last[key] = len(stood)
        stood.append(hit)
    return stood


def scores_of(
    hits: Iterable[Hit], moments: int, steps: int, bin_s: float, weights: Weights = WEIGHTS
) -> NDArray[np.float64]:
    """Return the sum of the hits in each moment of `bin_s` seconds, [moments, steps]."""
    scores = np.zeros((moments, steps))
    for hit in hits:
        first = min(int(hit.start_s / bin_s), moments - 1)
        stop = min(max(int(np.ceil(hit.end_s / bin_s)), first + 1), moments)
        seconds = min((stop - first) * bin_s, weights.longest_s)
        scores[first:stop, hit.step] += hit.weight * seconds / (stop - first)
    return scores


def _weight(step: Step, note: Note, weights: Weights, shared: Counter[str]) -> float:
    """Return the strongest thing that a note says for a step, and what is seen beside it."""
    objects = sum(1 / shared[folded(cue)] for cue in _distinct(step.cues.objects, note.text))
    seen = weights.objects * min(objects, 1.0)
    if note.kind in SEEN_KINDS:
        return seen
    said = weights.name if found(step.names.values(), note.text) else 0.0
    cues = [*step.cues.words, *(step.cues.text if note.kind == SHOWN_KIND else ())]
    for cue in found(cues, note.text):
        said = max(said, weights.words / shared[folded(cue)])
    return said + seen


def _distinct(cues: Sequence[str], text: str) -> list[str]:
    """Return the cues that stand in the text, none that is a part of another that does."""
    here = found(cues, text)
    return [c for c in here if not any(c != o and folded(c) in folded(o) for o in here)]


def _shares(steps: Sequence[Step]) -> Counter[str]:
    """Return how many steps have each cue."""
    shared: Counter[str] = Counter()
    for step in steps:
        cues = (*step.cues.words, *step.cues.text, *step.cues.objects)
        shared.update({folded(cue) for cue in cues})
    return shared
