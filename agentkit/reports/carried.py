"""Whether notes carry a sentence: its words, and each of its numbers beside what it counts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentkit.reports.runs import evidence
from agentkit.terms import content_terms, words
from agentkit.types import Citation, Note

CARRIED = 0.6  # share of a sentence's words that notes must have; a wrong noun is one of a few
MAX_CITATIONS = 3  # of one sentence

_CLAUSE = re.compile(r"[,;:.()]")  # "in 2015, partners" counts no partners
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")


@dataclass(frozen=True, slots=True)
class _Offered:
    citation: Citation
    terms: frozenset[str]


class Carriers:
    """What of a video can carry sentences: an answer's citations first, then single notes."""

    def __init__(self, video_id: str, citations: Iterable[Citation], notes: Sequence[Note]) -> None:
        noted = [_of_note(video_id, note) for note in dict.fromkeys(notes)]
        cited = [_Offered(cite, frozenset(terms_in(cite.why))) for cite in citations]
        self._offered = [*cited, *noted]
        self._noted = noted

    def of(self, sentence: str) -> tuple[Citation, ...]:
        """Return what carries a sentence; nothing where too few of its words are noted.

        Each further citation is there for words that those before it lack. A number must stand in
        one note together with the word that follows it: "5 trucks" is not carried by "5 people"
        beside "1 truck".
        """
        wanted = set(terms_of(sentence))
        chosen, left = self._chosen(wanted)
        if not wanted or len(left) > (1 - CARRIED) * len(wanted):
            return ()
        if not all(self._is_noted(pair) for pair in counted(sentence)):
            return ()
        return tuple(offered.citation for offered in chosen)

    def _chosen(self, wanted: set[str]) -> tuple[list[_Offered], set[str]]:
        """Return what has the most words, then most of those left; and the words left over."""
        chosen: list[_Offered] = []
        left = set(wanted)
        while left and self._offered and len(chosen) < MAX_CITATIONS:
            best = max(self._offered, key=lambda offered: len(left & offered.terms))
            if not left & best.terms:
                break
            chosen.append(best)
            left -= best.terms
        return chosen, left

    def _is_noted(self, pair: frozenset[str]) -> bool:
        return any(pair <= offered.terms for offered in self._noted)


def counted(sentence: str) -> Iterator[frozenset[str]]:
    """Yield each number of a sentence with the word that follows it, as stems."""
    subjects = content_terms(sentence)
    for clause in _CLAUSE.split(sentence):
        for term, following in pairwise([*words(clause), ""]):
            if term.isdecimal():
                beside = {following} & set(subjects)
                yield frozenset((term, *beside))


def terms_of(text: str) -> list[str]:
    """Return what a sentence is about: stems of words; of Chinese, pairs of characters."""
    latin = content_terms(_CHINESE.sub(" ", text))
    return list(dict.fromkeys([*latin, *_pairs(text)]))


def terms_in(text: str) -> list[str]:
    """Return every term of a text, those of grammar included."""
    return [*words(_CHINESE.sub(" ", text)), *_pairs(text)]


def _pairs(text: str) -> Iterator[str]:
    for run in _CHINESE.findall(text):
        yield from ("".join(pair) for pair in pairwise(run)) if len(run) > 1 else (run,)


def _of_note(video_id: str, note: Note) -> _Offered:
    cite = evidence(video_id, note, f"{note.kind}: {note.text}")
    return _Offered(cite, frozenset(terms_in(note.text)))
