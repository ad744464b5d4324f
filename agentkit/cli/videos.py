"""`videos`: what is in the store: list, show, tag, pin, remove."""

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.groups import Group
from agentkit.cli.options import Options, takes_common
from agentkit.cli.which import Collection, OfDomain, Tags, which

if TYPE_CHECKING:
    from agentkit.types import StoredVideo, Tier, Which

Video = Annotated[
    str, typer.Argument(metavar="VIDEO", help="An id, the beginning of one, or a path.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
TIERS_HEAD = ("TIER", "BYTES", "CHUNKS", "NUMBERS", "USED", "MAKING")
MAKING_WIDTH = 12  # characters of a making that people see
HEAD = ("ID", "NAME", "LENGTH", "CHUNKS", "STATE", "TIERS")

videos = typer.Typer(
    cls=Group, rich_markup_mode=None, help="What is in the store: list, show, tag, pin, remove."
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(videos, name="videos")


@videos.callback(invoke_without_command=True)
@takes_common()
def default(options: Options, context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list(options, which(), as_json=False)


@videos.command("list")
@takes_common()
def list_(
    options: Options,
    collection: Collection = None,
    of_domain: OfDomain = None,
    tag: Tags = None,
    as_json: Json = False,
) -> None:
    """List every video in the store, or those of a collection, of a domain, with tags."""
    _list(options, which(collection, of_domain, tag), as_json)


@videos.command("show")
@takes_common()
def show_(options: Options, video: Video, as_json: Json = False) -> None:
    """Say everything that the store knows of a video, and what it keeps tier by tier."""
    with options.open_session() as session:
        stored = session.video(video)
        tiers = session.tiers(stored)
    if as_json:
        show.as_json(json_forms.whole_video(stored, tiers))
        return
    for label, value in _described(stored):
        typer.echo(f"{label + ':':12} {show.printable(value)}")
    if tiers:
        typer.echo()
        show.table(TIERS_HEAD, [_tier_row(tier) for tier in tiers])


@videos.command("tag")
@takes_common()
def tag(
    options: Options,
    video: Video,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="T", help="Put this tag on; may be repeated."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="T", help="Take this tag off; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put tags on a video and take others off; say which it has."""
    with options.open_session() as session:
        stored = session.tag(video, add or (), remove or ())
    if as_json:
        show.as_json({"video_id": stored.video_id, "tags": list(stored.tags)})
    else:
        tags = show.printable(", ".join(stored.tags) or "no tag")
        typer.echo(f"{stored.video_id[: show.SHORT_ID]}  {show.name_of(stored)}  {tags}")


@videos.command("pin")
@takes_common()
def pin(
    options: Options,
    video: Video,
    off: Annotated[
        bool, typer.Option("--off", help="Let it go again when room is needed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep a video's KV, whatever the budget (tiers.kv_budget_gb) says."""
    with options.open_session() as session:
        stored = session.video(video)
        session.pin(stored, not off)
    if as_json:
        show.as_json({"video_id": stored.video_id, "pinned": not off})
    else:
        done = "unpinned" if off else "pinned"
        typer.echo(f"{done} {stored.video_id[: show.SHORT_ID]}  {show.name_of(stored)}")


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


def _list(options: Options, of: "Which", as_json: bool) -> None:
    with options.open_session() as session:
        stored = session.videos(**of)
        is_empty = not stored and not session.videos()
    if as_json:
        show.as_json({"videos": [json_forms.video(video) for video in stored]})
    elif stored:
        show.table(HEAD, [_row(video) for video in stored])
    elif is_empty:
        show.remark("the store holds no video yet; agentkit ingest PATH")
    else:
        show.remark("no video is all that was asked for")


def _row(video: "StoredVideo") -> tuple[str, ...]:
    return (
        video.video_id[: show.SHORT_ID],
        show.name_of(video),
        show.clock(video.duration_s),
        str(video.chunks),
        video.state,
        ", ".join(video.tiers),
    )


def _tier_row(tier: "Tier") -> tuple[str, ...]:
    name = f"{tier.name} ({tier.part})" if tier.part else tier.name
    used = "" if tier.used_at is None else f"{datetime.fromtimestamp(tier.used_at):%Y-%m-%d %H:%M}"
    cells = (
        f"{name}, pinned" if tier.pinned else name,
        f"{tier.nbytes:,}",
        str(tier.chunks),
        tier.dtype or "-",
        used or "-",
        _short_making(tier.fingerprint),
    )
    return tuple(map(show.printable, cells))


def _short_making(fingerprint: str) -> str:
    """Return what tells makings apart at a glance; --json has them whole."""
    if len(fingerprint) <= MAKING_WIDTH:
        return fingerprint or "-"
    return sha256(fingerprint.encode()).hexdigest()[:MAKING_WIDTH]


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
        ("collection", video.collection),
        ("domain", video.domain or "-"),
        ("tags", ", ".join(video.tags) or "-"),
        ("tiers", ", ".join(video.tiers)),
        ("seen by", ", ".join(video.instruments) or "no instrument"),
    ]
    lines += [("not seen", reason) for reason in video.missing]
    return lines + [("warning", warning) for warning in video.warnings]
