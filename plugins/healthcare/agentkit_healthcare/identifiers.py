"""Texts that tell who somebody is, by their form: numbers, dates, addresses. Rules, no model.

The list is that of the Safe Harbor method, 45 CFR 164.514(b)(2)(i); docs/healthcare.md says of each
identifier how far it is handled. A year alone may stay; times of day stay.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Rule:
    """What an identifier looks like, and what stands in its place."""

    pattern: re.Pattern[str]
    mark: str

    def hidden(self, text: str) -> str:
        return self.pattern.sub(lambda found: self._kept(found) + self.mark, text)

    def _kept(self, found: re.Match[str]) -> str:
        return found.groupdict().get("keep") or ""


@cache
def rules() -> tuple[Rule, ...]:
    """Return the rules of identifiers.toml, in its order."""
    text = (files("agentkit_healthcare") / "identifiers.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return tuple(
        Rule(re.compile(_whole(rule["pattern"], table["parts"]), re.I | re.X), rule["mark"])
        for rule in table["rule"]
    )


def hidden(text: str) -> str:
    """Return a text with every identifier of a known form replaced, in one pass."""
    for rule in rules():
        text = rule.hidden(text)
    return text


def _whole(pattern: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        pattern = pattern.replace(f"<<{name}>>", part)
    return pattern
