"""A procedure's protocol: its steps in order, what tells each, and what safety asks for.

Read from a TOML file, shipped ones by name. Knows no video.
"""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from agentkit.types import UsageError

FALLBACK = "en"
CUE_KEYS = ("words", "text", "objects")
_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
_FILE_KEYS = ("title", "source", "step", "check")
_STEP_KEYS = ("id", "name", "label", "cues", "optional", "may_repeat", "min_s", "max_s")
_CHECK_KEYS = ("id", "name", "cues", "before", "source")


@dataclass(frozen=True, slots=True)
class Cues:
    """What tells that something is going on, in all languages of the file.

    `words` are said or shown, `text` only stands on screen, `objects` are instruments and other
    things, seen or named.
    """

    words: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a procedure; `min_s` and `max_s` bound how long it usually takes."""

    id: str
    names: Mapping[str, str]  # by language
    label: str  # its name in the field's own files
    cues: Cues = field(default_factory=Cues)
    optional: bool = False
    may_repeat: bool = False
    min_s: float = 0.0
    max_s: float | None = None

    def name(self, language: str) -> str:
        return self.names.get(language, self.names[FALLBACK])


@dataclass(frozen=True, slots=True)
class Check:
    """One item of the safety checklist; it is due before the step `before` begins."""

    id: str
    names: Mapping[str, str]
    cues: Cues
    before: str = ""  # a step's id; "" is due at any time

    def name(self, language: str) -> str:
        return self.names.get(language, self.names[FALLBACK])


@dataclass(frozen=True, slots=True)
class Protocol:
    """A procedure; `digest` changes with every letter of its file."""

    id: str
    titles: Mapping[str, str]
    source: str
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    digest: str

    def title(self, language: str) -> str:
        return self.titles.get(language, self.titles[FALLBACK])

    def index(self, step_id: str) -> int:
        """Return a step's place in the order."""
        return [step.id for step in self.steps].index(step_id)

    def step(self, step_id: str) -> Step:
        return self.steps[self.index(step_id)]


@cache
def shipped() -> tuple[str, ...]:
    """Return the names of the protocols that come with the plugin."""
    folder = files("agentkit_healthcare") / "protocols"
    names = (item.name for item in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load(name: str) -> Protocol:
    """Return a shipped protocol by its name, or the one of a file by its path.

    Raises:
        UsageError: there is none, or the file breaks a rule; names file, step and remedy.
    """
    if name in shipped():
        return _shipped(name)
    path = Path(name).expanduser()
    if not path.is_file():
        near = difflib.get_close_matches(name, shipped(), 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"no protocol {name!r}: {hint}name one of {', '.join(shipped())}, or a TOML file"
        )
    try:
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text ({error}); save it as UTF-8") from error


@cache
def _shipped(name: str) -> Protocol:
    text = (files("agentkit_healthcare") / "protocols" / f"{name}.toml").read_text("utf-8")
    return parse(text, f"{name}.toml")


def parse(text: str, name: str) -> Protocol:
    """Return the protocol that a file's text says; `name` stands in the errors.

    Raises:
        UsageError: the text breaks a rule; names file, step and remedy.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: no TOML ({error}); see docs/healthcare.md") from error
    return _Reader(name).protocol(table, hashlib.sha256(text.encode()).hexdigest())


class _Reader:
    """Tables to values, every error with the file's name and the place in it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def protocol(self, table: Mapping[str, Any], digest: str) -> Protocol:
        self._only(table, _FILE_KEYS, "the file")
        steps = self._list(table, "step", self._step)
        if not steps:
            raise self._error("the file", "has no step; add a [[step]] with id and name")
        self._unique([step.id for step in steps], "step")
        checks = self._list(table, "check", lambda item, at: self._check(item, at, steps))
        self._unique([check.id for check in checks], "check")
        titles = self._names(table, "title", "the file")
        source = self._text(table, "source", "the file", "")
        return Protocol(Path(self._name).stem, titles, source, steps, checks, digest)

    def _step(self, table: Mapping[str, Any], at: str) -> Step:
        step_id = self._id(table, at)
        at = f"step {step_id!r}"
        self._only(table, _STEP_KEYS, at)
        names = self._names(table, "name", at)
        bounds = self._bounds(table, at)
        optional, may_repeat = (self._flag(table, key, at) for key in ("optional", "may_repeat"))
        label = self._text(table, "label", at, re.sub(r"\W", "", names[FALLBACK].title()))
        cues = self._cues(table, at)
        return Step(step_id, names, label, cues, optional, may_repeat, *bounds)

    def _check(self, table: Mapping[str, Any], at: str, steps: Sequence[Step]) -> Check:
        check_id = self._id(table, at)
        at = f"check {check_id!r}"
        self._only(table, _CHECK_KEYS, at)
        before = self._text(table, "before", at, "")
        known = [step.id for step in steps]
        if before and before not in known:
            raise self._error(
                at, f"is due before {before!r}, which is no step; {_near(before, known)}"
            )
        cues = self._cues(table, at)
        if cues == Cues():
            raise self._error(at, "has no cues: nothing could tell it; add check.cues.en")
        return Check(check_id, self._names(table, "name", at), cues, before)

    def _cues(self, table: Mapping[str, Any], at: str) -> Cues:
        found: dict[str, list[str]] = {key: [] for key in CUE_KEYS}
        for language, cues in self._table(table, "cues", at).items():
            place = f"{at}, cues.{language}"
            if not isinstance(cues, Mapping):
                raise self._error(place, f"is no table; write [step.cues.{language}]")
            self._only(cues, CUE_KEYS, place)
            for key, phrases in cues.items():
                found[key] += self._phrases(phrases, f"{place}.{key}")
        return Cues(*(tuple(dict.fromkeys(found[key])) for key in CUE_KEYS))

    def _phrases(self, phrases: object, at: str) -> list[str]:
        items = phrases if isinstance(phrases, list) else [phrases]
        texts = [item for item in items if isinstance(item, str)]
        if items is not phrases or len(texts) != len(items):
            raise self._error(at, 'is no list of texts; write ["one", "another"]')
        if any(not any(letter.isalnum() for letter in text) for text in texts):
            raise self._error(at, "has a cue without a letter: it would be found everywhere")
        return texts

    def _bounds(self, table: Mapping[str, Any], at: str) -> tuple[float, float | None]:
        low, high = table.get("min_s", 0.0), table.get("max_s")
        for key, value in (("min_s", low), ("max_s", high)):
            if value is not None and (not _is_number(value) or not 0 <= value < 1e6):
                raise self._error(at, f"{key} is {value!r}; give seconds, 0 or more")
        if high is not None and high < max(low, 1e-3):
            raise self._error(at, f"max_s {high:g} is below min_s {low:g}; exchange them")
        return float(low), None if high is None else float(high)

    def _id(self, table: Mapping[str, Any], at: str) -> str:
        value = table.get("id")
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise self._error(at, f"id is {value!r}; use small letters, digits and hyphens")
        return value

    def _names(self, table: Mapping[str, Any], key: str, at: str) -> dict[str, str]:
        names = self._table(table, key, at)
        wrong = [k for k, v in names.items() if not isinstance(v, str) or not v.strip()]
        if FALLBACK not in names or wrong:
            raise self._error(at, f'needs its {key} in English: {key}.en = "..."')
        return {language: name.strip() for language, name in names.items()}

    def _text(self, table: Mapping[str, Any], key: str, at: str, default: str) -> str:
        value = table.get(key, default)
        if not isinstance(value, str):
            raise self._error(at, f"{key} is {value!r}; give a text")
        return value

    def _flag(self, table: Mapping[str, Any], key: str, at: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self._error(at, f"{key} is {value!r}; write true or false")
        return value

    def _table(self, table: Mapping[str, Any], key: str, at: str) -> Mapping[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, Mapping):
            raise self._error(at, f'{key} is no table; write {key}.en = "..."')
        return value

    def _list(
        self, table: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], str], Any]
    ) -> tuple[Any, ...]:
        items = table.get(key, [])
        if not _is_list(items) or not all(isinstance(item, Mapping) for item in items):
            raise self._error("the file", f"{key} is no list of tables; write [[{key}]]")
        return tuple(read(item, f"{key} {n}") for n, item in enumerate(items, start=1))

    def _unique(self, ids: Sequence[str], what: str) -> None:
        twice = [item for item in ids if ids.count(item) > 1]
        if twice:
            raise self._error(f"{what} {twice[0]!r}", "stands twice; give each its own id")

    def _only(self, table: Mapping[str, Any], known: Sequence[str], at: str) -> None:
        for key in table:
            if key not in known:
                raise self._error(at, f"has the unknown key {key!r}; {_near(key, known)}")

    def _error(self, at: str, problem: str) -> UsageError:
        return UsageError(f"{self._name}: {at}: {problem}")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
