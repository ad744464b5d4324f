"""What the model is asked, and what its raw text comes to: typed fields for each task.

Whatever stands in the text, nothing raises: a field that cannot be read is None, or an empty list.
Times that the model writes are never read; where an answer comes from is the evidence's to say.
"""

import re
from collections.abc import Callable, Mapping

from agentkit.types import Answer, Evidence, Question
from agentkit_media.mood import MOODS, NEUTRAL
from agentkit_media.wording import texts

LETTERS = 10_000  # of a text that are read
FIELD_LETTERS = 200
MAX_THEMES = 5
MAX_NAMES = 20
LIST_WORDS = 4  # of each part of a list in one line
OPTION_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_LABELS = {
    "place": ("place", "location", "where", "地点", "场所"),
    "people": ("people", "person", "persons", "who", "characters", "人物", "人"),
    "action": ("action", "actions", "what", "动作", "行动"),
    "mood": ("mood", "atmosphere", "气氛", "情绪"),
    "score": ("score", "rating", "分数", "得分", "评分"),
    "reason": ("reason", "why", "理由", "原因"),
}
_OF_LABEL = {label: field for field, labels in _LABELS.items() for label in labels}
_LINE = re.compile(
    rf"^[\s*#>-]*({'|'.join(sorted(_OF_LABEL, key=len, reverse=True))})[\s*]*[:：][\s*]*(.*)$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^\s*(?:[-*\u2022\u00b7\u2013]+|\d{1,2}[.)、])\s*(.+)$")
_NOTHING = re.compile(
    r"^(?:none|no one|nobody|nothing|unknown|not (?:known|specified|given|mentioned|clear|stated)"
    r"|n/?a|-+|无|没有|未知|不明|不详|where it is|who is there|what they do|在哪里|有谁|在做什么"
    r"|one short sentence|一句短句)\W*$",
    re.IGNORECASE,
)
_SCORE = re.compile(r"(?<![\d.\-])(\d{1,3}(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d{1,3}))?(?![\d.]*\d)")
_ALONE = re.compile(r"^\W*\d{1,3}(?:\.\d+)?(?:\s*(?:/|out of)\s*\d{1,3})?\W*$")
_MOOD_WORDS: Mapping[str, str] = {
    **{mood: mood for mood in (*MOODS, NEUTRAL)},
    **dict(zip(("平静", "活泼", "紧张", "欢快", "阴沉", "中性"), (*MOODS, NEUTRAL), strict=True)),
    "happy": "cheerful",
    "somber": "sombre",
    "serene": "calm",
    "peaceful": "calm",
}


def prompt(question: Question, encoder: str) -> str | None:
    """Return the text after the video; None where the defaults ask as well."""
    if encoder != "notes":
        return None  # no lines stand above where the model sees the pictures
    say, language = texts(), question.language
    known = question.task in PARSERS
    instruction = say("prompt.task" if known else "prompt.instruction", language)
    # A small model keeps to a form that stands last, and forgets one before the question.
    form = [say(f"task.{question.task}.form", language)] if known else []
    options = [
        f"{letter}. {text}" for letter, text in zip(OPTION_LETTERS, question.options, strict=False)
    ]
    return "\n".join(
        [instruction, f"{say('prompt.question', language)} {question.text}", *options, *form]
    )


def answer(question: Question, text: str, evidence: Evidence) -> Answer | None:
    """Return the answer to one of the domain's own questions, None for a person's."""
    parse = PARSERS.get(question.task)
    if parse is None:
        return None
    return Answer(
        question,
        text.strip(),
        evidence.citations,
        evidence.coverage,
        fields=parse(_clean(text)),
        supported=evidence.supported,
    )


def _clean(text: str) -> str:
    """Return the text without what cannot be printed, and not all of a huge one."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text[:LETTERS])


def _summary(text: str) -> dict[str, object]:
    said = " ".join(text.split())
    return {"summary": said if _has_words(said) else None}


def _scene(text: str) -> dict[str, object]:
    found = _labelled(text)
    place, action = found.get("place", ""), found.get("action", "")
    return {
        "place": place if _is_text(place) else None,
        "people": list(dict.fromkeys(filter(_is_text, _parted(found.get("people", ""))))),
        "action": action if _is_text(action) else None if found else _sentence(text),
        "mood": _mood(found.get("mood", "")),
    }


def _highlight(text: str) -> dict[str, object]:
    found = _labelled(text)
    # A number in a sentence is no score: "with 4 cuts" is what a model writes.
    said = found.get("score") or (text if _ALONE.match(text) else "")
    reason = found.get("reason", "")
    return {"score": _score(said), "reason": reason if _is_text(reason) else None}


def _themes(text: str) -> dict[str, object]:
    return {"themes": [item for item in _items(text) if len(item.split()) <= 12][:MAX_THEMES]}


def _names(text: str) -> dict[str, object]:
    names = [re.split(r"\s*[(:：（,，]", item)[0].strip() for item in _items(text)]
    return {"names": list(dict.fromkeys(filter(_like_a_name, names)))[:MAX_NAMES]}


PARSERS: Mapping[str, Callable[[str], dict[str, object]]] = {
    "summary": _summary,
    "scene": _scene,
    "highlight": _highlight,
    "theme": _themes,
    "character": _names,
}


def _labelled(text: str) -> dict[str, str]:
    """Return the first value of each label: "Place: a street"; empty ones are left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            value = match[2][:FIELD_LETTERS].strip(" *").rstrip(".\u3002").strip()
            if not _NOTHING.match(value):
                found.setdefault(_OF_LABEL[match[1].lower()], value)
    return found


def _sentence(text: str) -> str | None:
    """Return the first sentence of a text without the form that was asked for."""
    said = " ".join(text.split())
    first = re.split(r"(?<=[.!?])\s|(?<=[\u3002\uff01\uff1f])", said)[0][:FIELD_LETTERS]
    is_said = re.match(r"[^\W\d_][^{}<>\[\]=|\\]*$", first)
    is_long = len(first.split()) >= 4 or len(re.findall("[\u4e00-\u9fff]", first)) >= 4
    return first.rstrip(".\u3002") if is_said and is_long else None


def _mood(text: str) -> str | None:
    """Return the one mood that is named; of several, or of none, nothing."""
    low = text.lower()
    named = {mood for word, mood in _MOOD_WORDS.items() if _stands_in(word, low)}
    return named.pop() if len(named) == 1 else None


def _stands_in(word: str, text: str) -> bool:
    if not word.isascii():
        return word in text
    return re.search(rf"\b{word}\b", text) is not None


def _score(text: str) -> int | None:
    """Return the first number of 0..10, or of another scale that is named, as 0..10."""
    match = _SCORE.search(text)
    if match is None:
        return None
    value, most = float(match[1]), float(match[2] or 10)
    if most <= 0 or value > most:
        return None
    return round(value / most * 10)


def _items(text: str) -> list[str]:
    """Return the lines that begin with a dash or number; else the parts of a line that is a list.

    A sentence is no list: a part of it is long.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    items = [match[1] for line in lines if (match := _ITEM.match(line))]
    if not items and len(lines) == 1:
        parts = _parted(lines[0])
        items = parts if all(len(part.split()) <= LIST_WORDS for part in parts) else []
    cleaned = [item.strip(' *.\u3002"\u201c\u201d').strip()[:FIELD_LETTERS] for item in items]
    kept = [item for item in cleaned if _is_text(item) and not _NOTHING.match(item)]
    first: dict[str, str] = {}
    for item in kept:
        first.setdefault(item.casefold(), item)
    return list(first.values())


def _parted(text: str) -> list[str]:
    """Part a list; "left and right" is one thing, "a man and a dog" are two."""
    parts = re.split(r"\s*(?:[,，、;；]|\band\b(?=\s+(?:an?|the|one|two|three|\d+)\b))\s*", text)
    return [part.strip() for part in parts if part.strip()]


def _like_a_name(text: str) -> bool:
    """Say whether a text could be a name: a few capitalised words, or two to four characters."""
    if re.fullmatch("[\u4e00-\u9fff·]{2,8}", text):
        return True
    words = text.split()
    return 0 < len(words) <= 5 and words[0][:1].isupper() and not re.search(r"[\d<>{}\[\]=]", text)


def _is_text(text: str) -> bool:
    """Say whether a text has words, and no marks of a form that a machine would read."""
    return any(c.isalpha() for c in text) and not re.search(r"[{}<>\[\]=|\\]", text)


def _has_words(text: str) -> bool:
    return any(c.isalnum() for c in text)
