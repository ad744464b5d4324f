"""`agentkit security ...`: events, tracks, anomaly, zones, link."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agentkit.types import SessionView, UsageError
from agentkit_security.sections import clock

Video = Annotated[str, typer.Argument(help="A video of the store: id, path or file name.")]
Rules = Annotated[str | None, typer.Option("--rules", help="A TOML file of zones and lines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(cli: typer.Typer) -> None:
    """Add the command group `security`."""
    group = typer.Typer(help="Events, zones and cameras.", no_args_is_help=True)
    for command in (events, tracks, anomaly, zones, link):
        group.command()(command)
    cli.add_typer(group, name="security")


@contextmanager
def opened(context: typer.Context, rules: str | None = None) -> Iterator[SessionView]:
    """Open a session of this domain, whatever domain is set; its settings are what is read."""
    options = context.obj
    options.domain = "security"
    if rules is not None:
        options.set += (f"rules={json.dumps(rules)}",)
    with options.open_session() as session:
        yield session


def events(
    context: typer.Context, video: Video, rules: Rules = None, as_json: AsJson = False
) -> None:
    """List what happened in a video, by its rules."""
    from agentkit_security.tools import events_json
    from agentkit_security.watched import watch

    with opened(context, rules) as session:
        found = events_json(watch(session, session.video(video)), session.language)
    if as_json:
        _print_json({"events": found})
        return
    for event in found:
        typer.echo(f"{clock(event['start_s']):>9}  {event['label']}")
    if not found:
        typer.echo("nothing that was watched for happened")


def tracks(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
    """List what was followed through a video."""
    from agentkit_security.tools import tracks_json
    from agentkit_security.tracking import tracks_of

    with opened(context) as session:
        found = tracks_json(tracks_of(session, session.video(video)))
    if as_json:
        _print_json({"tracks": found})
        return
    for track in found:
        span = f"{clock(track['start_s']):>9} to {clock(track['end_s']):>9}"
        typer.echo(f"{track['kind']} {track['track']:<4} {span}  seen {track['seen']} times")


def anomaly(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
    """Say what stands out against what the camera saw before."""
    from agentkit_security.tools import anomaly_json

    with opened(context) as session:
        found = anomaly_json(session, session.video(video))
    if as_json:
        _print_json(found)
        return
    scored = [score for score in found["scores"] if score is not None]
    typer.echo(f"{len(scored)} of {len(found['scores'])} seconds have a score")
    for peak in found["peaks"]:
        span = f"{clock(peak['start_s'])} to {clock(peak['end_s'])}"
        typer.echo(f"{span}  {peak['score']:.2f}  {peak['reasons']}")


def zones(
    context: typer.Context,
    video: Video,
    rules: Rules = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")] = Path("zones.png"),
    at_s: Annotated[float, typer.Option("--at", help="Which second of the video.")] = 0.0,
) -> None:
    """Draw the zones and lines of a rules file over a frame, to see that they are right."""
    from agentkit_security.preview import preview

    with opened(context, rules) as session:
        png = preview(session, session.video(video), at_s)
    try:
        out.write_bytes(png)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error
    typer.echo(str(out))


def link(
    context: typer.Context,
    videos: Annotated[list[str], typer.Argument(help="Two videos of the store or more.")],
    as_json: AsJson = False,
) -> None:
    """Say how far cameras' clocks are apart, and which tracks may be one thing."""
    from agentkit_security import linking

    with opened(context) as session:
        shown = [session.video(name) for name in videos]
        found = linking.link(shown, session)
    if as_json:
        _print_json(linking.as_json(found))
        return
    names = {video.video_id: Path(video.path).name for video in shown}
    for offset in found.offsets:
        sure = "" if offset.is_sure else "  (not sure, not used)"
        clock = f"{offset.seconds:+.2f} s by {offset.how}{sure}"
        said = clock if math.isfinite(offset.seconds) else "not known; give it: --set offsets=..."
        typer.echo(f"{names[offset.a]} and {names[offset.b]}: {said}")
    if not found.links:
        typer.echo("no links", err=True)
    for one in found.links:
        pair = f"{names[one.a.video_id]} {one.a.number} ~ {names[one.b.video_id]} {one.b.number}"
        typer.echo(f"{one.probability:.2f}  {one.a.kind}  {pair}  {'; '.join(one.reasons)}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
