"""`store`: the store as a whole, checked, counted, cleaned and migrated; and bundles of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import bundles, progress, show
from agentkit.cli.groups import Group
from agentkit.cli.options import Options, takes_common

if TYPE_CHECKING:
    from agentkit.remedies import Remedied
    from agentkit.store_report import StoreReport, VideoReport

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]
BYTES_HEAD = ("ID", "NAME", "NOTES", "VECTORS", "TOKENS", "KV", "AT WORK ON IT")

store = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The store: verify, rebuild, gc, stats, migrate, export, import.",
)


def add_to(app: typer.Typer) -> None:
    for command in (verify, rebuild, gc, stats, migrate):
        store.command()(takes_common()(command))
    bundles.add_to(store)
    app.add_typer(store, name="store")


def verify(options: Options, as_json: Json = False) -> None:
    """Check all that is stored against its hashes.

    Each problem is one line, with its video, its time and its remedy. Exits with 1 if there is any.
    """
    from agentkit.remedies import remedied

    with options.open_store() as kept:
        with progress.bar("checked") as report:
            problems = kept.verify(report)
        videos = kept.videos()
    found = remedied(problems, videos)
    if as_json:
        form = {"problems": [json_forms.problem(each) for each in found], "videos": len(videos)}
        show.as_json(form)
    else:
        for problem in found:
            typer.echo(_line(problem))
        show.remark(f"{_count(len(found), 'problem')} in {_count(len(videos), 'video')}")
    if found:
        raise typer.Exit(1)


def rebuild(options: Options, as_json: Json = False) -> None:
    """Make anew what searches read: the indexes of words and of vectors, from SQL."""
    with options.open_store() as kept, progress.bar("making the indexes anew"):
        kept.rebuild()
        index_bytes = kept.stats().index
    if as_json:
        show.as_json({"index": index_bytes})
    else:
        typer.echo(f"made the indexes anew  {show.size(index_bytes)}")


def gc(
    options: Options,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="T",
            help="Leave unfinished files younger than this: seconds, MM:SS or H:MM:SS.",
        ),
    ] = "1:00:00",
    as_json: Json = False,
) -> None:
    """Free the bytes that nothing refers to any more."""
    from agentkit.checks import parse_time

    grace_s = parse_time(grace)
    with options.open_store() as kept:
        with progress.bar("freeing"):
            freed = kept.gc(grace_s)
        left = kept.stats().unreferenced
    if as_json:
        show.as_json({"freed": freed, "unreferenced": left})
        return
    typer.echo(f"freed {show.size(freed)}")
    if left:
        show.remark(f"{show.size(left)} are of unfinished files younger than {grace}")


def stats(options: Options, as_json: Json = False) -> None:
    """Say what the store takes, by tier and video, and who works on what."""
    from agentkit.store_report import report_of

    settings = options.settings()
    with options.open_store() as kept:
        found = report_of(kept, settings.tiers.kv_budget_bytes)
    if as_json:
        show.as_json(json_forms.stats(found))
        return
    for label, value in _totals(found):
        typer.echo(f"{label + ':':10} {value}")
    if found.videos:
        typer.echo()
        show.table(BYTES_HEAD, [_row(video) for video in found.videos])


def migrate(options: Options, as_json: Json = False) -> None:
    """Bring the store to this version's form; every command that opens it does so, too."""
    with options.open_store() as kept:
        before, now = kept.migrated_from, kept.revision()
    if as_json:
        show.as_json({"from": before, "to": now})
    elif before in (None, now):
        typer.echo(f"nothing to do: the store has revision {now}")
    else:
        typer.echo(f"migrated from revision {before} to {now}")


def _line(problem: "Remedied") -> str:
    """Return `name 00:12-00:20  what; remedy`, without what is not known."""
    span = "" if problem.start_s is None else f" {show.span(problem.start_s, problem.end_s or 0.0)}"
    where = f"{problem.name}{span}  " if problem.name else ""
    remedy = f"; {problem.remedy}" if problem.remedy else ""
    return show.printable(f"{where}{problem.what}{remedy}")


def _count(number: int, of: str) -> str:
    return f"{number or 'no'} {of}{'' if number == 1 else 's'}"


def _totals(found: "StoreReport") -> list[tuple[str, str]]:
    budget = found.kv_budget
    bound = "no budget" if budget is None else f"a budget of {show.size(budget)}"
    tiers = [(name, show.size(nbytes)) for name, nbytes in found.tiers.items() if name != "kv"]
    return [
        ("videos", str(len(found.videos))),
        *tiers,
        ("kv", f"{show.size(found.tiers['kv'])}, {bound}"),
        ("database", show.size(found.database)),
        ("index", show.size(found.index)),
        (
            "blobs",
            f"{show.size(found.blobs)}, {show.size(found.unreferenced)} of them unreferenced",
        ),
    ]


def _row(video: "VideoReport") -> tuple[str, ...]:
    sizes = (video.notes, video.vectors, video.tokens, video.kv)
    work = "; ".join([*video.owner_words(), *video.job_words()])
    cells = (video.video_id[: show.SHORT_ID], video.name, *map(show.size, sizes), work or "-")
    return tuple(map(show.printable, cells))
