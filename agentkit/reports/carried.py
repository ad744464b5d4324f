"""Whether notes carry a sentence: its words, and each of its numbers beside what it counts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentkit.reports.runs import evidence
from agentkit.terms import content_terms, words
from agentkit.types import Citation, Note

MAX_CITATIONS = 4  # of one sentence
SAME_LETTERS = 5  # "presidential" is carried by "president"

# What summaries say of any video: the words claim nothing that a note could have.
_TELLING = frozenset(
    "show display depict feature include capture present several various multiple different"
    " together some".split()
)
_MEANS = dict.fromkeys(("mov", "move", "movement"), "motion")  # as the instrument notes it

_CLAUSE = re.compile(r"[,;:.()]")  # "in 2015, partners" counts no partners
_AFFIRMED = re.compile(r"[,;:.!?()\uff0c\u3002\uff1b\uff01\uff1f]|\bbut\b")
_DENIES = re.compile(
    r"\b(?:no|not|nor|never|none|neither|without|cannot|nobody|nothing|\w+n['\u2019]t)\b"
    r"|[\u6ca1\u672a\u65e0\u4e0d]",
    re.IGNORECASE,
)
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")


@dataclass(frozen=True, slots=True)
class _Offered:
    citation: Citation
    terms: frozenset[str]
    denies: bool
    text: str

    def carries(self, wanted: set[str]) -> set[str]:
        """Return which of these words it has, or has the beginning of."""
        return {
            term
            for term in wanted
            if term in self.terms or any(same_beginning(term, other) for other in self.terms)
        }


class Carriers:
    """What of a video can carry sentences: an answer's citations first, then single notes."""

    def __init__(self, video_id: str, citations: Iterable[Citation], notes: Sequence[Note]) -> None:
        noted = [_of_note(video_id, note) for note in dict.fromkeys(notes)]
        cited = [_offered(cite, cite.why) for cite in citations]
        self._offered = [*cited, *noted]
        self._noted = noted
        self._affirming = [_affirmed(one) for one in self._offered]

    def of(self, sentence: str) -> tuple[Citation, ...]:
        """Return what carries a sentence; nothing where one of its words is not noted.

        One wrong noun makes a sentence wrong, so none may be missing. What the words say together
        is not understood: "on the right" carries "to the right". Each further citation is there
        for words that those before it lack. A number must stand in one note together with the
        word that follows it: "5 trucks" is not carried by "5 people" beside "1 truck". What denies
        ("no cars", "is not red") is carried by one note that denies it too, or by none.
        """
        wanted = set(terms_of(sentence))
        # What a note denies carries nothing that is said to be so.
        offered = self._offered if _DENIES.search(sentence) else self._affirming
        chosen, left = _chosen(offered, wanted)
        if not wanted or left:
            return ()
        if not all(self._is_noted(pair) for pair in counted(sentence)):
            return ()
        if not all(self._is_denied(clause) for clause in _CLAUSE.split(sentence)):
            return ()
        return tuple(offered.citation for offered in chosen)

    def _is_denied(self, clause: str) -> bool:
        """Say whether a note denies what this clause denies; so it is where it denies nothing."""
        if not _DENIES.search(clause):
            return True
        wanted = set(terms_of(clause))
        return any(one.denies and one.carries(wanted) == wanted for one in self._noted)

    def _is_noted(self, pair: frozenset[str]) -> bool:
        return any(pair <= offered.terms for offered in self._noted)


def _chosen(every: Sequence[_Offered], wanted: set[str]) -> tuple[list[_Offered], set[str]]:
    """Return what has the most words, then most of those left; and the words left over."""
    chosen: list[_Offered] = []
    left = set(wanted)
    while left and every and len(chosen) < MAX_CITATIONS:
        best = max(every, key=lambda offered: len(offered.carries(left)))
        if not (carried := best.carries(left)):
            break
        chosen.append(best)
        left -= carried
    return chosen, left


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
    latin = [_MEANS.get(term, term) for term in content_terms(_CHINESE.sub(" ", text))]
    return list(dict.fromkeys([*(term for term in latin if term not in _TELLING), *_pairs(text)]))


def same_beginning(one: str, other: str) -> bool:
    """Say whether the shorter of two words begins the longer, and is no short word."""
    short, long = sorted((one, other), key=len)
    return len(short) >= SAME_LETTERS and short.isalpha() and long.startswith(short)


def terms_in(text: str) -> list[str]:
    """Return every term of a text, those of grammar included."""
    return [*words(_CHINESE.sub(" ", text)), *_pairs(text)]


def _pairs(text: str) -> Iterator[str]:
    for run in _CHINESE.findall(text):
        yield from ("".join(pair) for pair in pairwise(run)) if len(run) > 1 else (run,)


def _of_note(video_id: str, note: Note) -> _Offered:
    cite = evidence(video_id, note, f"{note.kind}: {note.text}")
    return _offered(cite, note.text)


def _offered(cite: Citation, text: str) -> _Offered:
    return _Offered(cite, frozenset(terms_in(text)), bool(_DENIES.search(text)), text)


def _affirmed(one: _Offered) -> _Offered:
    """Return what a text says without the clauses of it that deny."""
    if not one.denies:
        return one
    clauses = [part for part in _AFFIRMED.split(one.text) if not _DENIES.search(part)]
    return _offered(one.citation, "; ".join(clauses))
