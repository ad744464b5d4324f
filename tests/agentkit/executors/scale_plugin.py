"""A plugin for the tests of executors: workers find it as they would any, by its entry points.

It hears, it describes chunks with what was heard, and as domain `falls` it has an instrument that
fails in the middle of a video. In a worker it puts a tiny embedder in the place of the real one.
"""

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentkit.executors import Outcome
from agentkit.hookspecs import hookimpl
from agentkit.observing import Observer, Sight
from agentkit.types import Chunk, FrameBatch, Note, VideoInfo
from agentkit.video import audio

if "_pytest" not in sys.modules:  # a worker: tests put the embedder in its place by themselves
    from agentkit.engine import Engine

    _conftest = Path(__file__).parent.parent / "conftest.py"
    _spec = importlib.util.spec_from_file_location("parts", _conftest)
    _parts = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_parts)
    Engine.embedder = _parts.WordEmbedder()


@dataclass(frozen=True)
class Endless:
    """Work that says that it has begun, and never ends."""

    says: Path  # a named pipe

    def run(self, observer: Observer, sight: Sight, picture_px: int) -> Outcome:
        self.says.write_text("begun")
        threading.Event().wait()
        raise AssertionError


class Hears:
    """Says how loud each block of sound is."""

    name = "hears"

    def listen(self, video: VideoInfo, progress: Callable[[float], None]) -> list[Note]:
        notes = []
        for start_s, samples in audio(video):
            end_s = start_s + len(samples) / 16_000
            text = f"loudness {np.abs(samples).mean():.2f}"
            notes.append(Note(start_s, end_s, "speech", text, 0.5))
            progress(end_s)
        return notes


class Falls:
    """Counts groups, and fails at one in the middle."""

    name = "falls"

    def start(self, video: VideoInfo) -> None:
        pass

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        if batch.index == 9:
            raise RuntimeError("tripped")
        return [Note(float(batch.times_s[0]), batch.end_s, "scene", f"group {batch.index}")]


class Described:
    """The domain `scale`."""

    @hookimpl
    def register_instruments(self, register: Callable[[object], None]) -> None:
        register(Hears())

    @hookimpl
    def describe_chunk(
        self, chunk: Chunk, frames: Sequence[FrameBatch], notes: Sequence[Note]
    ) -> list[Note]:
        loud = sum(note.kind == "speech" for note in notes)
        bright = int(np.mean([batch.images.mean() for batch in frames]))
        return [Note(chunk.start_s, chunk.end_s, "event", f"{loud} sounds, brightness {bright}")]


class Falling:
    """The domain `falls`."""

    @hookimpl
    def register_instruments(self, register: Callable[[object], None]) -> None:
        register(Hears())
        register(Falls())


scale, falls = Described(), Falling()
