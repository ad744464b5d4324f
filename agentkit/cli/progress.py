"""Bars on stderr; nothing is drawn where stderr is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentkit.cli import show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from agentkit.types import IngestEvent


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; what it gives takes how much is done, and of how much (0: nobody knows)."""
    with _progress(what) as (progress, task):
        yield lambda done, of: progress.update(task, completed=done, total=of or None)


@contextmanager
def steps(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar that says what is being done; it takes that, how much is done, and of how much."""
    with _progress(what) as (progress, task):
        yield lambda now, done, of: progress.update(
            task, description=show.printable(now), completed=done, total=of or None
        )


@contextmanager
def again() -> Iterator[Callable[["IngestEvent"], None]]:
    """Show the ingest that a question may have to wait for, once there is one."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        report: list[Callable[[int, int], None]] = []

        def on_event(event: "IngestEvent") -> None:
            if event.event in ("done", "skip"):
                stack.close()
                return
            if not report:
                report.append(stack.enter_context(bar("made again from its file, chunks")))
            report[0](event.chunk, event.of if event.event == "chunk" else 0)

        yield on_event


@contextmanager
def _progress(what: str) -> "Iterator[tuple[Progress, TaskID]]":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    off = not console.is_terminal
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=off
    ) as progress:
        yield progress, progress.add_task(show.printable(what), total=None)
