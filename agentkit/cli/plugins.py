"""`plugins`: which domains are installed, a new one, and whether one holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.groups import Group
from agentkit.cli.options import Options, takes_common
from agentkit.cli.system import SIGNS

if TYPE_CHECKING:
    from agentkit.new_plugin import NewPlugin
    from agentkit.testing.contract import Checked

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A domain's name.")]
HEAD = ("DOMAIN", "FROM", "HOOKS")

plugins = typer.Typer(
    cls=Group, rich_markup_mode=None, help="Which domains are installed: list, new, check."
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(plugins, name="plugins")


@plugins.callback(invoke_without_command=True)
@takes_common()
def default(options: Options, context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list(options, as_json=False)


@plugins.command("list")
@takes_common()
def list_(options: Options, as_json: Json = False) -> None:
    """List the installed plugins, their hooks and errors."""
    _list(options, as_json)


def _list(options: Options, as_json: bool) -> None:
    from agentkit.plugin_manager import plugin_states

    states = [] if options.settings().disable_plugins else plugin_states()
    if as_json:
        show.as_json({"plugins": [json_forms.plugin(state) for state in states]})
    elif states:
        rows = [(s.name, s.distribution, s.error or ", ".join(s.hooks)) for s in states]
        show.table(HEAD, [tuple(map(show.printable, row)) for row in rows])
    else:
        show.remark("no plugin is installed, or plugins are switched off")


@plugins.command("new")
@takes_common()
def new_(
    options: Options,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the new domain.")],
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="The folder to write; default agentkit-NAME, here."),
    ] = None,
    no_install: Annotated[
        bool, typer.Option("--no-install", help="Write the files, and leave it at that.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a plugin that works, with its test, and install it to be edited where it is."""
    from agentkit.new_plugin import install, write_plugin

    made = write_plugin(name, folder)
    if not no_install:
        install(made)
    if as_json:
        show.as_json(json_forms.new_plugin(made, installed=not no_install))
    else:
        _say_new(made, installed=not no_install)


def _say_new(made: "NewPlugin", installed: bool) -> None:
    from agentkit.new_plugin import shown_install_command

    typer.echo(f"{made.name}: a new domain, in {show.printable(str(made.folder))}")
    width = max(len(path) for path, _ in made.files)
    for path, what in made.files:
        typer.echo(f"  {path.ljust(width)}  {what}")
    if installed:
        typer.echo(f"installed as {made.distribution}; what you edit counts at once. Now try:")
    else:
        typer.echo(
            f"not installed; when you want it:\n  {shown_install_command(made.folder)}\nthen:"
        )
    typer.echo(f"  agentkit plugins check {made.name}")
    typer.echo(f'  agentkit --domain {made.name} ask "What happens?" VIDEO')


@plugins.command("check")
@takes_common()
def check_(options: Options, name: Name, as_json: Json = False) -> None:
    """Hold an installed plugin to what every plugin promises.

    Hooks, import, prompts, rubbish from the model, sections, redaction, metrics, files. Exits with
    1 if something fails. It needs hypothesis.
    """
    from agentkit.testing.contract import examine

    options.settings()
    checked: list[Checked] = []
    for one in examine(name):
        checked.append(one)
        if not as_json:
            _say_checked(one, first=len(checked) == 1)
    if as_json:
        show.as_json({"plugin": name, "checks": [json_forms.checked(one) for one in checked]})
    elif checked:
        _say_sum(name, checked)
    if any(one.ok is False for one in checked):
        raise typer.Exit(1)


def _say_checked(one: "Checked", first: bool) -> None:
    """Print one check, as soon as it is done."""
    if first:
        typer.echo("      CHECK                FOUND")
    found = show.printable(" ".join(one.found.split()))
    typer.echo(f"{SIGNS[one.ok]:<4}  {one.name:<19}  {found}")


def _say_sum(name: str, checked: list["Checked"]) -> None:
    counts = {sign: sum(one.ok is ok for one in checked) for ok, sign in SIGNS.items()}
    result = f"fails {counts['FAIL']} of its checks" if counts["FAIL"] else "passes"
    left = f"; {counts['-']} had nothing to look at" if counts["-"] else ""
    typer.echo(f"{name} {result}{left}")
