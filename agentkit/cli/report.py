"""`report`: what is known of videos as a document, on stdout or in a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import progress, show
from agentkit.cli.options import Options, takes_common
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.reports.document import Document
    from agentkit.session import Session

MARKDOWN, PDF = "md", "pdf"


def add_to(app: typer.Typer) -> None:
    app.command()(takes_common()(report))


def report(
    options: Options,
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO", help="Ids, beginnings of them, or paths.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write here in place of stdout."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="md, html, json or pdf; default: the file's ending."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="L", help="Of the report: en or zh.")
    ] = None,
    summary: Annotated[
        bool | None,
        typer.Option(
            "--summary/--no-summary", help="Let the language model write a summary of each video."
        ),
    ] = None,
    unredacted: Annotated[
        bool, typer.Option("--unredacted", help="Leave out what the domain does to hide people.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was written, as documented.")
    ] = False,
) -> None:
    """Report on videos: what is seen, said and written in them, and the domain's own findings.

    Each claim cites the video; what the video does not show is marked. Markdown goes to stdout,
    a file gets the format of its ending. Stopped, the same command goes on.
    """
    from agentkit.reports.document import format_of

    options.when_interrupted = "interrupted; run the same command again and it goes on there"
    written = format or (format_of(output) if output else MARKDOWN)
    if output is None:
        _check_stdout(written, as_json)
    with options.open_session(options.settings(language=language)) as session:
        session.check_report(videos, written, output)
        document = _made(session, videos, summary, unredacted)
        _give(document, written, output, as_json)


def _check_stdout(format: str, as_json: bool) -> None:
    if as_json:
        raise UsageError("--json says what was written to a file; name one with -o")
    if format == PDF and show.stream_is_terminal():
        raise UsageError("a PDF is nothing for a terminal; name its file: -o report.pdf")


def _made(
    session: "Session", videos: list[str], summary: bool | None, unredacted: bool
) -> "Document":
    with progress.steps("report") as on_progress:
        return session.report(
            videos, summary=summary, redact=not unredacted, on_progress=on_progress
        )


def _give(document: "Document", format: str, output: Path | None, as_json: bool) -> None:
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(document.render(format))
        sys.stdout.buffer.flush()
        return
    nbytes = document.save(output, format).stat().st_size
    if as_json:
        show.as_json(json_forms.reported(document.report, output, format, nbytes))
        return
    for notice in document.report.notices:
        show.remark(notice)
    cited = f"{len(document.report.exhibits)} places cited"
    typer.echo(f"{show.printable(str(output))}  {cited}  {show.size(nbytes)}")
