"""`store export` and `store import`: videos of a store in one file, for another store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.options import Options, takes_common
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit_storage import Store
    from agentkit_storage.bundles import Imported

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]


def add_to(store: typer.Typer) -> None:
    store.command("export")(takes_common()(export))
    store.command("import")(takes_common()(import_))


def export(
    options: Options,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The bundle.")],
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="VIDEO", help="Ids, names or paths.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every video of the store, in place of named ones.")
    ] = False,
    tiers: Annotated[
        str | None,
        typer.Option(
            "--tiers",
            metavar="LIST",
            help="Which of tokens,kv go along with the notes and vectors; all by default.",
        ),
    ] = None,
    with_footage: Annotated[
        bool, typer.Option("--with-footage", help="Put the video files in, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write all that is kept of videos into one file, without the videos themselves.

    Another store takes it by `store import` and answers without the video files.
    """
    options.when_interrupted = f"interrupted; {output} was not written"
    chosen = None if tiers is None else [tier.strip() for tier in tiers.split(",") if tier.strip()]
    with options.open_store() as kept:
        ids = _ids(kept, videos or [], everything)
        with _progress(f"writing {output.name}") as report:
            kept.export_bundle(ids, output, chosen, with_footage, report)
    nbytes = output.stat().st_size
    if as_json:
        show.as_json(json_forms.exported(output, nbytes, ids))
        return
    count = f"{len(ids)} videos" if len(ids) != 1 else "1 video"
    typer.echo(f"{show.printable(str(output))}  {count}  {nbytes / 1e6:.1f} MB")


def _ids(kept: "Store", videos: list[str], everything: bool) -> list[str]:
    """Return the ids of the videos that were named, each once, or of all."""
    if everything == bool(videos):
        raise UsageError("name the videos to export, or say --all")
    if not everything:
        return list(dict.fromkeys(kept.video(name).video_id for name in videos))
    if not (ids := [video.video_id for video in kept.videos()]):
        raise UsageError("the store has no video to export; is it the right --store?")
    return ids


def import_(
    options: Options,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `store export` wrote.")],
    footage: Annotated[
        Path | None,
        typer.Option("--footage", metavar="FOLDER", help="Put the bundle's video files here."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace videos that were made with other settings."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Take the videos of a bundle into the store; it is checked whole before anything is written.

    What is in the store already is skipped; an import that was stopped goes on where it was.
    """
    from agentkit_storage import Store

    options.when_interrupted = "interrupted; run the same command again and it goes on there"
    with (
        Store.open(options.settings().store) as kept,
        _progress(f"reading {bundle.name}") as report,
    ):
        imported = kept.import_bundle(bundle, footage, replace, report)
    if as_json:
        show.as_json({"videos": [json_forms.imported(video) for video in imported]})
        return
    for video in imported:
        typer.echo(_line(video))
    if any(video.left_footage for video in imported):
        show.remark("its video files were left in the bundle; --footage FOLDER takes them out")


def _line(video: "Imported") -> str:
    done = "in the store already" if video.outcome == "skipped" else video.outcome
    where = "" if video.footage is None else f"  {show.printable(str(video.footage))}"
    return f"{video.video_id[: show.SHORT_ID]}  {show.printable(video.name)}  {done}{where}"


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show bytes as a bar on stderr; nothing is drawn where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    off = not console.is_terminal
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=off
    ) as bar:
        task = bar.add_task(show.printable(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
