"""`doctor`: what an answer needs, and whether it is there."""

from typing import Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.options import Options, takes_common

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
SIGNS = {True: "ok", False: "FAIL", None: "-"}


def add_to(app: typer.Typer) -> None:
    app.command()(takes_common()(doctor))


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
