"""A domain: the defaults and one plugin, asked at each hook. Knows hooks, no model and no store.

Each domain builds its own pluggy manager; there is no global one. A plugin that fails is named,
with the hook it failed in.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import pluggy

from agentkit import defaults, entry_points, hookspecs
from agentkit.errors import PluginError, UnknownNameError, UsageError
from agentkit.types import (
    Answer,
    Chunk,
    ChunkHit,
    Evidence,
    Finding,
    FrameBatch,
    Note,
    Question,
    Report,
    SamplingPlan,
    Section,
    SessionView,
    StoredVideo,
    VideoInfo,
)

if TYPE_CHECKING:
    from typer import Typer

logger = logging.getLogger(__name__)

GENERAL = "general"
INGEST_HOOKS = frozenset(("describe_chunk", "register_instruments"))
REGISTERED = {  # what a thing that is registered must have, in one way or another
    "register_instruments": (("name", "start", "observe"), ("name", "listen")),
    "register_evaluators": (("name", "source", "ranges", "evaluate", "examples"),),
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A module with hookimpls, and the distribution that it comes from."""

    name: str
    module: object
    distribution: str


DEFAULTS = Plugin("defaults", defaults, "agentkit")


class Domain:
    """The voice of one kind of video: every hook as a method, with the hook's own arguments.

    A plugin that fails at a hook is left out there: it is logged, kept in `broken`, and the
    defaults answer. Where it redacts, `PluginError` is raised instead. A `UsageError` is what the
    user did, and passes.
    """

    def __init__(self, name: str, plugins: Sequence[Plugin] = ()) -> None:
        """Take plugins in order of registration: the last is asked first, the defaults last."""
        self.name = name
        self._broken: dict[tuple[str, str], str] = {}
        self._plugins = [DEFAULTS, *plugins]
        self._names = [plugin.name for plugin in self._plugins]
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        for plugin in self._plugins:
            self._register(plugin)

    @classmethod
    def load(cls, name: str, *, third_party: bool = True) -> Self:
        """Return the domain of an installed plugin, or `general`, which is the defaults alone.

        Raises:
            UnknownNameError: no installed plugin has this name; names the nearest.
            UsageError: plugins are switched off and the name is not `general`.
            PluginError: the plugin does not import, or is not made as the hooks ask.
        """
        if name == GENERAL:
            return cls(name, ())
        if not third_party or entry_points.switched_off():
            raise UsageError(
                f"domain {name!r} is a plugin and plugins are switched off; unset "
                "AGENTKIT_DISABLE_PLUGINS or use the domain 'general'"
            )
        found = entry_points.installed()
        if name not in found:
            raise UnknownNameError("domain", name, [GENERAL, *found])
        entry = entry_points.only(found[name])
        return cls(name, [import_plugin(entry)])

    @property
    def broken(self) -> tuple[str, ...]:
        """What failed so far, one line each: the plugin, the hook and the reason."""
        return tuple(self._broken.values())

    @property
    def fingerprint(self) -> str:
        """What a stored video depends on here: the plugins that had a say at ingest."""
        return "+".join(
            f"{plugin.name} ({plugin.distribution})"
            for plugin in self._plugins
            if not INGEST_HOOKS.isdisjoint(self.hooks_of(plugin.name))
        )

    def hooks_of(self, plugin_name: str) -> tuple[str, ...]:
        """Return the names of the hooks that a plugin of this domain answers."""
        callers = self._manager.get_hookcallers(self._manager.get_plugin(plugin_name)) or []
        return tuple(sorted(caller.name for caller in callers))

    def answers(self, hook: str) -> bool:
        """Say whether any plugin of this domain answers a hook."""
        return any(hook in self.hooks_of(name) for name in self._names)

    def plan_sampling(self, video: VideoInfo) -> SamplingPlan | None:
        """Return the domain's plan; None leaves it to the settings."""
        return self._first("plan_sampling", SamplingPlan, video=video)

    def register_instruments(self, register: hookspecs.RegisterInstrument) -> None:
        self._register_all("register_instruments", register)

    def describe_chunk(
        self, chunk: Chunk, frames: Sequence[FrameBatch], notes: Sequence[Note]
    ) -> list[Note]:
        return self._gather("describe_chunk", Note, chunk=chunk, frames=frames, notes=notes)

    def system_prompt(self, video: StoredVideo) -> str:
        return self._must("system_prompt", str, video=video)

    def user_prompt(self, video: StoredVideo, question: Question, encoder: str = "notes") -> str:
        given: dict[str, Any] = {"video": video, "question": question, "encoder": encoder}
        return self._must("user_prompt", str, **given)

    def select_chunks(self, question: Question, hits: list[ChunkHit]) -> list[ChunkHit]:
        return self._must("select_chunks", list, ChunkHit, question=question, hits=hits)

    def parse_answer(self, question: Question, text: str, evidence: Evidence) -> Answer:
        return self._must("parse_answer", Answer, question=question, text=text, evidence=evidence)

    def check_answer(self, answer: Answer, evidence: Evidence) -> list[Finding]:
        return self._gather("check_answer", Finding, answer=answer, evidence=evidence)

    def segments(self, video: StoredVideo, session: SessionView) -> list[Note]:
        return self._must("segments", list, Note, video=video, session=session)

    def report_sections(self, video: StoredVideo, session: SessionView) -> list[Section]:
        return self._gather("report_sections", Section, video=video, session=session)

    def overview_sections(
        self, videos: Sequence[StoredVideo], session: SessionView
    ) -> list[Section]:
        return self._gather("overview_sections", Section, videos=videos, session=session)

    def notices(self, language: str) -> list[str]:
        return self._gather("notices", str, language=language)

    def redact_frames(
        self, images: Sequence[hookspecs.Image], video: StoredVideo, session: SessionView
    ) -> list[hookspecs.Image]:
        """Return frames as they may leave the store; the plugin's failure is the caller's."""
        given: dict[str, Any] = {"images": images, "video": video, "session": session}
        shown = self._must("redact_frames", list, np.ndarray, closed=True, **given)
        if [image.shape for image in shown] != [image.shape for image in images]:
            raise PluginError(f"domain {self.name!r}, hook redact_frames: gave other sizes")
        return shown

    def redact_text(self, text: str, video: StoredVideo, session: SessionView) -> str:
        """Return a text as it may leave the store; the plugin's failure is the caller's."""
        given: dict[str, Any] = {"text": text, "video": video, "session": session}
        return self._must("redact_text", str, closed=True, **given)

    def redacts(self, hook: str) -> bool:
        """Say whether a plugin, and not the defaults, answers a redacting hook."""
        return any(hook in self.hooks_of(name) for name in self._names[1:])

    def render_report(self, report: Report, format: str) -> bytes | None:
        """Return the file's bytes, or None where the domain does not write this format itself."""
        return self._first("render_report", bytes, report=report, format=format)

    def register_tools(self, session: SessionView) -> list[hookspecs.Tool]:
        return self._gather("register_tools", Callable, session=session)  # type: ignore[arg-type]  # isinstance takes it

    def register_evaluators(self, register: hookspecs.RegisterEvaluator) -> None:
        self._register_all("register_evaluators", register)

    def register_exporters(self, register: hookspecs.RegisterExporter) -> None:
        self._register_all("register_exporters", register)

    def register_commands(self, cli: "Typer") -> None:
        for name in self._names:
            self._attempt(name, "register_commands", {"cli": cli})

    def _register(self, plugin: Plugin) -> None:
        try:
            self._manager.register(plugin.module, name=plugin.name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            reason = _one_line(error)
            raise PluginError(f"plugin {plugin.name!r}: {reason}; see docs/hooks.md") from error

    def _call(self, plugin_name: str, hook: str, arguments: dict[str, Any]) -> Any:
        """Ask one plugin at one hook; a failure becomes a PluginError that names both."""
        others = [plugin.module for plugin in self._plugins if plugin.name != plugin_name]
        caller = self._manager.subset_hook_caller(hook, others)
        try:
            result = caller(**arguments)
        except UsageError:
            raise  # what the user said to the domain: its own settings, a file that they name
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            reason = f"{type(error).__name__}: {_one_line(error)}"
            raise PluginError(f"plugin {plugin_name!r}, hook {hook}: {reason}") from error
        is_first = bool(caller.spec and caller.spec.opts["firstresult"])
        return result if is_first else (result[0] if result else None)

    def _first(
        self,
        hook: str,
        kind: type[T],
        items: type | None = None,
        closed: bool = False,
        **arguments: Any,
    ) -> T | None:
        """Return the first answer. A plugin that fails is named and left out: the next is asked.

        `items` is what a list must hold. With `closed` a failure ends the call instead.
        """
        for name in reversed(self._names):
            try:
                result = self._call(name, hook, arguments)
                if result is not None:
                    return _whole(result, kind, items, name, hook)
            except PluginError as error:
                if closed or name == DEFAULTS.name:
                    raise
                self._leave_out(name, hook, error)
        return None

    def _must(
        self,
        hook: str,
        kind: type[T],
        items: type | None = None,
        closed: bool = False,
        **arguments: Any,
    ) -> T:
        result = self._first(hook, kind, items, closed, **arguments)
        assert result is not None, f"the defaults answer {hook}"
        return result

    def _gather(self, hook: str, kind: type[T], **arguments: Any) -> list[T]:
        found: list[T] = []
        for name in self._names:
            found += self._attempt(name, hook, arguments, kind)
        return found

    def _register_all(self, hook: str, register: Callable[..., None]) -> None:
        """Pass on what each plugin registers, all of it or, where the plugin fails, none of it."""
        for name in self._names:
            given: list[tuple[Any, ...]] = []
            try:
                self._call(name, hook, {"register": lambda *item, given=given: given.append(item)})
                _check_fit(given, name, hook)
            except PluginError as error:
                self._leave_out(name, hook, error)
                continue
            for item in given:
                register(*item)

    def _attempt(
        self, name: str, hook: str, arguments: dict[str, Any], kind: type[T] | None = None
    ) -> list[T]:
        """Ask one plugin; a failure is kept in `broken`, logged once, and counts as silence."""
        try:
            result = self._call(name, hook, arguments)
            if kind is None or result is None:
                return []
            return _whole(result, list, kind, name, hook)
        except PluginError as error:
            self._leave_out(name, hook, error)
            return []

    def _leave_out(self, name: str, hook: str, error: PluginError) -> None:
        if (name, hook) not in self._broken:
            logger.warning("%s; left out", error, exc_info=logger.isEnabledFor(logging.DEBUG))
        self._broken[name, hook] = str(error)


def _check_fit(given: Sequence[tuple[Any, ...]], plugin_name: str, hook: str) -> None:
    unfit = next(filter(None, (_unfit(hook, item) for item in given)), "")
    if unfit:
        raise PluginError(f"plugin {plugin_name!r}, hook {hook}: {unfit}")


def _unfit(hook: str, item: tuple[Any, ...]) -> str:
    """Say why what a plugin registers cannot be used; empty where it can."""
    if hook == "register_exporters":
        name, write = (*item, None, None)[:2]
        fits = len(item) == 2 and isinstance(name, str) and callable(write)
        return "" if fits else "an exporter is registered with its name and a function"
    one = item[0] if len(item) == 1 else None
    ways = REGISTERED[hook]
    if any(all(hasattr(one, part) for part in parts) for parts in ways):
        return ""
    needs = ", or ".join(" and ".join(parts) for parts in ways)
    return f"registered {type(one).__name__}; it must have {needs}"


def _instance(value: object, kind: type[T], plugin_name: str, hook: str) -> T:
    if not isinstance(value, kind):
        got = type(value).__name__
        raise PluginError(f"plugin {plugin_name!r}, hook {hook}: gave {got}, not {kind.__name__}")
    return value


def _whole(value: object, kind: type[T], items: type | None, plugin_name: str, hook: str) -> T:
    """Return a result that is of its kind; a list holds nothing but `items`."""
    result = _instance(value, kind, plugin_name, hook)
    if items is not None and isinstance(result, list):
        for item in result:
            _instance(item, items, plugin_name, hook)
    return result


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep domains from logging what they leave out, where the caller says it himself."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def import_plugin(entry: EntryPoint) -> Plugin:
    """Return an installed plugin, imported.

    Raises:
        PluginError: it does not import, for whatever reason of its own.
    """
    owner = entry_points.distribution(entry)
    try:
        return Plugin(entry.name, entry.load(), owner)
    except (Exception, SystemExit) as error:  # its import may raise anything
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise PluginError(f"plugin {entry.name!r} ({owner}) does not import: {reason}") from error


@dataclass(frozen=True, slots=True)
class PluginState:
    """One installed plugin, as `plugins list` shows it; `error` says why it cannot be used."""

    name: str
    distribution: str
    hooks: tuple[str, ...] = ()
    error: str = ""


def plugin_states() -> list[PluginState]:
    """Import every installed plugin and say how it is; the broken are named, not raised."""
    return [
        _state_of(name, entry)
        for name, entries in entry_points.installed().items()
        for entry in entries
    ]


def _state_of(name: str, entry: EntryPoint) -> PluginState:
    owner = entry_points.distribution(entry)
    try:
        domain = Domain.load(name)
    except PluginError as error:
        return PluginState(name, owner, error=str(error))
    return PluginState(name, owner, domain.hooks_of(name))
