"""A film as a script: a heading for each scene, what is seen, what is said and by whom if named.

Nothing is invented: a heading says INT. or EXT. only where a tag of the picture does, and the one
who speaks is unknown unless the words or a caption over them say who it is.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentkit.types import Note
from agentkit_media.characters import Character
from agentkit_media.names import CAPTIONED, speaker_in
from agentkit_media.scenes import Scene
from agentkit_media.wording import Words, clock

SLUG, ACTION, DIALOGUE = "slug", "action", "dialogue"


@dataclass(frozen=True, slots=True)
class ScriptLine:
    kind: str  # slug, action or dialogue
    text: str
    start_s: float
    end_s: float
    speaker: str = ""  # of dialogue; "" where it is not known
    by_caption: bool = False  # the speaker is named by a caption, not by the words


def script_of(
    scenes: Sequence[Scene], characters: Sequence[Character], words: Words, language: str = "auto"
) -> list[ScriptLine]:
    """Return the lines of a script, scene by scene, in order of time."""
    return [line for scene in scenes for line in _of_scene(scene, characters, words, language)]


def _of_scene(
    scene: Scene, characters: Sequence[Character], words: Words, language: str
) -> Iterator[ScriptLine]:
    place = (scene.place or words("no_place")).upper()
    slug = f"{scene.doors} {place}".strip()
    yield ScriptLine(SLUG, slug, scene.start_s, scene.end_s)
    if action := action_of(scene, words):
        yield ScriptLine(ACTION, action, scene.start_s, scene.end_s)
    lines = [_spoken(note, characters, language) for note in scene.dialogue]
    lines += [
        ScriptLine(ACTION, words("reads", text=note.text), note.start_s, note.end_s)
        for note in scene.written
    ]
    yield from sorted(lines, key=lambda line: (line.start_s, line.kind))


def action_of(scene: Scene, words: Words) -> str:
    """Return what is seen of a scene in one short line: people, things, motion."""
    people = [words("people", count=scene.people)] if scene.people > 1 else []
    people = [words("one_person")] if scene.people == 1 else people
    motion = [words(f"motion_{scene.motion}")] if scene.motion else []
    return words.listed([*people, *scene.things[:5], *scene.tags[:2], *motion])


def _spoken(note: Note, characters: Sequence[Character], language: str) -> ScriptLine:
    speaker, by_caption = speaker_in(note.text, language), False
    if not speaker:
        shown = {
            character.name
            for character in characters
            for mention in character.mentions
            if mention.how == CAPTIONED
            and mention.start_s < note.end_s
            and mention.end_s > note.start_s
        }
        if len(shown) == 1:
            speaker, by_caption = shown.pop(), True
    return ScriptLine(DIALOGUE, note.text, note.start_s, note.end_s, speaker, by_caption)


def fountain(lines: Sequence[ScriptLine], title: str, words: Words) -> str:
    """Return a script in Fountain's plain text (https://fountain.io/syntax).

    Headings, actions and names are forced by their marks, so that no text is taken for another.
    """
    blocks = [f"Title: {_plain(title)}\nNotes: {words('script_note')}"]
    number = 0
    for line in lines:
        text, at = _plain(line.text), f"[[{clock(line.start_s)}]]"
        if line.kind == SLUG:
            number += 1
            heading = text if text.startswith(("INT.", "EXT.")) else f".{text}"
            blocks.append(f"{heading} #{number}#")
        elif line.kind == ACTION:
            blocks.append(f"!{text} {at}")
        else:
            name = _plain(line.speaker or words("unknown_speaker")).upper()
            caption = f" ({words('captioned').upper()})" if line.by_caption else ""
            blocks.append(f"@{name}{caption}\n{text} {at}")
    return "\n\n".join(blocks) + "\n"


def _plain(text: str) -> str:
    """Return a text on one line without Fountain's own marks."""
    one_line = " ".join(text.split())
    return re.sub(r"([*_\\])", r"\\\1", one_line).replace("[[", "[ [").replace("]]", "] ]")
