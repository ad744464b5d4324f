"""The instruments of a session side by side: loaded, run in order, timed, named where they fail."""

import hashlib
import importlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from agentkit.errors import UnknownNameError, UsageError
from agentkit.instruments.weights import InstrumentMissingError
from agentkit.types import FrameBatch, Instrument, Note, SoundInstrument, VideoInfo

logger = logging.getLogger(__name__)

# In the order in which they run: those that read the group's notes stand behind their writers.
# The modules are imported when they are asked for: speech alone costs a second.
_LOADERS: Mapping[str, str] = {
    "shots": "agentkit.instruments.shots:load_shots",
    "motion": "agentkit.instruments.motion:load_motion",
    "objects": "agentkit.instruments.objects:load_objects",
    "colours": "agentkit.instruments.colours:load_colours",
    "scene": "agentkit.instruments.scene:load_scene",
    "ocr": "agentkit.instruments.ocr:load_ocr",
    "speech": "agentkit.instruments.speech:load_speech",
}
DEFAULT_NAMES = tuple(_LOADERS)

_NO_VIDEO = VideoInfo(
    video_id="",
    path=Path(),
    duration_s=1.0,
    size_px=(64, 48),
    rotation_deg=0,
    time_base=Fraction(1, 1),
    frames_in_file=1,
    frames_per_s=1.0,
    has_sound=False,
    codec="",
)

AnyInstrument = Instrument | SoundInstrument


@dataclass(frozen=True, slots=True)
class InstrumentSettings:
    """What every instrument is loaded with."""

    threads: int = 2


class NoteReader(Protocol):
    """An instrument with `reads_notes = True`: it sees what the others saw in this group."""

    def observe(
        self, batch: FrameBatch, first_of_chunk: bool, notes: Sequence[Note] = ()
    ) -> list[Note]: ...


class Instruments:
    """All instruments of a session, as one. For one video at a time: start, listen, observe.

    An instrument that raises is left out until the next `start` and named in `missing`; the others
    go on. An ingest may resume at any chunk: `start`, then `observe` the group before (its notes
    are of no use), then go on as if nothing had happened.
    """

    def __init__(
        self, loaded: Sequence[AnyInstrument] = (), not_loaded: Sequence[str] = ()
    ) -> None:
        self._loaded = list(loaded)
        self._not_loaded = tuple(not_loaded)
        self._failed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    @classmethod
    def load(
        cls,
        names: Sequence[str] = DEFAULT_NAMES,
        settings: InstrumentSettings | None = None,
    ) -> "Instruments":
        """Load the named instruments; those without weights or extra are named in `missing`.

        Raises:
            UnknownNameError: a name is none of the built-in instruments'.
        """
        for name in names:
            if name not in _LOADERS:
                raise UnknownNameError("instrument", name, _LOADERS)
        loaded: list[AnyInstrument] = []
        missing = []
        for name in (known for known in _LOADERS if known in names):
            try:
                loaded.append(_loader(name)((settings or InstrumentSettings()).threads))
            except InstrumentMissingError as error:
                missing.append(f"{name}: {error}")
        return cls(loaded, missing)

    def register(self, instrument: AnyInstrument) -> None:
        """Add a plugin's instrument; it runs after the built-in ones.

        Raises:
            UsageError: the name is taken, or there is neither `observe` nor `listen`.
        """
        if any(instrument.name == other.name for other in self._loaded):
            raise UsageError(f"there is an instrument {instrument.name!r} already")
        if not (_looks(instrument) or _listens(instrument)):
            raise UsageError(f"instrument {instrument.name!r} has neither observe nor listen")
        self._loaded.append(instrument)

    @property
    def names(self) -> tuple[str, ...]:
        """The instruments that work, in the order in which they run."""
        return tuple(one.name for one in self._loaded if one.name not in self._failed)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is left out, each with its reason: not loaded, or failed in this video."""
        return (*self._not_loaded, *self._failed.values())

    @property
    def fingerprint(self) -> str:
        """What the notes depend on besides the frames: instruments, their rules and weights."""
        parts = [(one.name, _version(one)) for one in self._loaded]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def failed(self) -> dict[str, str]:
        """What failed in this video, each with its reason."""
        return dict(self._failed)

    def leave_out(self, failed: Mapping[str, str]) -> None:
        """Leave out, until the next `start`, what failed in another process."""
        self._failed.update(failed)

    def start(self, video: VideoInfo) -> None:
        """Forget the video before: its pictures, its failures, its seconds."""
        self._failed.clear()
        self.seconds = {one.name: 0.0 for one in self._loaded}
        for one in self._loaded:
            if _looks(one):
                with self._guard(one.name, "start"):
                    cast(Instrument, one).start(video)

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        """Return what all instruments see in one group; groups come in order."""
        notes: list[Note] = []
        for one in self._loaded:
            if not _looks(one) or one.name in self._failed:
                continue
            with self._guard(one.name, f"at {float(batch.times_s[0]):.1f} s"):
                if getattr(one, "reads_notes", False):
                    reader = cast(NoteReader, one)
                    notes += reader.observe(batch, first_of_chunk, tuple(notes))
                else:
                    notes += cast(Instrument, one).observe(batch, first_of_chunk)
        return notes

    def listen(self, video: VideoInfo, progress: Callable[[float], None]) -> list[Note]:
        """Return what is heard in the whole sound track, in order of time; nothing without one."""
        if not video.has_sound:
            return []
        notes: list[Note] = []
        for one in self._loaded:
            if _listens(one) and one.name not in self._failed:
                with self._guard(one.name, "while listening"):
                    notes += cast(SoundInstrument, one).listen(video, progress)
        return sorted(notes, key=lambda note: (note.start_s, note.end_s))

    def prepare(self) -> None:
        """Build every network now, not at its first use; what cannot be built is in `missing`."""
        self.start(_NO_VIDEO)
        self.observe(_no_frames(), True)
        for one in self._loaded:
            if hasattr(one, "prepare"):
                with self._guard(one.name, "while loading"):
                    one.prepare()

    @contextmanager
    def _guard(self, name: str, when: str) -> Iterator[None]:
        """Time one instrument's work; leave the instrument out where it fails."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:  # a plugin boundary: one's defect is not all's
            logger.warning("instrument %s left out", name, exc_info=True)
            self._failed[name] = f"{name}: failed {when}: {type(error).__name__}: {error}"
        finally:
            spent = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + spent


def _no_frames() -> FrameBatch:
    """Return one black picture, for the networks to be built on."""
    width_px, height_px = _NO_VIDEO.size_px
    images = np.zeros((1, height_px, width_px, 3), dtype=np.uint8)
    return FrameBatch(0, images, np.zeros(1), 1.0)


def _loader(name: str) -> Callable[[int], AnyInstrument]:
    module, function = _LOADERS[name].split(":")
    return cast(Callable[[int], AnyInstrument], getattr(importlib.import_module(module), function))


def _version(instrument: AnyInstrument) -> str:
    kind = type(instrument)
    return str(getattr(instrument, "version", f"{kind.__module__}.{kind.__qualname__}"))


def _looks(instrument: AnyInstrument) -> bool:
    return hasattr(instrument, "observe")


def _listens(instrument: AnyInstrument) -> bool:
    return hasattr(instrument, "listen")
