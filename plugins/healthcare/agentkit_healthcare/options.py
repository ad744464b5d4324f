"""The domain's own settings, checked: `[plugins.healthcare]` in agentkit.toml, `--set`."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, cast

from agentkit.types import UsageError

Ask = Literal["never", "unsure", "always"]
Decoder = Literal["hmm", "monotone"]

_CHOICES: Mapping[str, Sequence[str]] = {
    "ask": ("never", "unsure", "always"),
    "decoder": ("hmm", "monotone"),
}
_BOUNDS: Mapping[str, tuple[float, float]] = {"ask_limit": (0, 10_000), "hold_s": (0, 3600)}


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may set.

    `ask` says which chunks the language model is asked about: those whose cues leave the step
    open, at most `ask_limit` of them, or all. `hold_s` is how long a step counts as going on after
    its last cue. `names` and the lines of `names_file` are hidden wherever they stand.
    """

    protocol: str = "cholec80"
    decoder: Decoder = "hmm"
    ask: Ask = "unsure"
    ask_limit: int = 8
    hold_s: float = 30.0
    names: tuple[str, ...] = ()
    names_file: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the settings, those not given by default.

        Raises:
            UsageError: a key is unknown or a value is none of those it may have.
        """
        known = [item.name for item in fields(cls)]
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise UsageError(f"healthcare has no option {key!r}; {hint}")
        values = {key: _checked(key, value) for key, value in given.items()}
        return cls(**cast(Any, values))

    @property
    def all_names(self) -> tuple[str, ...]:
        """All names to be hidden, of the list and of the file.

        Raises:
            UsageError: the file cannot be read.
        """
        if not self.names_file:
            return self.names
        path = Path(self.names_file).expanduser()
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"names_file {path}: {error}; give a text file, a name a line"
            ) from error
        return (*self.names, *(line.strip() for line in lines if line.strip()))


def _checked(key: str, value: object) -> object:
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise _wrong(key, value, f"one of {', '.join(_CHOICES[key])}")
        return value
    if key in _BOUNDS:
        return _number(key, value)
    if key == "names":
        return _names(value)
    if not isinstance(value, str) or not (value or key == "names_file"):
        raise _wrong(key, value, "a text")
    return value


def _number(key: str, value: object) -> float:
    low, high = _BOUNDS[key]
    kinds = int if key == "ask_limit" else (int, float)
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not is_number or not low <= cast(float, value) <= high:
        kind = "a whole number" if key == "ask_limit" else "a number"
        raise _wrong(key, value, f"{kind} from {low:g} to {high:g}")
    return cast(float, value)


def _names(value: object) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(n, str) for n in given):
        raise _wrong("names", value, 'a list of texts: ["Weber", "Kowalski"]')
    if any(not any(letter.isalnum() for letter in name) for name in given):
        raise _wrong("names", value, "names with at least one letter each")
    return tuple(name.strip() for name in given)


def _wrong(key: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"healthcare's option {key} is {value!r}; give {wanted}")
