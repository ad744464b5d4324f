"""The domain's texts by name and language, and times as people read them."""

from functools import lru_cache

from agentkit.types import Prompts


@lru_cache(maxsize=1)
def texts() -> Prompts:
    """Return the prompts and words of this domain, read once."""
    return Prompts.load("agentkit_media")


class Words:
    """The words of a report in one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, name: str, **values: object) -> str:
        return texts()(f"report.{name}", self.language, **values)

    def listed(self, parts: "list[str] | tuple[str, ...]") -> str:
        return ("、" if self.language == "zh" else ", ").join(parts)


def clock(time_s: float) -> str:
    """Return 75.4 as "01:15", 3675 as "1:01:15"."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def span(start_s: float, end_s: float) -> str:
    """Return a span as people read it; to the tenth where it lasts no more than a few seconds."""
    if end_s - start_s >= 10:
        return f"{clock(start_s)}\u2013{clock(end_s)}"
    return f"{_tenths(start_s)}\u2013{_tenths(end_s)}"


def _tenths(time_s: float) -> str:
    tenths = round(time_s * 10)
    return f"{clock(tenths / 10)}.{tenths % 10}"


def short(text: str, letters: int = 80) -> str:
    """Return a text of at most so many letters."""
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}\u2026"
