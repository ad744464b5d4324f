"""`agentkit media scenes|characters|themes|highlights|script VIDEO [--json]`."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from agentkit_media import forms
from agentkit_media.breakdown import Breakdown, break_down, label
from agentkit_media.script import action_of, fountain, script_of
from agentkit_media.sections import reasons_of
from agentkit_media.wording import span

Form = Callable[[Breakdown], list[dict[str, Any]]]
Lines = Callable[[Breakdown], list[str]]
Video = Annotated[str, typer.Argument(help="An id, the beginning of one, or a path.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(cli: typer.Typer) -> None:
    """Add the group `media` with a command for each thing that is found."""
    media = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

    @media.command()
    def scenes(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
        """List the scenes of a video."""
        _print(context, video, as_json, forms.scenes, _scenes)

    @media.command()
    def characters(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
        """List who is named, and where."""
        _print(context, video, as_json, forms.characters, _characters)

    @media.command()
    def themes(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
        """List what comes back in speech, captions and tags."""
        _print(context, video, as_json, forms.themes, _themes)

    @media.command()
    def highlights(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
        """List the moments that stand out, best first, with reasons."""
        _print(context, video, as_json, forms.highlights, _highlights)

    @media.command()
    def script(context: typer.Context, video: Video, as_json: AsJson = False) -> None:
        """Write the video as a script, in Fountain's plain text."""
        _print(context, video, as_json, forms.script, _script)

    cli.add_typer(
        media, name="media", help="Films: scenes, characters, themes, highlights, script."
    )


def _print(context: typer.Context, video: str, as_json: bool, form: Form, lines: Lines) -> None:
    context.obj.domain = "media"  # whatever is set: the settings that are read are its own
    with context.obj.open_session() as session:
        found = break_down(session.video(video), session)
        if as_json:
            typer.echo(json.dumps(form(found), ensure_ascii=False, indent=2))
        else:
            typer.echo("\n".join(lines(found)))


def _scenes(found: Breakdown) -> list[str]:
    words = found.words
    return [
        "  ".join(
            part
            for part in (
                span(scene.start_s, scene.end_s),
                label(scene, words),
                action_of(scene, words),
                words(f"mood_{scene.mood.name}"),
            )
            if part
        )
        for scene in found.scenes
    ]


def _characters(found: Breakdown) -> list[str]:
    words = found.words
    lines = [
        f"{one.name}  {words('person' if one.is_person else 'maybe_person')}  "
        + words.listed([span(mention.start_s, mention.end_s) for mention in one.mentions])
        for one in found.characters
    ]
    return lines or [words("no_characters")]


def _themes(found: Breakdown) -> list[str]:
    lines = [
        f"{found.words.listed(theme['terms'])}  "
        + found.words.listed([span(m["start_s"], m["end_s"]) for m in theme["moments"]])
        for theme in forms.themes(found)
    ]
    return lines or [found.words("no_themes")]


def _highlights(found: Breakdown) -> list[str]:
    best = sorted(found.highlights.moments, key=lambda m: (-m.score, m.start_s))
    lines = [
        f"{span(m.start_s, m.end_s)}  {m.score:.1f}  {reasons_of(m, found.words)}" for m in best
    ]
    return lines or [found.words("no_highlights")]


def _script(found: Breakdown) -> list[str]:
    lines = script_of(
        found.scenes, found.characters, found.words, found.material.options.names_language
    )
    return [fountain(lines, found.material.video.path.rsplit("/", 1)[-1], found.words).rstrip()]
