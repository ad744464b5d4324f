"""The plugin that is looked at: its domain, its package, its prompts, and sessions to meet."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import SkipTest

from agentkit import entry_points
from agentkit.errors import PluginError
from agentkit.plugin_manager import Domain
from agentkit.testing.contract import drawing
from agentkit.testing.sessions import RecordedSession, Say
from agentkit.types import Citation, Coverage, Evidence, Prompts, StoredVideo

DEFAULT_LANGUAGES = ("en", "zh")


@dataclass
class Subject:
    """A plugin by its domain's name; `options` are the settings that it needs of its own."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def domain(self) -> Domain:
        return Domain.load(self.name)

    @cached_property
    def module_name(self) -> str:
        return entry_points.only(entry_points.installed()[self.name]).module

    @cached_property
    def module(self) -> ModuleType:
        return import_module(self.module_name)

    @property
    def hooks(self) -> tuple[str, ...]:
        return self.domain.hooks_of(self.name)

    def needs(self, *hooks: str) -> None:
        """Leave a check out where the plugin answers none of these hooks."""
        if not set(hooks) & set(self.hooks):
            none_of = "none of " if len(hooks) > 1 else "no "
            raise SkipTest(f"it has {none_of}{', '.join(hooks)}")

    @cached_property
    def prompts(self) -> Prompts | None:
        """The plugin's prompts, None where it has no folder of them."""
        folder = self.folder / "prompts"
        return Prompts.load(self.module_name) if folder.is_dir() else None

    @property
    def folder(self) -> Path:
        return Path(str(self.module.__file__)).parent

    @property
    def sources(self) -> list[Path]:
        """The plugin's own files of Python: its package, or the one module that it is."""
        if hasattr(self.module, "__path__"):
            return sorted(self.folder.rglob("*.py"))
        return [Path(str(self.module.__file__))]

    @property
    def languages(self) -> tuple[str, ...]:
        return self.prompts.languages if self.prompts else DEFAULT_LANGUAGES

    @property
    def tasks(self) -> tuple[str, ...]:
        """The domain's own questions, as its prompts name them; "" is a person's."""
        names = self.prompts.texts["en"] if self.prompts else ()
        return ("", *sorted({name.split(".")[1] for name in names if name.startswith("task.")}))

    def ask(self, hook: str, *arguments: Any, of: str = "") -> Any:
        """Call a hook through the domain; a failure that it would survive is told here.

        Raises:
            AssertionError: the plugin raised, or gave something else than the hook asks for.
        """
        try:
            value = getattr(self.domain, hook)(*arguments)
            broken = self.domain.broken
        except PluginError as error:
            broken = (str(error),)
        if broken:
            del self.domain  # what failed once is remembered; the next call begins anew
            raise AssertionError(f"{broken[-1]}{f' ({of})' if of else ''}")
        return value

    def session(
        self, say: Say = lambda *_: "", *, empty: bool = False, language: str = "en"
    ) -> RecordedSession:
        """Return a session of the drawn film, with notes of every kind or, `empty`, with none."""
        videos = [drawing.film(), drawing.other_film()]
        noted = {} if empty else {video.video_id: drawing.notes() for video in videos}
        see = (lambda image, what: []) if empty else drawing.see
        return RecordedSession(
            videos, noted, self.domain, say, see, options=self.options, language=language
        )

    @cached_property
    def evidence(self) -> tuple[Evidence, Evidence]:
        """What an answer may rest on: much, and nothing."""
        video, notes = drawing.film(), tuple(drawing.notes())
        coverage = Coverage(
            *("recorded", video.frames_seen, video.frames_in_file, video.step_s, (0, 1)),
            *(video.chunks, 100, video.instruments),
        )
        cites = tuple(Citation(video.video_id, n.start_s, n.end_s, n.text) for n in notes[2:4])
        hits = tuple(self.session().search("street", [video], k=2))
        return Evidence(hits, notes, cites, coverage, True), Evidence((), (), (), coverage, False)


def assert_inside(video: StoredVideo, start_s: float, end_s: float, what: str) -> None:
    """Hold a span of time to the video's own."""
    inside = 0 <= start_s <= end_s <= video.duration_s + 1e-6
    length = f"the video has {video.duration_s:g} s"
    assert inside, f"{what}: {start_s:g} s to {end_s:g} s is not in the video; {length}"


def assert_cites(cites: Sequence[object], videos: Sequence[StoredVideo], what: str) -> None:
    """Hold citations to be citations of one of these videos, and inside it."""
    for cite in cites:
        assert isinstance(cite, Citation), f"{what}: {type(cite).__name__} is no Citation"
        of = [video for video in videos if video.video_id == cite.video_id]
        assert of, f"{what}: a citation is of another video"
        assert_inside(of[0], cite.start_s, cite.end_s, what)


def search_path() -> list[str]:
    """Return where modules are found here, for a process that must find the same."""
    return list(sys.path)
