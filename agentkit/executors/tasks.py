"""What a worker is asked to do, and what it answers: plain values that go from process to process.

A worker keeps the instruments that it has loaded for the next task of the same recipe.
"""

import logging
import os
import pickle
import signal
import socket
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from agentkit.config import Settings
from agentkit.errors import AgentkitError, VideoDamagedError
from agentkit.observing import ObservedChunk, Observer, Sight, travelling
from agentkit.stages import StageClock
from agentkit.types import Note

FAULT = "AGENTKIT_WORKER_FAULT"  # chunk:attempt, for tests: a worker dies at this task
HOME = "AGENTKIT_HOME"
CARRIED = (HOME, "AGENTKIT_DISABLE_PLUGINS", FAULT)  # of the environment


class OtherWorkerError(AgentkitError):
    """A worker would see other things than this process."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a worker needs before it can look as this process would."""

    settings: Settings
    domain: str
    instruments: str  # their fingerprint, here
    left_out: tuple[str, ...]  # instruments that are missing here
    picture_px: int
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, settings: Settings, observer: Observer, picture_px: int, threads: int) -> "Recipe":
        """Return the recipe for what `observer` would see."""
        given = settings.model_copy(update={"threads": threads})
        return cls(
            given,
            observer.domain.name,
            observer.instruments.fingerprint,
            observer.instruments.missing,
            picture_px,
            tuple(carried().items()),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task. `odd`: something in the video needs an eye that sees it whole."""

    chunks: tuple[ObservedChunk, ...] = ()
    heard: tuple[Note, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)  # instruments, each with its reason
    odd: str = ""
    remarks: tuple[str, ...] = ()  # of plugins that failed
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage
    error: Exception | None = None


class Work(Protocol):
    """The part of a task that says what is done."""

    def run(self, observer: Observer, sight: Sight, picture_px: int) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Listen:
    """Hear the sound track."""

    def run(self, observer: Observer, sight: Sight, picture_px: int) -> Outcome:
        """Return the notes of the whole sound track."""
        clock = StageClock()
        observer.instruments.start(sight.info)
        with clock.stage("speech"):
            heard = observer.instruments.listen(sight.info, lambda heard_s: None)
        failed = observer.instruments.failed
        return Outcome(heard=tuple(heard), failed=failed, seconds=dict(clock.seconds))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Look at the chunks `first` to before `stop`."""

    first: int
    stop: int
    attempt: int = 1
    sound: tuple[Note, ...] = ()  # for a plugin that describes chunks

    def run(self, observer: Observer, sight: Sight, picture_px: int) -> Outcome:
        """Return the chunks as they travel; what damage or failures there were makes it odd."""
        self._die_if_told()
        clock, damage = StageClock(), list[str]()
        observer.instruments.start(sight.info)
        try:
            observed = observer.observe(
                sight, self.sound, self.first, self.stop, clock=clock, on_warning=damage.append
            )
            chunks = tuple(travelling(chunk, picture_px) for chunk in observed)
        except VideoDamagedError as error:
            return Outcome(odd=str(error))
        failed = observer.instruments.failed
        odd = "; ".join([*damage, *failed.values()])
        return Outcome(chunks, odd=odd, seconds=dict(clock.seconds))

    def _die_if_told(self) -> None:
        chunk, _, attempt = os.environ.get(FAULT, "").partition(":")
        if chunk and self.first <= int(chunk) < self.stop and self.attempt <= int(attempt):
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work on one video."""

    recipe: Recipe
    sight: Sight
    work: Work

    def run(self) -> Outcome:
        """Do it in this process; what goes wrong is an answer too, for it will go wrong again."""
        try:
            observer = _observer(self.recipe)
            outcome = self.work.run(observer, self.sight, self.recipe.picture_px)
        except Exception as error:  # a process boundary  # noqa: BLE001
            return Outcome(error=portable(error))
        return replace(outcome, remarks=observer.domain.broken)


def carried(more: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what goes along of this process's environment; its folder means the same elsewhere."""
    found = {name: os.environ[name] for name in (*CARRIED, *more) if os.environ.get(name)}
    if HOME in found:
        found[HOME] = str(Path(found[HOME]).absolute())
    return found


@lru_cache(maxsize=1)
def _observer(recipe: Recipe) -> Observer:
    """Return the instruments and the domain of a recipe, loaded in this process.

    Raises:
        OtherWorkerError: they are not those of the process that asks.
    """
    from agentkit.engine import Engine
    from agentkit.plugin_manager import Domain

    for name in CARRIED:
        os.environ.pop(name, None)
    os.environ.update(recipe.environment)
    third_party = not recipe.settings.disable_plugins
    domain = Domain.load(recipe.domain, third_party=third_party)
    observer = Observer(Engine(recipe.settings, domain).instruments, domain)
    _check_same(observer, recipe)
    return observer


def _check_same(observer: Observer, recipe: Recipe) -> None:
    here = observer.instruments
    if (here.fingerprint, here.missing) == (recipe.instruments, recipe.left_out):
        return
    lacks = "; ".join(set(here.missing) ^ set(recipe.left_out)) or "other versions or weights"
    raise OtherWorkerError(
        f"the worker on {socket.gethostname()} would see other things than this process"
        f" ({lacks}); install the same packages and models on both"
    )


def portable(error: Exception) -> Exception:
    """Return an error that survives pickling, with where it happened as a note (shown by -vv)."""
    where = "".join(traceback.format_exception(error))
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 — made in this very line
    except Exception:  # an error of its own making  # noqa: BLE001
        copy = AgentkitError(f"{type(error).__name__}: {error}")
    assert isinstance(copy, Exception)
    copy.add_note(f"in a worker:\n{where}")
    return copy


def quiet(loggers: tuple[str, ...] = ("agentkit", "agentkit_storage", "videoxl2_model")) -> None:
    """Let a worker log nothing: what matters is in its outcomes, and is said once, by the asker."""
    for name in loggers:
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
