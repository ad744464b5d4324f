"""`export`: a video's notes, segments or a part of itself, for other programs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.checks import parse_time
from agentkit.cli import show
from agentkit.cli.options import Options, takes_common
from agentkit.cli.progress import bar
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.session import Session
    from agentkit.types import StoredVideo

CLIP = "clip"

Times = tuple[float | None, float | None]


def add_to(app: typer.Typer) -> None:
    app.command("export")(takes_common()(export))


def export(
    options: Options,
    video: Annotated[
        str | None,
        typer.Argument(metavar="VIDEO", help="An id, the beginning of one, or a path."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="vtt, srt, csv, edl, otio, chapters, clip."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write here in place of stdout."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="K", help="Only notes of this kind, e.g. speech or ocr."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="T", help="Seconds, MM:SS or HH:MM:SS.mmm.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Likewise.")] = None,
    unredacted: Annotated[
        bool, typer.Option("--unredacted", help="Leave out what the domain does to hide people.")
    ] = False,
    formats: Annotated[
        bool, typer.Option("--formats", help="List the formats, the domain's too, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object, as documented.")
    ] = False,
) -> None:
    """Write a video's notes or segments for other programs, or a part of it as a clip.

    Subtitles hold what is said, a table all notes, the others the domain's segments, unless --kind
    names a kind of notes. A domain's redaction holds for all but the formats of its own, which hide
    what must be hidden by themselves.
    """
    if formats:
        _list(options, as_json)
        return
    if video is None or format is None:
        raise UsageError("name a video and a --format; agentkit export --formats lists them")
    times = _time(start), _time(end)
    with options.open_session() as session:
        stored = session.video(video)
        if stored.state != "ready":
            show.remark("the video is not ingested to its end; agentkit ingest it again to go on")
        if format == CLIP:
            _clip(session, stored, output, kind, times, unredacted, as_json)
            return
        content = session.export(
            stored, format, kind=kind, start_s=times[0], end_s=times[1], redact=not unredacted
        )
    _give(stored, format, content, output, as_json)


def _clip(
    session: "Session",
    stored: "StoredVideo",
    output: Path | None,
    kind: str | None,
    times: Times,
    unredacted: bool,
    as_json: bool,
) -> None:
    if output is None:
        raise UsageError("a clip is no text; name its file: -o clip.mp4")
    if kind is not None:
        raise UsageError("a clip holds the video itself; --kind is for the other formats")
    start_s, end_s = times
    with bar("frames of the clip") as report:
        session.on_progress = lambda _, done, of: report(done, of)
        made = session.clip(stored, output, start_s=start_s, end_s=end_s, redact=not unredacted)
    if as_json:
        show.as_json(json_forms.exported_clip(stored.video_id, output, made))
        return
    for remark in made.remarks:
        show.remark(remark)
    frames = f"{made.frames} frames, {made.end_s - made.start_s:.3f} s"
    typer.echo(f"{show.printable(str(output))}  {frames}")


def _give(
    stored: "StoredVideo", format: str, content: bytes, output: Path | None, as_json: bool
) -> None:
    from agentkit.exports.files import check_output, write_whole

    if output is not None:
        check_output(output, stored.path)
        write_whole(output, content)
        if not as_json:
            typer.echo(f"{show.printable(str(output))}  {show.size(len(content))}")
    text = _text(content, output)
    if as_json:
        show.as_json(json_forms.exported_file(stored.video_id, format, output, content, text))
    elif output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)  # as it is: a table ends its lines with CR LF
        sys.stdout.buffer.flush()


def _text(content: bytes, output: Path | None) -> str | None:
    """Return what goes to stdout as text; None where a file was written."""
    if output is not None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError("this format is no text; name its file with -o") from error


def _list(options: Options, as_json: bool) -> None:
    from agentkit.exports.formats import titles
    from agentkit.plugin_manager import Domain

    settings = options.settings()
    domain = Domain.load(settings.domain, third_party=not settings.disable_plugins)
    found = titles(domain)
    if as_json:
        show.as_json({"formats": [{"name": name, "title": found[name]} for name in found]})
        return
    show.table(("FORMAT", "WHAT IT IS"), list(found.items()))


def _time(text: str | None) -> float | None:
    return None if text is None else parse_time(text)
