"""Is an answer right? Words, numbers, denials and seconds, judged strictly and by no model.

Right words are whole words in their clause, not denied there. A count is the first number of the
answer. A citation is right if it overlaps the true seconds. An answer that says it found nothing
is no answer, whatever words stand beside that.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).parent / "questions.toml"
KINDS = ("seen", "count", "said", "text", "when", "next")
DIFFICULTIES = ("easy", "medium", "hard")
Span = tuple[float, float]  # seconds, start and end

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
_NUMBERS = {word: str(number) for number, word in enumerate(_SMALL)}
_TIMES = re.compile(
    r"\btime\s+\d+(\.\d+)?\s*s?\b|\b\d+(\.\d+)?\s*(-|to|and|\u2013)\s*\d+(\.\d+)?\s*(s|secs?|seconds?)\b"
    r"|\b\d+(\.\d+)?\s*(s|secs?|seconds?)\b|\b\d+:\d\d(:\d\d)?(\.\d+)?\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.;:!?\n]+(?=\s|$)|,?\s+but\s+|\s+(?:however|although|though)\s+", re.I)
_NOT = {"no", "not", "never", "none", "without", "neither", "nor", "cannot", "nobody", "nothing"}
_COLOURS = {"black", "white", "grey", "gray", "red", "green", "blue", "yellow", "orange", "brown"}
_COLOURS |= {"purple", "pink"}
_NEGATION_REACH = 4  # words: "not a red or blue car" denies both colours

_FOUND_NOTHING = re.compile(
    r"\b(no|not|nothing|none|isn't|aren't|doesn't|don't|didn't|cannot|can't|unable|insufficient)\b"
    r"[^.;]*?\b(mention|information|evidence|notes?\b|provid|specif|state[sd]?\b|determin|indicat|"
    r"describ|detail|contain|support|context|enough|possible to|answer|clear|visible|appear|"
    r"shown?\b|seen\b|found\b|present\b|given\b)"
    r"|\b(unknown|unclear|unanswerable|i do not know|i don't know)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"^\W*(there (is|are|was|were) (no|not)\b|nothing\b|nobody\b|no one\b|none\b|never\b|no\b"
    r"|(it|he|she|they|the [\w ]{1,30}?) (do|does|did|is|are|was|were)(n't| not)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `words`: groups of alternatives, all groups needed; no `spans`: no answer."""

    id: str
    clip: str
    kind: str
    difficulty: str
    text: str
    words: tuple[tuple[str, ...], ...] = ()
    spans: tuple[Span, ...] = ()  # seconds of the clip
    wrong: tuple[str, ...] = ()  # words that make an answer wrong

    @property
    def answerable(self) -> bool:
        return self.kind != "absent"


@dataclass(frozen=True, slots=True)
class Searched:
    """One search, with the seconds of each clip that it should find; none: it should find none."""

    text: str
    relevant: Mapping[str, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one question. For one that cannot be answered, `false` alone counts."""

    answered: bool
    cited: bool
    false: bool
    cited_share: float  # of the cited seconds, those inside the true ones


def load_questions(path: Path = QUESTIONS) -> tuple[list[Asked], list[Searched]]:
    """Return the questions, those without an answer last, and the searches."""
    body = tomllib.loads(path.read_text())
    asked = [_asked(entry) for entry in body["question"]]
    asked += [Asked(kind="absent", **entry) for entry in body["unanswerable"]]
    searched = [Searched(entry["text"], _relevant(entry["relevant"])) for entry in body["search"]]
    searched += [Searched(text, {}) for text in body["absent"]["texts"]]
    return asked, searched


def _asked(entry: Mapping[str, Any]) -> Asked:
    lists = {
        "words": tuple(tuple(group) for group in entry["words"]),
        "spans": _spans(entry["spans"]),
        "wrong": tuple(entry.get("wrong", ())),
    }
    return Asked(**{**entry, **lists})


def _relevant(clips: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]]:
    return {clip: _spans(spans) for clip, spans in clips.items()}


def _spans(pairs: Iterable[tuple[float, float]]) -> tuple[Span, ...]:
    return tuple((float(start), float(end)) for start, end in pairs)


def judge(
    asked: Asked,
    text: str,
    supported: bool | None,
    cited: Sequence[Span],
    offset_s: float = 0.0,
) -> Verdict:
    """Judge an answer about a clip that begins at `offset_s` of the film."""
    silent = supported is False or abstains(text)
    if not asked.answerable:
        return Verdict(False, False, not silent and not denies(text), 0.0)
    true = [(start + offset_s, end + offset_s) for start, end in asked.spans]
    hit = any(overlap_s(cite, span) > 0 for cite in cited for span in true)
    said = hit if asked.kind == "when" else says(asked, text)
    answered = said and not silent
    return Verdict(answered, answered and hit, False, _share_inside(cited, true))


def says(asked: Asked, text: str) -> bool:
    """Say whether the answer has one word or phrase of every group, affirmed, and no wrong one."""
    if asked.kind == "count":
        return _counts(text, asked.words[0])
    clauses = [words_of(clause) for clause in clauses_of(text)]

    def has(choices: Iterable[str]) -> bool:
        return any(_affirmed(words_of(each), clause) for each in choices for clause in clauses)

    return all(has(group) for group in asked.words) and not has(_wrong(asked))


def _wrong(asked: Asked) -> tuple[str, ...]:
    """Return the words that make an answer wrong; where a colour is asked for, the other ones."""
    right = {choice for group in asked.words for choice in group}
    if not right & _COLOURS:
        return asked.wrong
    return (*asked.wrong, *sorted(_COLOURS - right - set(words_of(asked.text))))


def _counts(text: str, right: Sequence[str]) -> bool:
    """Say whether the first number, or word for one, is right, and no other is offered with it."""
    words = words_of(_TIMES.sub(" ", text))
    accepted = {words_of(choice)[0] for choice in right}
    named = {word for word in accepted if not word.isdigit()}
    for at, word in enumerate(words):
        if word.isdigit() or word in named:
            hedged = [w for w in words[at + 1 : at + 3] if w.isdigit() and w not in accepted]
            return word in accepted and not hedged and not _denied(words, at)
    return False


def clauses_of(text: str) -> list[str]:
    return [clause for clause in _CLAUSE_END.split(text) if clause and clause.strip()]


def words_of(text: str) -> list[str]:
    """Return the words in lower case, numbers as digits, without plural endings."""
    plain = _plain(text).lower().replace("n't", " not").replace("cannot", "can not")
    return [_stem(_NUMBERS.get(word, word)) for word in re.findall(r"[a-z]+|\d+", plain)]


def _stem(word: str) -> str:
    if word in ("people", "persons"):
        return "person"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _affirmed(phrase: Sequence[str], clause: Sequence[str]) -> bool:
    size = len(phrase)
    return any(
        list(clause[at : at + size]) == list(phrase) and not _denied(clause, at)
        for at in range(len(clause) - size + 1)
    )


def _denied(clause: Sequence[str], at: int) -> bool:
    return any(word in _NOT for word in clause[max(0, at - _NEGATION_REACH) : at])


def abstains(text: str) -> bool:
    """Say whether the answer begins by saying that the evidence carries none. Empty ones do.

    A denial that comes after a claim ("A ball. The colour is not mentioned.") is no abstention.
    """
    return not text.strip() or _FOUND_NOTHING.search(_first_sentence(text)) is not None


def denies(text: str) -> bool:
    """Say whether the answer begins by saying that there is no such thing."""
    return _DENIES.search(_first_sentence(text)) is not None


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", _plain(text).strip(), maxsplit=1)[0]


def _plain(text: str) -> str:
    return text.replace("\u2019", "'")


def overlap_s(one: Span, other: Span) -> float:
    """Return the seconds that two spans share; spans that only touch share none."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _share_inside(cited: Sequence[Span], true: Sequence[Span]) -> float:
    length = sum(end - start for start, end in cited)
    inside = sum(overlap_s(cite, span) for cite in cited for span in true)
    return inside / length if length else 0.0


def precision(found: Sequence[tuple[str, Span]], wanted: Searched, first: int = 3) -> float:
    """Return the share of the first hits, (clip, seconds of the clip), that are relevant.

    A query that finds nothing of what is there counts as 0.
    """
    top = found[:first]
    return relevant_hits(top, wanted) / len(top) if top else 0.0


def relevant_hits(found: Sequence[tuple[str, Span]], wanted: Searched) -> int:
    """Return how many hits, (clip, seconds of the clip), are relevant."""
    return sum(
        any(overlap_s(span, true) > 0 for true in wanted.relevant.get(clip, ()))
        for clip, span in found
    )
