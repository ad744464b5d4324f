"""What the model wrote, as typed fields. Knows words of two languages; takes any rubbish."""

import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import zip_longest
from typing import Any

from agentkit_security.wording import texts

MAX_CHARS = 4000  # of what a model wrote; more is not looked at
MAX_REASON = 200

Fields = dict[str, object]

_KEYS = {
    "unusual": ("unusual", "anomaly", "anomalous", "反常", "异常"),
    "reason": ("reason", "why", "because", "原因", "理由"),
    "event": ("event", "what", "事件"),
    "who": ("who", "people", "involved", "涉及", "人物"),
    "severity": ("severity", "严重程度", "严重性", "级别"),
}
_YES = re.compile(r"^(yes|true|unusual|是|反常|异常|有)", re.IGNORECASE)
_NO = re.compile(r"^(no\b|not\b|false|usual|normal|否|不|正常|无|没有)", re.IGNORECASE)
_NOTHING = re.compile(r"^(none|nothing|no event|no|n/a|null|无|没有|没有事件)\W*$", re.IGNORECASE)
_GRAVE = (
    ("3", ("alarm", "high", "critical", "警报", "严重")),
    ("2", ("worth a look", "medium", "moderate", "值得查看", "中等")),
    ("1", ("little", "low", "minor", "轻微")),
    ("0", ("nothing", "none", "无事", "无")),
)
_ALL_KEYS = sorted((word for words in _KEYS.values() for word in words), key=len, reverse=True)
_LINE = re.compile(
    rf"(?:^|[\n;；])[\s*_\-\d.)\"']*({'|'.join(map(re.escape, _ALL_KEYS))})[\s*_\"']*[:：=]",
    re.IGNORECASE,
)


def anomaly_fields(text: str) -> Fields:
    """Return {"unusual": bool or None, "reason": str}."""
    values = _values(text, "anomaly")
    unusual = _yes_or_no(values.get("unusual"))
    said = _json(text[:MAX_CHARS]) or _lines(text[:MAX_CHARS])
    if unusual is None and said.keys().isdisjoint(_KEYS["unusual"]):  # "No. It is as before."
        unusual = _yes_or_no(text.strip())
    return {"unusual": unusual, "reason": _text(values.get("reason"))}


def event_fields(text: str) -> Fields:
    """Return {"event": str or None, "who": list of str, "severity": 0..3 or None}."""
    values = _values(text, "event")
    event = _text(values.get("event"))
    return {
        "event": None if not event or _NOTHING.match(event) else event,
        "who": _names(values.get("who")),
        "severity": _severity(values.get("severity")),
    }


def _values(text: str, task: str) -> Mapping[str, Any]:
    """Return the values that were written, by our names of them: from JSON, else from lines.

    What only says the instruction again is no value.
    """
    text = text[:MAX_CHARS]
    written = _json(text) or _lines(text)
    values = {
        name: written[word] for name, words in _KEYS.items() for word in words if word in written
    }
    return {name: value for name, value in values.items() if value not in _asked_for(task)}


@cache
def _asked_for(task: str) -> tuple[str, ...]:
    """Return what the instructions of a task say of its values, in each language."""
    instructions = [texts()(f"task.{task}.instruction", one) for one in texts().languages]
    return tuple(value for one in instructions for value in _lines(one).values())


def _json(text: str) -> dict[str, Any]:
    """Return the first JSON object in a text, its keys in small letters; {} where there is none."""
    start = text.find("{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return {}
    return (
        {str(key).lower().strip(): value[key] for key in value} if isinstance(value, dict) else {}
    )


def _lines(text: str) -> dict[str, Any]:
    """Return what stands after each "key:", to its line's end or the next key; the first counts."""
    values: dict[str, Any] = {}
    found = list(_LINE.finditer(text))
    for key, following in zip_longest(found, found[1:]):
        rest = text[key.end() : following.start() if following else len(text)]
        values.setdefault(key.group(1).lower(), rest.strip().partition("\n")[0])
    return values


def _yes_or_no(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    word = value.strip(" \t\n\r*_\"'`“”.")
    return True if _YES.match(word) else False if _NO.match(word) else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    printed = "".join(c for c in value if c.isprintable())
    return printed.strip(" *_\"'`“”,{}")[:MAX_REASON]


def _names(value: Any) -> list[str]:
    parts = (
        value
        if isinstance(value, list)
        else re.split(r"[,，、]", value)
        if isinstance(value, str)
        else []
    )
    names = [_text(part).strip("[]") for part in parts]
    return [name for name in names if name and not _NOTHING.match(name)][:20]


def _severity(value: Any) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if value in (0, 1, 2, 3) else None
    if not isinstance(value, str):
        return None
    number = re.match(r"\D{0,3}(\d+)(?![\d.])", value)
    if number:
        return int(number.group(1)) if number.group(1) in "0123" else None
    low = value.lower()
    return next((int(n) for n, words in _GRAVE if any(word in low for word in words)), None)
