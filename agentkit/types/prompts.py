"""Prompts as data: one TOML file a language, the same names in each."""

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self

FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Prompts:
    """Texts by language and name: `[task.step] question = "..."` is "task.step.question".

    A text may hold `{placeholders}`, plain names only. A language without a text falls back to
    English.
    """

    texts: Mapping[str, Mapping[str, str]]

    @classmethod
    def load(cls, package: str, folder: str = "prompts") -> Self:
        """Read `FOLDER/LANGUAGE.toml` of an importable package."""
        items = (files(package) / folder).iterdir()
        found = [item for item in items if item.name.endswith(".toml")]
        return cls(
            {
                item.name.removesuffix(".toml"): dict(_flat(tomllib.loads(item.read_text("utf-8"))))
                for item in sorted(found, key=lambda item: item.name)
            }
        )

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(self.texts))

    def __call__(self, name: str, language: str = FALLBACK, /, **values: object) -> str:
        """Return a text with its placeholders filled.

        Raises:
            KeyError: there is no such text, or a placeholder is not given.
        """
        text = self.texts.get(language, {}).get(name)
        template = self.texts[FALLBACK][name] if text is None else text
        return string.Formatter().vformat(template, (), values)

    def placeholders(self, name: str, language: str = FALLBACK) -> frozenset[str]:
        """Return which values a text asks for."""
        parsed = string.Formatter().parse(self.texts[language][name])
        return frozenset(field for _, field, _, _ in parsed if field is not None)


def _flat(table: Mapping[str, Any], prefix: str = "") -> "list[tuple[str, str]]":
    pairs: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, str(value).strip()))
    return pairs
