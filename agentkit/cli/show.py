"""How values look to people: times, names, citations, tables."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from agentkit.types import Citation, Coverage, StoredVideo

SHORT_ID = 12  # characters of a video id that people see


def clock(seconds: float) -> str:
    """Return a time as MM:SS, or H:MM:SS from an hour on; fractions are cut off."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def printable(text: str) -> str:
    """Return text from a video or a file name without what could command a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def error(message: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    typer.echo(f"error: {printable(message)}", err=True)


def remark(message: str) -> None:
    """Say on stderr what is no part of the answer."""
    typer.echo(printable(message), err=True)


def as_json(form: Mapping[str, Any]) -> None:
    """Print one object in one line; ASCII, so that no terminal or pipe can break it."""
    typer.echo(json.dumps(form))


def name_of(video: "StoredVideo") -> str:
    """Return what people call a video: its file's name."""
    return printable(PurePath(video.path).name) or video.video_id[:SHORT_ID]


def span(start_s: float, end_s: float) -> str:
    return f"{clock(start_s)}-{clock(end_s)}"


def citation(cite: "Citation", names: Mapping[str, str]) -> str:
    """Return `[name 00:12-00:20] why`; `names` by video id."""
    name = names.get(cite.video_id, cite.video_id[:SHORT_ID])
    return f"[{name} {span(cite.start_s, cite.end_s)}] {printable(cite.why)}"


def coverage(seen: "Coverage") -> Iterable[str]:
    """Yield the lines that say what an answer rests on."""
    whole = f"{len(seen.dense_chunks)} of {seen.chunks} chunks read whole"
    frames = f"{seen.frames_seen} of {seen.frames_in_file} frames"
    step = f"one every {seen.step_s:g} s"
    seconds = f"{sum(seen.seconds.values()):.1f} s"
    looked = ", ".join(seen.instruments) or "no instrument"
    yield f"seen: {frames} ({step}) by {looked}; {whole}; {seen.engine}; {seconds}"
    if seen.tier == "frames":
        yield "tier: frames; its tokens could not be read, and were made again from the file"
    if seen.reading:
        yield f"read: {seen.reading}"
    for reason in seen.missing:
        yield f"not seen: {reason}"


def size(nbytes: int) -> str:
    """Return bytes as people read them, in powers of a thousand."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.1f} {unit}"
    return f"{nbytes} B"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell; the last column is left ragged."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())


def stream_is_terminal() -> bool:
    """Return whether stdout is read by a person as it is written."""
    return sys.stdout.isatty()
