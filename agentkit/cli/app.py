"""The whole command line, and what becomes of an error: one line on stderr and an exit code.

0 done, 1 an error with its remedy, 2 wrong usage, 130 interrupted.
"""

import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from agentkit.cli import (
    ask,
    evaluate,
    export,
    ingest,
    models,
    plugins,
    report,
    show,
    store,
    system,
    videos,
)
from agentkit.cli.groups import RootGroup
from agentkit.cli.options import Options, takes_common
from agentkit.errors import AgentkitError, UsageError

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
# The base of all that typer says of a command line; its package depends on typer's version.
TYPER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Ask questions of long videos; every answer says where in the video it comes from.",
    epilog="These options may also stand after the command. Settings: docs/cli.md.",
)
for group in (ingest, ask, videos, report, export, store, models, evaluate, plugins, system):
    group.add_to(app)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"agentkit {version('videoxl2-agentkit')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version."),
]


@app.callback()
@takes_common(listed=True)
def root(options: Options, version: Version = False) -> None:
    """Take what stands before the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    options = Options()
    _survive_any_character()
    try:
        code = app(arguments, standalone_mode=False, prog_name="agentkit", obj=options)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except TYPER_ERROR as error:
        return _typer_error(error)
    except Exception as error:  # noqa: BLE001 — the process ends here
        return _failure(error, options)
    if code == INTERRUPTED:
        show.error(options.when_interrupted)
    return code if isinstance(code, int) else 0


def _survive_any_character() -> None:
    """Let a file name that is no UTF-8 be printed, escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _typer_error(error: Any) -> int:
    """Say what was wrong with the command line; a bare `agentkit` asked for help and gets it."""
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message())
        return WRONG_USAGE
    name, possible = getattr(error, "option_name", ""), getattr(error, "possibilities", None)
    hint = f"; did you mean {sorted(possible)[0]!r}?" if possible else ""
    message = f"unknown option {name!r}{hint}" if possible is not None else error.format_message()
    show.error(message)
    return WRONG_USAGE


def _failure(error: Exception, options: Options) -> int:
    """Say what failed, in one line; with -vv where, too."""
    if options.verbose > 1:
        traceback.print_exception(error)
    known = isinstance(error, AgentkitError | OSError) or _is_of_the_store_or_model(error)
    text = " ".join(str(error).split())
    if known:
        show.error(text)
    else:
        show.error(f"{type(error).__name__}: {text}; this is a defect, -vv shows where it happened")
    return WRONG_USAGE if isinstance(error, UsageError | LookupError) and known else FAILED


def _is_of_the_store_or_model(error: Exception) -> bool:
    from agentkit_storage.errors import StoreError
    from videoxl2_model.errors import VideoXL2Error

    return isinstance(error, StoreError | VideoXL2Error)
