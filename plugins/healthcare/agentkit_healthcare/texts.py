"""The plugin's words by language, and how times are written in them."""

from functools import cache

from agentkit.types import Prompts


@cache
def prompts() -> Prompts:
    return Prompts.load("agentkit_healthcare")


def word(name: str, language: str, **values: object) -> str:
    """Return one of the report's words."""
    return prompts()(f"report.{name}", language, **values)


def clock(time_s: float) -> str:
    """Return minutes and seconds, and hours where there are any: "02:05", "1:02:05"."""
    whole = int(time_s)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def span(start_s: float, end_s: float) -> str:
    return f"{clock(start_s)}\u2013{clock(end_s)}"
