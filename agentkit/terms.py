"""Words that carry meaning: from a question, an answer or a note. Knows no model and no store."""

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "said": "say",
    "spoke": "speak",
    "spoken": "speak",
    "mice": "mouse",
    "buses": "bus",
    "bikes": "bicycle",
    "bike": "bicycle",
}
_NUMBERS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve".split(),
        map(str, range(13)),
        strict=True,
    )
)

# Words of grammar: they stand in any sentence and point at nothing in a video.
_GRAMMAR = frozenset(
    """a about after again all also an and any are as at be been before being between both but by
    can could did do does doing during each either else ever every few first for from had has
    have having he her here hers him his how i if in into is it its just last many may me
    might more most much my next no nor not of off on once one only or other our out over own
    please same several shall she should so some such than that the their them then there
    these they this those through to too under until up us very was we were what when where
    whether which while who whom whose why will with would yes you your""".split()
)

# Words about the footage or the asking, not about what is in it.
_FOOTAGE = frozenset(
    """answer anybody anyone anything appear camera clip content contain describe describ detail
    exactly film find footage general give happen happening hour kind list look main mention
    minute moment movie name occur overview part picture point question recording scene second
    see seen segment sequence shot show shown shows something somebody someone start stop sort
    summarise summarize summary tell there thing time timestamp topic type video view visible
    watch whole approximately number count total beginning end long overall seems""".split()
)


def stem(word: str) -> str:
    """Return the word less its plural or verb ending: enough to match notes, no dictionary."""
    word = word.lower().replace("\u2019", "'").removesuffix("'s").replace("'", "")
    word = _NUMBERS.get(word, _IRREGULAR.get(word, word))
    for ending, put in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + put
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and re.search("[aeiouy]", root):
            return (
                root[:-1]
                if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "ls"
                else root
            )
    return word


_GRAMMAR_STEMS = frozenset(map(stem, _GRAMMAR)) - set(_NUMBERS.values())
_FOOTAGE_STEMS = frozenset(map(stem, _FOOTAGE))


def words(text: str) -> list[str]:
    """Return the stems of all words, in order, grammar included."""
    return [stem(word) for word in _WORD.findall(text)]


def content_terms(text: str) -> list[str]:
    """Return the stems that point at something, each once, in order of first use."""
    kept = (stem(word) for word in _WORD.findall(text) if word.lower() not in _GRAMMAR)
    return list(
        dict.fromkeys(t for t in kept if t not in _GRAMMAR_STEMS and t not in _FOOTAGE_STEMS)
    )


def overlap(terms: Iterable[str], text: str) -> float:
    """Return the share of `terms` that stand in `text`, 0..1; 0 for no terms."""
    wanted = set(terms)
    return len(wanted & set(words(text))) / len(wanted) if wanted else 0.0
