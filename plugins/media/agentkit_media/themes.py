"""Themes: what comes back in speech, captions and tags, and what marks one part against the others.

What marks a part is told by the log-odds of its words against the rest, with an informative
Dirichlet prior, as a z-score (Monroe, Colaresi and Quinn, Fightin' Words, Political Analysis,
2008): words that are frequent everywhere come out at zero, and rare ones have no certainty. What
comes back is counted: a theme is a word or phrase in several notes, the more of the film they are
spread over the better. Words that mostly stand in the same notes are one theme. No model is asked
and no meaning is known.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.types import Note
from agentkit_media.material import Material
from agentkit_media.words import phrases_of, words_of

KINDS = ("speech", "ocr", "scene")
MAX_THEMES = 8
MAX_MOMENTS = 3  # cited of each theme
LEAST_NOTES = 2
SAME_NOTES = 0.6  # share of notes that two terms have in common to be one theme
PARTS = 8  # of equal length where there are no more scenes than that
SURE = 1.96  # z-score: 95 %
PRIOR = 10.0  # words of prior for each part


@dataclass(frozen=True, slots=True)
class Theme:
    """Terms that come back together; `moments` are the notes that say the most of them."""

    terms: tuple[str, ...]
    notes: int  # in how many they stand
    share: float  # of the film's parts, 0..1
    moments: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """What one part says more than the others."""

    start_s: float
    end_s: float
    terms: tuple[str, ...]
    moments: tuple[Note, ...]


def themes_of(material: Material) -> list[Theme]:
    """Return what comes back, that of the most notes first."""
    stand = _stand_in(material)
    terms = [term for term, notes in stand.items() if len(notes) >= LEAST_NOTES]
    terms = [term for term in terms if not _only_in_phrase(term, terms, stand)]
    # Phrases say more than words; then what stands in more notes.
    terms.sort(key=lambda term: (-len(stand[term]), -len(term.split()), term))
    groups: list[list[str]] = []
    for term in terms:
        home = next((g for g in groups if _together(stand[g[0]], stand[term])), None)
        if home is None:
            groups.append([term])
        elif len(home) < 5:
            home.append(term)
    themes = [_theme(material, group, stand) for group in groups]
    themes.sort(key=lambda theme: (-theme.notes * (0.5 + theme.share), theme.terms))
    return themes[:MAX_THEMES]


def marks_of(material: Material, spans: Sequence[tuple[float, float]]) -> list[Mark]:
    """Return what marks each part of a film, of the parts that anything marks."""
    counts = [Counter[str]() for _ in spans]
    notes: list[list[Note]] = [[] for _ in spans]
    for note in material.of(*KINDS):
        middle_s = (note.start_s + note.end_s) / 2
        place = next((i for i, (a, b) in enumerate(spans) if a <= middle_s < b), len(spans) - 1)
        counts[place].update(words_of(note.text))
        notes[place].append(note)
    marks = []
    for place, (start_s, end_s) in enumerate(spans):
        others = sum((c for i, c in enumerate(counts) if i != place), Counter[str]())
        scores = log_odds(counts[place], others)
        best = sorted((t for t in scores if scores[t] >= SURE), key=lambda t: (-scores[t], t))[:4]
        if best:
            marks.append(Mark(start_s, end_s, tuple(best), _best_moments(notes[place], best)))
    return marks


def log_odds(here: Counter[str], others: Counter[str]) -> dict[str, float]:
    """Return each word's z-score of log-odds, here against the others (Monroe et al., eq. 22).

    The prior is the words of both together, scaled to PRIOR words.
    """
    both = here + others
    total, n_here, n_others = both.total(), here.total(), others.total()
    scores = {}
    for word in here:
        prior = PRIOR * both[word] / total
        odds = [
            math.log((count + prior) / (size + PRIOR - count - prior))
            for count, size in ((here[word], n_here), (others[word], n_others))
            if size + PRIOR - count - prior > 0
        ]
        if len(odds) == 2:
            variance = 1 / (here[word] + prior) + 1 / (others[word] + prior)
            scores[word] = (odds[0] - odds[1]) / math.sqrt(variance)
    return scores


def parts_of(duration_s: float, scenes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the scenes, or where they are too many or but one, PARTS parts of equal length."""
    if 2 <= len(scenes) <= 2 * PARTS:
        return list(scenes)
    return [(duration_s * i / PARTS, duration_s * (i + 1) / PARTS) for i in range(PARTS)]


def _stand_in(material: Material) -> dict[str, list[Note]]:
    """Return in which notes each word and phrase stands."""
    stand: dict[str, list[Note]] = {}
    for note in material.of(*KINDS):
        for term in dict.fromkeys([*words_of(note.text), *phrases_of(note.text)]):
            stand.setdefault(term, []).append(note)
    return stand


def _only_in_phrase(term: str, terms: Sequence[str], stand: dict[str, list[Note]]) -> bool:
    """Say whether a word is only said as a part of a phrase that comes back itself."""
    return " " not in term and any(
        " " in phrase and term in phrase.split() and len(stand[phrase]) == len(stand[term])
        for phrase in terms
    )


def _together(one: Sequence[Note], other: Sequence[Note]) -> bool:
    first, second = set(one), set(other)
    return len(first & second) / len(first | second) >= SAME_NOTES


def _theme(material: Material, terms: Sequence[str], stand: dict[str, list[Note]]) -> Theme:
    notes = list(dict.fromkeys(note for term in terms for note in stand[term]))
    duration_s = max(material.video.duration_s, 1e-3)
    parts = {min(int(note.start_s / duration_s * PARTS), PARTS - 1) for note in notes}
    return Theme(tuple(terms), len(notes), len(parts) / PARTS, _best_moments(notes, terms))


def _best_moments(notes: Sequence[Note], terms: Sequence[str]) -> tuple[Note, ...]:
    """Return the notes with the most of the terms, in order of time."""

    def said(note: Note) -> int:
        return len({*words_of(note.text), *phrases_of(note.text)}.intersection(terms))

    best = sorted(notes, key=lambda note: (-said(note), note.start_s))
    chosen = [note for note in best if said(note)][:MAX_MOMENTS]
    return tuple(sorted(chosen, key=lambda note: note.start_s))
