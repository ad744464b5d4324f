"""The options that every command takes, before its name or after it."""

import copy
import functools
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agentkit.config import Settings
    from agentkit.session import Session
    from agentkit_storage import Store

OURS = ("agentkit", "agentkit_storage", "videoxl2_model")


@dataclass(slots=True)
class Options:
    """What the user said once for the whole run; a plugin's command finds it as `ctx.obj`."""

    domain: str | None = None
    encoder: str | None = None
    config: str | None = None
    store: str | None = None
    set: tuple[str, ...] = ()
    verbose: int = 0
    when_interrupted: str = "interrupted"

    def take(self, given: dict[str, Any]) -> None:
        """Lay what stands after the command over what stands before it."""
        self.verbose += given.pop("verbose", 0)
        self.set += tuple(given.pop("set", None) or ())
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)

    def settings(self, **flags: Any) -> "Settings":
        """Return the settings in force under these options and `flags`."""
        from agentkit.config import Settings
        from agentkit.errors import UsageError
        from agentkit.plugin_manager import GENERAL

        settings = Settings.load(
            self.config, domain=self.domain, encoder=self.encoder, store=self.store, **flags
        )
        if self.set and settings.domain == GENERAL:
            raise UsageError("--set is for a domain's own settings; say which: --domain NAME")
        return settings.with_options(self.set)

    def open_session(self, settings: "Settings | None" = None) -> "Session":
        """Return a session under these options; to be used with `with`."""
        from agentkit.session import Session

        return Session.open(settings or self.settings())

    def open_store(self) -> "Store":
        """Return the store alone, to be used with `with`.

        Raises:
            UsageError: there is none; none is made.
        """
        from agentkit.errors import UsageError
        from agentkit_storage import Store

        where = self.settings().store
        if isinstance(where, Path) and not (where / "store.sqlite").is_file():
            raise UsageError(f"{where}: no store; name one with --store, or agentkit ingest PATH")
        return Store.open(where)


def common(
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="NAME", help="The plugin that speaks for these videos."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", metavar="NAME", help="auto, notes or videoxl2.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Read the settings from this file."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="FOLDER", help="Where the store of videos is."),
    ] = None,
    set: Annotated[  # the option's own name
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set one of the domain's own settings; repeatable."
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            help="Say more; -vv shows the traceback of an error.",
        ),
    ] = 0,
) -> None:
    """Declare the common options; typer reads this signature."""


def takes_common(listed: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the common options, `listed` in its help or not.

    The command gets them merged, as its first argument, and the context if it takes one.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(list(inspect.signature(command).parameters.items())[1:])
        shared = list(inspect.signature(common).parameters.values())

        @functools.wraps(command)
        def run(context: typer.Context, **values: Any) -> None:
            options = context.ensure_object(Options)
            options.take({parameter.name: values.pop(parameter.name) for parameter in shared})
            start_logging(options.verbose)
            if "context" in own:
                values["context"] = context
            command(options, **values)

        taken = shared if listed else [_hidden(parameter) for parameter in shared]
        given = [parameter for name, parameter in own.items() if name != "context"]
        _show_signature(run, [*given, *taken])
        return run

    return decorate


def _show_signature(run: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Make typer see these parameters, after the context."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("context", keyword, annotation=typer.Context)
    shown = [context, *(parameter.replace(kind=keyword) for parameter in parameters)]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}


def _hidden(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a common option as a subcommand takes it: there, but not listed again."""
    hidden = copy.copy(parameter.annotation.__metadata__[0])
    hidden.hidden = True
    return parameter.replace(annotation=Annotated[parameter.annotation.__origin__, hidden])


class _ToStderr(logging.Handler):
    """Writes to what sys.stderr is now: a progress bar puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.levelname.lower()}: {self.format(record)}\n")


def start_logging(verbose: int) -> None:
    """Send our warnings to stderr; with -v what is going on, with -vv everything."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers = [_ToStderr()]
        logger.setLevel(level)
