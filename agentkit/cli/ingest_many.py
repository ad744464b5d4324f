"""`ingest --executor ray`: several videos at once, each under a bar of its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agentkit.cli import show
from agentkit.cli.ingest import Bar, failed_event, file_errors, line_of, progress_bars
from agentkit.executors.ray_encoders import Encoders, How, Ingested, Step
from agentkit.types import IngestEvent

if TYPE_CHECKING:
    from rich.progress import Progress

    from agentkit.config import Settings


def ingest_many(settings: "Settings", files: Sequence[str], how: How, as_json: bool) -> int:
    """Ingest files through Ray and tell how it goes; return how many failed."""
    with Encoders(settings) as encoders:
        steps = encoders.ingest(files, how)
        if as_json:
            return sum(_tell_as_json(steps))
        with progress_bars() as progress:
            return sum(_tell_people(steps, progress))


def _tell_as_json(steps: Iterator[Step]) -> Iterator[bool]:
    """Print the events of all files as they come; yield for each file whether it failed."""
    from agentkit import json_forms

    last: dict[str, IngestEvent] = {}
    for path, step in steps:
        if isinstance(step, IngestEvent):
            last[path] = step
            if step.event not in ("stage", "error"):
                show.as_json(json_forms.event(step))
            continue
        error = _file_error(step)
        if error is not None:
            before = last.get(path, IngestEvent("start", "", path))
            show.as_json(json_forms.event(failed_event(before, error)))
            show.error(str(error))
        yield error is not None


def _tell_people(steps: Iterator[Step], progress: "Progress") -> Iterator[bool]:
    """Draw a bar for each file in work, then print its line; yield for each whether it failed."""
    bars: dict[str, Bar] = {}
    last: dict[str, IngestEvent] = {}
    for path, step in steps:
        if path not in bars:
            bars[path] = Bar(progress, show.printable(Path(path).name))
        if isinstance(step, IngestEvent):
            last[path] = step
            bars[path].draw(step)
            continue
        bars.pop(path).end()
        progress.stop()  # it is on stderr, and lines may go to the same terminal
        error = _file_error(step)
        if error is not None:
            show.error(str(error))
        elif step.video is not None:
            typer.echo(line_of(step.video, last.get(path, IngestEvent("start", "", path))))
        progress.start()
        yield error is not None


def _file_error(ended: Ingested) -> Exception | None:
    """Return what is wrong with this file; what would be wrong with all of them is raised."""
    if ended.error is not None and not isinstance(ended.error, file_errors()):
        raise ended.error
    return ended.error
