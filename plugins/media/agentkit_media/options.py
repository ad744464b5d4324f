"""The domain's own settings, checked: `[plugins.media]` in agentkit.toml and `--set KEY=VALUE`."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from agentkit.types import UsageError

Range = tuple[float, float]

RANGES: Mapping[str, Range] = {
    "highlights": (1, 100),
    "judge": (0, 100),
    "cut_ratio": (1.0, 100.0),
    "cut_content": (1.0, 255.0),
    "fade_level": (1.0, 60.0),
    "min_shot_s": (0.0, 10.0),
    "flash_s": (0.0, 2.0),
    "scene_likeness": (0.0, 1.0),
    "scene_gap_s": (1.0, 600.0),
    "looks": (0, 1000),
}
LANGUAGES = ("auto", "en", "zh")


@dataclass(frozen=True, slots=True)
class Options:
    """What the rules go by. docs/media.md says what each is for."""

    highlights: int = 10  # at most so many moments
    sport: bool = False  # a score on screen that changes is a highlight
    names_language: str = "auto"  # of the names in speech: auto, en or zh
    judge: int = 0  # of so many scenes and highlights the model is asked, too
    cut_ratio: float = 3.0  # of a frame's change to that of the frames around it
    cut_content: float = 15.0  # the least change of a cut, 0..255
    fade_level: float = 12.0  # mean brightness from which on a frame is black, 0..255
    min_shot_s: float = 0.25
    flash_s: float = 0.4  # a picture that comes back sooner was lit, not left
    scene_likeness: float = 0.7  # of two shots of one scene, 0..1
    scene_gap_s: float = 30.0  # from one of them to the other, at most
    looks: int = 60  # pictures in which people are looked for, for the appearance hint

    @property
    def of_cuts(self) -> str:
        """What is seen in the frames depends on these."""
        return f"{self.cut_ratio} {self.cut_content} {self.flash_s}"

    @property
    def of_shots(self) -> str:
        return f"{self.of_cuts} {self.fade_level} {self.min_shot_s}"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Return the options with what the user gave.

        Raises:
            UsageError: a key is unknown, or a value is not of its kind or range.
        """
        known = {field.name: field.default for field in fields(cls)}
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise UsageError(f"the media domain has no option {key!r}; {hint}")
        return cls(**{key: _checked(key, value, known[key]) for key, value in given.items()})


def _checked(key: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        return _of_kind(key, value, bool, "true or false")
    if isinstance(default, str):
        if value not in LANGUAGES:
            raise UsageError(f"{key} must be one of {', '.join(LANGUAGES)}, not {value!r}")
        return value
    least, most = RANGES[key]
    whole = isinstance(default, int)
    wanted = f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # NaN is in no range
        raise UsageError(f"{key} must be {wanted}, not {value!r}")
    return value if whole else float(value)


def _of_kind(key: str, value: Any, kind: type, wanted: str) -> Any:
    if not isinstance(value, kind):
        raise UsageError(f"{key} must be {wanted}, not {value!r}")
    return value
