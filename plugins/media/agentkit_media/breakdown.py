"""All that this domain makes of one video, put together for reports, files, tools and commands."""

from dataclasses import dataclass

from agentkit.types import Note, SessionView, StoredVideo
from agentkit_media.characters import Character, characters_of
from agentkit_media.highlights import Highlights, highlights_of
from agentkit_media.material import Material, gather
from agentkit_media.scenes import Scene, scenes_of
from agentkit_media.wording import Words


@dataclass(frozen=True, slots=True)
class Breakdown:
    material: Material
    characters: tuple[Character, ...]
    scenes: tuple[Scene, ...]
    highlights: Highlights

    @property
    def words(self) -> Words:
        return Words(self.material.language)


def break_down(video: StoredVideo, session: SessionView) -> Breakdown:
    """Return a video's scenes, characters and highlights.

    Raises:
        UsageError: an option of the domain is unknown or out of range.
    """
    material = gather(video, session)
    characters = characters_of(material)
    return Breakdown(
        material,
        tuple(characters),
        tuple(scenes_of(material, characters)),
        highlights_of(material),
    )


def segments_of(video: StoredVideo, session: SessionView) -> list[Note]:
    """Return the scenes as parts with a label each: "Scene 3: beach, 2 at once"."""
    found = break_down(video, session)
    return [
        Note(scene.start_s, scene.end_s, "scene", label(scene, found.words))
        for scene in found.scenes
    ]


def label(scene: Scene, words: Words) -> str:
    """Return a scene's name: its number, and its place and people where they are known."""
    name = words("scene", number=scene.number)
    people = words("people", count=scene.people) if scene.people > 1 else ""
    known = [part for part in (scene.place, *scene.names[:2], people) if part]
    return f"{name}: {words.listed(known)}" if known else name
