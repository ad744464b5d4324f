"""`agentkit healthcare`: steps, checklist and protocols at the terminal, redacted."""

import json
from collections.abc import Callable
from typing import Any

import typer

from agentkit.types import SessionView, StoredVideo
from agentkit_healthcare import telling
from agentkit_healthcare.texts import clock, prompts, span, word

DOMAIN = "healthcare"


def add_to(cli: typer.Typer) -> None:
    """Add the group to a command line."""
    group = typer.Typer(
        help="Steps of a procedure against its protocol. No medical device.",
        no_args_is_help=True,
        add_completion=False,
    )

    @group.command()
    def steps(
        context: typer.Context,
        video: str,
        as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    ) -> None:
        """Print the steps of a procedure with their times, and what differs from the protocol."""
        _show(context, video, as_json, telling.steps, _steps_lines)

    @group.command()
    def checklist(
        context: typer.Context,
        video: str,
        as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    ) -> None:
        """Print the safety checklist with what was seen of it."""
        _show(context, video, as_json, telling.checklist, _checklist_lines)

    @group.command()
    def protocols(
        as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    ) -> None:
        """Print the protocols that come with the plugin; --set protocol=NAME or a file chooses."""
        found = telling.protocols("en")
        if as_json:
            _print_json({"protocols": found})
            return
        for one in found:
            typer.echo(f"{one['protocol']}  {one['title']}")
            for number, step in enumerate(one["steps"], start=1):
                typer.echo(f"  {number}. {step}")

    cli.add_typer(group, name=DOMAIN)


def _show(
    context: typer.Context,
    name: str,
    as_json: bool,
    tell: Callable[[StoredVideo, SessionView], dict[str, Any]],
    lines: Callable[[dict[str, Any], str], list[str]],
) -> None:
    """Print what `tell` says of a video; the group speaks for its own domain, whatever is set."""
    context.obj.domain = DOMAIN
    with context.obj.open_session() as session:
        found = tell(session.video(name), session)
        language = session.language
    if as_json:
        _print_json({**found, "notice": prompts()("notice.device", language)})
        return
    typer.echo("\n".join([*lines(found, language), "", prompts()("notice.device", language)]))


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _steps_lines(found: dict[str, Any], language: str) -> list[str]:
    lines = [
        f"{span(one['start_s'], one['end_s'])}  {one['name']}  ({one['confidence']:.2f})"
        for one in found["steps"]
    ]
    lines += [
        f"{span(start_s, end_s)}  {word('no_step', language)}"
        for start_s, end_s in found["unrecognised_s"]
    ]
    lines += [f"! {one['kind']}: {one['step']}" for one in found["deviations"]]
    return lines or [word("nothing", language)]


def _checklist_lines(found: dict[str, Any], language: str) -> list[str]:
    lines = []
    for one in found["items"]:
        times = ", ".join(clock(cite["start_s"]) for cite in one["evidence"])
        lines.append(f"{word(one['status'], language)}: {one['name']}  {times}".rstrip())
    return [*lines, word("checklist_about", language)]
