"""`plugins` and `doctor`: what is installed, and whether it works."""

from typing import Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.groups import Group
from agentkit.cli.options import Options, takes_common

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
SIGNS = {True: "ok", False: "FAIL", None: "-"}

plugins = typer.Typer(cls=Group, rich_markup_mode=None, help="Which domains are installed: list.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(plugins, name="plugins")
    app.command()(takes_common()(doctor))


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


def doctor(options: Options, as_json: Json = False) -> None:
    """Check what an answer needs.

    Models, instruments, store, plugins, room on the disk. Exits with 1 if something needed fails.
    """
    from agentkit.doctor import checks

    found = checks(options.settings())
    if as_json:
        show.as_json({"checks": [json_forms.check(check) for check in found]})
    else:
        show.table(
            ("", "CHECK", "FOUND"),
            [(SIGNS[c.ok], c.name, _found(c.detail, c.remedy)) for c in found],
        )
    if any(check.ok is False for check in found):
        raise typer.Exit(1)


def _found(detail: str, remedy: str) -> str:
    return show.printable(f"{detail}; {remedy}" if remedy else detail)


def _list(options: Options, as_json: bool) -> None:
    from agentkit.plugin_manager import plugin_states

    states = [] if options.settings().disable_plugins else plugin_states()
    if as_json:
        show.as_json({"plugins": [json_forms.plugin(state) for state in states]})
    elif states:
        rows = [(s.name, s.distribution, s.error or ", ".join(s.hooks)) for s in states]
        show.table(("DOMAIN", "FROM", "HOOKS"), [tuple(map(show.printable, row)) for row in rows])
    else:
        show.remark("no plugin is installed, or plugins are switched off")
