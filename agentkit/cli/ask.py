"""`ask`, `chat` and `search`: answers on stdout, what they rest on beside them."""

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import progress, show
from agentkit.cli.options import Options, takes_common
from agentkit.cli.which import Collection, From, OfDomain, Tags, To, where, which
from agentkit.errors import QuestionError, VideoError

if TYPE_CHECKING:
    from agentkit.session import Session
    from agentkit.types import Answer, Where

Videos = Annotated[
    list[str] | None,
    typer.Option(
        "--video",
        metavar="VIDEO",
        help="An id, the beginning of one, or a path; may be repeated. Default: every video.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
END_OF_CHAT = ("exit", "quit", "/exit", "/quit")


def add_to(app: typer.Typer) -> None:
    for command in (ask, chat, search):
        app.command()(takes_common()(command))


def ask(
    options: Options,
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    video: Videos = None,
    collection: Collection = None,
    of_domain: OfDomain = None,
    tag: Tags = None,
    start: From = None,
    end: To = None,
    as_json: Json = False,
) -> None:
    """Answer a question, with citations.

    Each citation says where in which video the answer comes from. What was looked at is on stderr.
    """
    held_to = where(which(collection, of_domain, tag), start, end)
    with options.open_session() as session:
        if as_json:
            with progress.again() as on_event:
                answer = session.ask(question, video or None, on_event=on_event, **held_to)
            show.as_json(json_forms.answer(answer))
        else:
            _answer(session, question, video or None, held_to)


def chat(
    options: Options,
    video: Videos = None,
    collection: Collection = None,
    of_domain: OfDomain = None,
    tag: Tags = None,
) -> None:
    """Ask question after question; Ctrl-D ends.

    Each question is read in the light of those before it.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 — gives input() its line editing
    held_to = where(which(collection, of_domain, tag))
    turns: list[tuple[str, str]] = []
    with options.open_session() as session:
        while (question := _next_question()) is not None:
            if not question:
                continue
            try:
                answer = _answer(session, question, video or None, held_to, tuple(turns))
            except _question_errors() as error:
                show.error(str(error))
            else:
                turns.append((question, answer.text))


def search(
    options: Options,
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    video: Videos = None,
    collection: Collection = None,
    of_domain: OfDomain = None,
    tag: Tags = None,
    start: From = None,
    end: To = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Most hits.")] = 10,
    as_json: Json = False,
) -> None:
    """Find where a thing is seen, said or written."""
    held_to = where(which(collection, of_domain, tag), start, end)
    with options.open_session() as session:
        hits = session.search(text, video or (), k, **held_to)
        names = _names(session)
    if as_json:
        show.as_json({"hits": [json_forms.hit(hit) for hit in hits]})
        return
    for hit in hits:
        chunk = hit.chunk
        name = names.get(chunk.video_id, chunk.video_id[: show.SHORT_ID])
        span = show.span(hit.start_s, hit.end_s)
        typer.echo(f"[{name} {span}] {hit.score:.2f} {show.printable(hit.why)}")
    if not hits:
        nothing = "nothing near enough was found"
        show.remark(nothing if names else "the store holds no video yet; agentkit ingest PATH")


def _question_errors() -> tuple[type[Exception], ...]:
    """Return what may be wrong with one question while the next may be fine."""
    from agentkit_storage.errors import DamagedChunkError
    from videoxl2_model.errors import RoomError

    return (QuestionError, VideoError, DamagedChunkError, RoomError)


def _next_question() -> str | None:
    """Return the next line, None at the end of the conversation."""
    try:
        line = input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        typer.echo()
        return None
    return None if line in END_OF_CHAT else line


def _answer(
    session: "Session",
    question: str,
    videos: list[str] | None,
    held_to: "Where",
    turns: tuple[tuple[str, str], ...] = (),
) -> "Answer":
    """Print an answer with its citations, and what it rests on to stderr."""
    streamed: list[str] = []
    on_text = _streaming(streamed) if show.stream_is_terminal() else None
    with progress.again() as on_event:
        answer = session.ask(
            question, videos, on_text=on_text, history=turns, on_event=on_event, **held_to
        )
    _finish("".join(streamed), answer.text)
    names = _names(session)
    for cite in answer.citations:
        typer.echo(show.citation(cite, names))
    for found in answer.findings:
        if found.verdict != "supported":
            typer.echo(f"{found.verdict}: {show.printable(found.claim)}")
    for line in show.coverage(answer.coverage):
        show.remark(line)
    return answer


def _streaming(streamed: list[str]) -> Callable[[str], None]:
    def on_text(piece: str) -> None:
        streamed.append(piece)
        typer.echo(piece, nl=False)

    return on_text


def _finish(streamed: str, text: str) -> None:
    """Print what of the answer is not on the screen yet; all of it where it came out otherwise."""
    if streamed.strip() == text:
        typer.echo("" if streamed.endswith("\n") else "\n", nl=False)
    elif streamed and text.startswith(streamed):
        typer.echo(text[len(streamed) :])
    else:
        typer.echo(f"\n{text}" if streamed else text)


def _names(session: "Session") -> dict[str, str]:
    return {video.video_id: show.name_of(video) for video in session.videos()}
