"""`ingest`: files and folders into the store, with progress on stderr."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentkit.cli import show
from agentkit.cli.options import Options, takes_common
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from agentkit.types import IngestEvent, SamplingPlan, StoredVideo

IngestOne = Callable[..., "StoredVideo"]  # of a path, a plan and what is told of events
# What a folder is searched for. A file named by itself is tried whatever its name.
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "avi", "flv", "h264", "m2ts", "m4v", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
)
INTERRUPTED = (
    "interrupted; every finished chunk is kept: run the same command again and it resumes there"
)

INTERRUPTED_ANEW = (
    "interrupted; every finished chunk is kept: run it again without --anew and it resumes there"
)


def add_to(app: typer.Typer) -> None:
    app.command()(takes_common()(ingest))


def ingest(
    options: Options,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files and folders.")],
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="F", help="Frames to look at per second.")
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option("--max-frames", metavar="N", help="Most frames of one video.")
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option("--collection", metavar="NAME", help="Where videos that are new go."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="T", help="Put this tag on them; may be repeated."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Make them again, also where they are in the store.")
    ] = False,
    executor: Annotated[
        str | None,
        typer.Option("--executor", metavar="NAME", help="Who looks at frames: local or ray."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Processes that look; 1: this one itself."),
    ] = None,
    encoders: Annotated[
        int | None,
        typer.Option("--encoders", metavar="N", help="With ray: videos encoded at once."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object per line and event.")] = False,
) -> None:
    """Look at videos and keep what is seen.

    Progress is shown on stderr. A video that is in the store already is skipped; an ingest that
    was stopped goes on at the last finished chunk.
    """
    from agentkit.checks import check_tags

    options.when_interrupted = INTERRUPTED_ANEW if anew else INTERRUPTED
    tags = tag or []
    check_tags(tags)
    files = list(_files(paths))
    sampling = _given(fps=fps, max_frames=max_frames)
    work = _given(executor=executor, workers=workers, encoders=encoders)
    settings = options.settings(sampling=sampling, ingest=work, collection=collection)
    plan = settings.sampling.plan() if sampling else None
    if settings.ingest.executor == "ray":
        from agentkit.cli.ingest_many import ingest_many
        from agentkit.executors.ray_encoders import How

        failed = ingest_many(settings, files, How(plan, tuple(tags), anew), as_json)
    else:
        with options.open_session(settings) as session:
            told = _ingest_as_json if as_json else _ingest_for_people
            ingest_one = partial(session.ingest, tags=tags, anew=anew)
            failed = sum(not told(ingest_one, file, plan) for file in files)
    if failed:
        raise typer.Exit(1)


def _given(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _files(paths: list[str]) -> Iterator[str]:
    """Yield each file once, in the order given; a folder's videos by name."""
    seen: set[str] = set()
    for path in paths:
        for file in _in_folder(Path(path)) if Path(path).is_dir() else [path]:
            if file not in seen:
                seen.add(file)
                yield file


def _in_folder(folder: Path) -> list[str]:
    found = [
        str(file)
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()
    ]
    if not found:
        raise UsageError(f"{folder}: no video in this folder; name a file to try it all the same")
    return found


def _ingest_as_json(ingest_one: IngestOne, path: str, plan: "SamplingPlan | None") -> bool:
    """Ingest one file, printing its events; return whether it worked."""
    from agentkit import json_forms
    from agentkit.types import IngestEvent

    last = IngestEvent("start", "", path)

    def on_event(event: IngestEvent) -> None:
        nonlocal last
        last = event
        if event.event not in ("stage", "error"):
            show.as_json(json_forms.event(event))

    try:
        ingest_one(path, plan, on_event)
    except file_errors() as error:
        show.as_json(json_forms.event(failed_event(last, error)))
        show.error(str(error))
        return False
    return True


def failed_event(last: "IngestEvent", error: BaseException) -> "IngestEvent":
    from dataclasses import replace

    return replace(last, event="error", stage="", share=0.0, message=str(error))


def _ingest_for_people(ingest_one: IngestOne, path: str, plan: "SamplingPlan | None") -> bool:
    """Ingest one file under a progress bar, then print its line; return whether it worked."""
    from agentkit.types import IngestEvent

    last = IngestEvent("start", "", path)
    try:
        with progress_bars() as progress:
            bar = Bar(progress, show.printable(Path(path).name))

            def on_event(event: IngestEvent) -> None:
                nonlocal last
                last = event
                bar.draw(event)

            video = ingest_one(path, plan, on_event)
    except file_errors() as error:
        show.error(str(error))
        return False
    typer.echo(line_of(video, last))
    return True


def line_of(video: "StoredVideo", last: "IngestEvent") -> str:
    done = "in the store already" if last.event == "skip" else f"{last.seconds:.1f} s of work"
    chunks = f"{video.chunks} chunks" if video.chunks != 1 else "1 chunk"
    length = show.clock(video.duration_s)
    return f"{video.video_id[: show.SHORT_ID]}  {show.name_of(video)}  {length}  {chunks}  {done}"


def file_errors() -> tuple[type[Exception], ...]:
    """Return what may be wrong with one file while the next may be fine."""
    from agentkit.errors import PluginError, VideoError
    from agentkit_storage.errors import DamagedChunkError, RecordError, UnknownVideoError
    from videoxl2_model.errors import RoomError

    return (VideoError, PluginError, RecordError, UnknownVideoError, DamagedChunkError, RoomError)


def progress_bars() -> "Progress":
    """Return a progress bar on stderr: nothing is drawn where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[stage]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class Bar:
    """One file's bar: it moves by chunks, and within a stage by its share."""

    def __init__(self, progress: "Progress", name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None, stage="loading models")

    def draw(self, event: "IngestEvent") -> None:
        """Move to where the ingest is."""
        progress, task = self._progress, self._task
        if event.event == "stage" and event.share:
            progress.update(task, total=1.0, completed=event.share, stage=event.stage)
        elif event.event == "stage":
            progress.reset(task, total=None, stage=event.stage)
        elif event.event == "chunk":
            stage = f"chunk {event.chunk} of {event.of}"
            progress.update(task, total=event.of, completed=event.chunk, stage=stage)

    def end(self) -> None:
        """Take the bar away."""
        self._progress.remove_task(self._task)
