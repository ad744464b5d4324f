"""Instruments by name, out of instruments.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agentkit_healthcare.cues import folded, found


@dataclass(frozen=True, slots=True)
class Instrument:
    """One kind of instrument: its names by language, the first to be shown, and COCO's class."""

    id: str
    names: Mapping[str, tuple[str, ...]]
    coco: tuple[str, ...] = ()

    def name(self, language: str) -> str:
        return self.names.get(language, self.names["en"])[0]

    @property
    def all_names(self) -> tuple[str, ...]:
        return tuple(name for names in self.names.values() for name in names)


@cache
def instruments() -> tuple[Instrument, ...]:
    """Return all instruments of the lexicon, in its order."""
    text = (files("agentkit_healthcare") / "instruments.toml").read_text("utf-8")
    return tuple(
        Instrument(
            name,
            {language: tuple(names) for language, names in entry.items() if language != "coco"},
            tuple(entry.get("coco", ())),
        )
        for name, entry in tomllib.loads(text).items()
    )


def named_in(text: str) -> list[str]:
    """Return the ids of the instruments that a text names, in the lexicon's order.

    "Harmonic scalpel" names no scalpel: of names that lie in each other the longest counts.
    """
    here = found(_owners(), text)
    every = [folded(name) for name in here]
    named = {_owners()[name] for name in here if not _inside_another(folded(name), every)}
    return [item.id for item in instruments() if item.id in named]


@cache
def _owners() -> dict[str, str]:
    """Return whose name each name is."""
    return {name: item.id for item in instruments() for name in item.all_names}


def _inside_another(name: str, every: list[str]) -> bool:
    return any(name != other and f" {name} " in f" {other} " for other in every)
