"""The words of a page, in the report's language, and how times and spans are written."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from agentkit.types import Prompts


@cache
def texts() -> Prompts:
    """Return the words of all languages, read once."""
    return Prompts.load("agentkit.reports", folder="words")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; what it lacks is said in English."""

    language: str = "en"

    def __call__(self, name: str, /, **values: object) -> str:
        return texts()(name, self.language, **values)

    def listed(self, names: Iterable[str]) -> str:
        """Return names one after the other, as the language parts them."""
        return ("\u3001" if self.language == "zh" else ", ").join(names)

    def named(self, group: str, name: str) -> str:
        """Return the word for a name of ours in `group`, or the name itself where it has none."""
        key = f"{group}.{name}"
        known = texts().texts
        return self(key) if key in known.get(self.language, {}) or key in known["en"] else name


def clock(seconds: float) -> str:
    """Return a time as MM:SS, or H:MM:SS from an hour on; fractions are cut off."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def span(start_s: float, end_s: float) -> str:
    """Return "00:12\u201300:20", or one time where both are the same on the clock."""
    start, end = clock(start_s), clock(end_s)
    return start if start == end else f"{start}\u2013{end}"


def number(value: float) -> str:
    """Return a number with at most one digit behind the point, and none where it is 0."""
    return f"{value:.1f}".removesuffix(".0")
