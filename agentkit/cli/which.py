"""The options that say which videos, and which of their seconds, a command is about."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from agentkit.types import Where, Which

Collection = Annotated[
    str | None, typer.Option("--collection", metavar="NAME", help="Only videos of this collection.")
]
OfDomain = Annotated[
    str | None,
    typer.Option("--of-domain", metavar="NAME", help="Only videos ingested with this domain."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="T", help="Only videos with this tag; may be repeated."),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="Only from here on: seconds, MM:SS or H:MM:SS."),
]
To = Annotated[str | None, typer.Option("--to", metavar="T", help="Only up to here.")]


def which(
    collection: str | None = None, domain: str | None = None, tags: list[str] | None = None
) -> "Which":
    """Return what the options say of videos; what was not given is left out."""
    given: dict[str, Any] = {"collection": collection, "domain": domain, "tags": tuple(tags or ())}
    return cast("Which", {key: value for key, value in given.items() if value})


def where(of: "Which", start: str | None = None, end: str | None = None) -> "Where":
    """Return the same, and the times.

    Raises:
        TimeRangeError: what was given is no time.
    """
    from agentkit.checks import parse_time

    given = {"start_s": start, "end_s": end}
    times = {key: parse_time(value) for key, value in given.items() if value is not None}
    return cast("Where", {**of, **times})
