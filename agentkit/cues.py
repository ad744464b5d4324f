"""What a question points at: kinds of notes, things that instruments can see, stretches of time.

Small tables of English words; knows no model. A word here names what a note would call the thing.
"""

import re
from collections.abc import Collection, Iterable

from agentkit.terms import stem, words

# Words that ask for what one kind of instrument reports.
_KINDS = {
    "speech": "say speak talk speaker speech mention hear heard voice tell told announce narrator "
    "discuss dialogue",
    "ocr": "caption read written write text banner title subtitle print inscription label spell "
    "headline screen sign",
}

# A thing as people ask for it -> the names under which the object detector reports it (COCO-80).
# A word after "<" is narrower than what the detector can tell: a taxi is a car to it, but a car is
# no proof of a taxi.
_PERSON = (
    "people human individual figure somebody someone anybody anyone who pedestrian crowd adult "
    "<man <woman <boy <girl <child <kid <guy <lady <gentleman <walker <rider <cyclist <biker "
    "<speaker <president <player <driver <worker <teenager <team"
)
_THINGS = {
    "person": _PERSON,
    "car": "automobile vehicle traffic <taxi <cab <van <sedan",
    "truck": "lorry vehicle traffic <van <pickup",
    "bus": "coach vehicle traffic",
    "bicycle": "bike cycle vehicle <cyclist <biker",
    "motorcycle": "motorbike vehicle <scooter <moped <motorcyclist",
    "airplane": "aeroplane plane aircraft jet vehicle",
    "train": "tram railway locomotive vehicle",
    "boat": "ship vessel ferry yacht canoe vehicle",
    "bird": "animal <pigeon <gull <crow",
    "cat": "animal pet <kitten",
    "dog": "animal pet <puppy",
    "horse": "animal pony",
    "sheep": "animal lamb",
    "cow": "animal cattle bull",
    "elephant": "animal",
    "bear": "animal",
    "zebra": "animal",
    "giraffe": "animal",
    "backpack": "bag luggage rucksack",
    "handbag": "bag purse",
    "suitcase": "bag luggage",
    "umbrella": "parasol",
    "tie": "necktie",
    "bottle": "flask",
    "cup": "mug",
    "chair": "furniture seat",
    "couch": "furniture sofa settee",
    "bed": "furniture",
    "dining table": "furniture table",
    "tv": "television monitor screen",
    "laptop": "computer notebook",
    "cell phone": "phone telephone smartphone mobile",
    "keyboard": "",
    "traffic light": "signal",
    "stop sign": "",
    "fire hydrant": "hydrant",
    "bench": "",
    "sports ball": "ball <football",
    "book": "",
    "clock": "",
    "kite": "",
    "skateboard": "",
    "surfboard": "",
    "snowboard": "",
    "banana": "fruit",
    "apple": "fruit",
    "orange": "fruit",
    "pizza": "",
    "cake": "",
    "teddy bear": "toy",
    "potted plant": "plant",
}


def _index(narrower: bool) -> dict[str, frozenset[str]]:
    """Return each asked-for stem with the stems of the names that would report it."""
    found: dict[str, set[str]] = {}
    for name, others in _THINGS.items():
        for word in (name, *others.split()):
            if narrower or not word.startswith("<"):
                found.setdefault(stem(word.removeprefix("<")), set()).update(words(name))
    return {word: frozenset(names) for word, names in found.items()}


_MAY_BE = _index(narrower=True)
_IS = _index(narrower=False)
_KIND_OF = {stem(word): kind for kind, listed in _KINDS.items() for word in listed.split()}


def kinds(terms: Iterable[str]) -> frozenset[str]:
    """Return the kinds of notes that the question asks for by name: speech, ocr."""
    return frozenset(_KIND_OF[term] for term in terms if term in _KIND_OF)


def subjects(terms: Iterable[str]) -> list[str]:
    """Return the terms that are not words for a kind of note."""
    return [term for term in terms if term not in _KIND_OF]


def reported_as(term: str) -> frozenset[str]:
    """Return the stems under which notes have a term: itself and its detector names."""
    return frozenset({term}) | _IS.get(term, frozenset())


def things(terms: Iterable[str]) -> list[str]:
    """Return the terms that the object detector would report in some way if they were there."""
    return [term for term in terms if term in _MAY_BE]


def may_show(terms: Iterable[str], text: str) -> bool:
    """Say whether a text has a thing that may be one of those asked for."""
    there = set(words(text))
    return any(_MAY_BE.get(term, frozenset()) & there for term in terms)


def share(terms: Collection[str], text: str) -> float:
    """Return the share of `terms` that a text has, by themselves or by their reported names."""
    there = set(words(text))
    held = sum(1 for term in terms if reported_as(term) & there)
    return held / len(terms) if terms else 0.0


_CLOCK = r"(?<![\d:.])(?:(?P<h>\d{1,2}):)?(?P<m>\d{1,2}):(?P<s>\d{2})(?![\d:])"
_PLAIN = r"(?<![\w.])(?P<n>\d+(?:\.\d+)?)\s*(?P<unit>s|secs?|seconds?|mins?|minutes?)\b"
_TIME = re.compile(f"{_CLOCK}|{_PLAIN}", re.IGNORECASE)
_VIDEO = r"(?:video|film|clip|movie|footage|recording)"
_START = re.compile(
    rf"\b(at|in|from) the (very )?(beginning|start|opening)\b|\bat first\b|"
    rf"\b(beginning|start|opening) of the {_VIDEO}\b|\bfirst (scene|shot)\b",
    re.IGNORECASE,
)
_END = re.compile(
    rf"\bat the (very )?(end|close)\b|\bend of the {_VIDEO}\b|\blast (scene|shot)\b", re.IGNORECASE
)


def without_times(question: str) -> str:
    """Return the question less the clock times and spans of seconds or minutes that it names."""
    return _TIME.sub(" ", question)


def spans_s(question: str, duration_s: float) -> list[tuple[float, float]]:
    """Return the stretches of time that a question names; none for most questions.

    Clock times, seconds and minutes stand for 8 s around them, the beginning and the end for the
    first and last tenth, at least 8 s. Times outside the video name nothing.
    """
    edge_s = max(8.0, duration_s / 10)
    spans = []
    for found in _TIME.finditer(question):
        time_s = _seconds(found)
        if time_s <= duration_s:
            spans.append((max(time_s - 4, 0.0), min(time_s + 4, duration_s)))
    if _START.search(question):
        spans.append((0.0, min(edge_s, duration_s)))
    if _END.search(question):
        spans.append((max(duration_s - edge_s, 0.0), duration_s))
    return spans


def _seconds(found: re.Match[str]) -> float:
    if found["n"]:
        return float(found["n"]) * (60 if found["unit"].lower().startswith("m") else 1)
    return 60 * (60 * int(found["h"] or 0) + int(found["m"])) + int(found["s"])
