"""`videos`: what is in the store. `store`: the store as a whole, and bundles of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import bundles, show
from agentkit.cli.groups import Group
from agentkit.cli.options import Options, takes_common

if TYPE_CHECKING:
    from agentkit.types import StoredVideo

Video = Annotated[
    str, typer.Argument(metavar="VIDEO", help="An id, the beginning of one, or a path.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
HEAD = ("ID", "NAME", "LENGTH", "CHUNKS", "STATE", "TIERS")

videos = typer.Typer(
    cls=Group, rich_markup_mode=None, help="What is in the store: list, show, remove."
)
store = typer.Typer(
    cls=Group, no_args_is_help=True, rich_markup_mode=None, help="The store: export, import."
)
bundles.add_to(store)


def add_to(app: typer.Typer) -> None:
    app.add_typer(videos, name="videos")
    app.add_typer(store, name="store")


@videos.callback(invoke_without_command=True)
@takes_common()
def default(options: Options, context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list(options, as_json=False)


@videos.command("list")
@takes_common()
def list_(options: Options, as_json: Json = False) -> None:
    """List every video in the store."""
    _list(options, as_json)


@videos.command("show")
@takes_common()
def show_(options: Options, video: Video, as_json: Json = False) -> None:
    """Say everything that the store knows of a video."""
    with options.open_session() as session:
        stored = session.video(video)
    if as_json:
        show.as_json(json_forms.whole_video(stored))
        return
    for label, value in _described(stored):
        typer.echo(f"{label + ':':12} {show.printable(value)}")


@videos.command("remove")
@takes_common()
def remove(options: Options, video: Video, as_json: Json = False) -> None:
    """Take a video out of the store; its file stays where it is."""
    with options.open_session() as session:
        stored = session.video(video)
        session.remove(stored.video_id)
    if as_json:
        show.as_json({"removed": stored.video_id})
    else:
        typer.echo(f"removed {stored.video_id[: show.SHORT_ID]}  {show.name_of(stored)}")


def _list(options: Options, as_json: bool) -> None:
    with options.open_session() as session:
        stored = session.videos()
    if as_json:
        show.as_json({"videos": [json_forms.video(video) for video in stored]})
    elif stored:
        show.table(HEAD, [_row(video) for video in stored])
    else:
        show.remark("the store holds no video yet; agentkit ingest PATH")


def _row(video: "StoredVideo") -> tuple[str, ...]:
    return (
        video.video_id[: show.SHORT_ID],
        show.name_of(video),
        show.clock(video.duration_s),
        str(video.chunks),
        video.state,
        ", ".join(video.tiers),
    )


def _described(video: "StoredVideo") -> list[tuple[str, str]]:
    lines = [
        ("id", video.video_id),
        ("path", video.path),
        ("title", video.title or "-"),
        ("length", show.clock(video.duration_s)),
        (
            "picture",
            f"{video.width_px}x{video.height_px}, {'sound' if video.has_sound else 'no sound'}",
        ),
        ("frames", f"{video.frames_seen} of {video.frames_in_file}, one every {video.step_s:g} s"),
        ("chunks", str(video.chunks)),
        ("state", video.state),
        ("tiers", ", ".join(video.tiers)),
        ("seen by", ", ".join(video.instruments) or "no instrument"),
    ]
    lines += [("not seen", reason) for reason in video.missing]
    return lines + [("warning", warning) for warning in video.warnings]
