"""What the language model wrote, as typed fields of the task. No text makes it fail."""

import difflib
import re
from collections.abc import Mapping, Sequence

from agentkit_healthcare.cues import folded, found
from agentkit_healthcare.lexicon import named_in

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TASKS = ("step", "instruments", "checklist", "summary")
MAX_CHARS = 4000  # of an answer that is read
NEAR = 0.75  # how alike a name and the words written for it must be

_MARK = r"(?:(?P<letter{0}>[A-Z])(?![A-Za-z0-9'])|(?P<number{0}>\d{{1,3}})(?![\d.]*\d))"
_SAID = (
    r"(?:the\s+)?(?:answer|option|step|phase|choice|选项|步骤|答案)"
    r"\s*(?:is|[:\uff1a]|是)?\s*[(\[\"']?"
)
_PICK = re.compile(
    rf"\W*(?:{_SAID}{_MARK.format(1)}|{_MARK.format(2)}\s*(?:[)\].:,、。\uff1a\uff0e]|$))",
    re.IGNORECASE,
)
_YES = re.compile(r"\s*(?:yes|yeah|true|done|ja)\b|\s*(?:是|有|已|做了|完成)", re.IGNORECASE)
_NO = re.compile(r"\s*(?:no|not|false|nein|none)\b|\s*(?:否|不|没|未|无)", re.IGNORECASE)


def fields_of(task: str, text: str, options: Sequence[str]) -> Mapping[str, object]:
    """Return the fields of one of our tasks; nothing for a person's question."""
    text = text[:MAX_CHARS]
    if task == "step":
        return step_of(text, options)
    if task == "instruments":
        return {"instruments": named_in(text)}
    if task == "checklist":
        return {"done": done_of(text)}
    return {"summary": text.strip()} if task == "summary" else {}


def step_of(text: str, options: Sequence[str]) -> dict[str, object]:
    """Return which option is meant, by letter, number, name or near name; the last one is none.

    `step` is the option's text, `number` its place from 0 on; `confidence` says how plainly it is
    named: 1 by name, 0.8 by its letter or number alone, 0.5 by a name that is only near.
    """
    number, confidence = _picked(text, options)
    if number is None or number >= len(options) - 1:
        return {"step": None, "number": None, "confidence": confidence}
    return {"step": options[number], "number": number, "confidence": confidence}


def done_of(text: str) -> bool | None:
    """Return whether the text begins with yes or no; None where it says neither."""
    if _NO.match(text):
        return False
    return True if _YES.match(text) else None


def _picked(text: str, options: Sequence[str]) -> tuple[int | None, float]:
    named = [n for n, option in enumerate(options) if found([option], text)]
    longest = [n for n in named if not _is_part(options[n], [options[m] for m in named if m != n])]
    if len(longest) == 1:
        return longest[0], 1.0
    pick = _PICK.match(text.strip())
    if pick and not longest:
        letter = pick["letter1"] or pick["letter2"]
        number = LETTERS.index(letter.upper()) if letter else int(pick[2] or pick[4]) - 1
        if 0 <= number < len(options):
            return number, 0.8
    return _nearest(text, options) if not longest else (None, 0.0)


def _is_part(name: str, others: Sequence[str]) -> bool:
    return any(folded(name) in folded(other) for other in others)


def _nearest(text: str, options: Sequence[str]) -> tuple[int | None, float]:
    """Return the option that the first line's words are nearest to, if near enough."""
    line = folded(text.strip().partition("\n")[0])[:200]
    names = [folded(option) for option in options]
    near = difflib.get_close_matches(line, names, 1, NEAR) if line else []
    return (names.index(near[0]), 0.5) if near else (None, 0.0)
