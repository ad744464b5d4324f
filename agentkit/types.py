"""The values that users, plugins and agents meet. Knows no torch, no SQL, no file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from agentkit_storage.types import Chunk, ChunkHit, Filter, Note, StoredVideo, Tier

__all__ = [
    "Answer",
    "Chunk",
    "ChunkHit",
    "Citation",
    "Coverage",
    "Embedder",
    "Encoder",
    "Evaluator",
    "Evidence",
    "Filter",
    "Finding",
    "FrameBatch",
    "GroupTokens",
    "IngestEvent",
    "Instrument",
    "Note",
    "OnEvent",
    "OnText",
    "Question",
    "Report",
    "SamplingPlan",
    "Section",
    "SessionView",
    "SoundInstrument",
    "StoredVideo",
    "Tier",
    "Turns",
    "VideoInfo",
    "VideoModel",
    "VideoName",
    "Where",
    "Which",
]

SamplingMode = Literal["fps", "reference", "keyframes", "uniform"]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video before it is sampled. `video_id` is the SHA-256 of its bytes."""

    video_id: str
    path: Path
    duration_s: float
    size_px: tuple[int, int]  # width, height as shown, after rotation
    rotation_deg: int
    time_base: Fraction
    frames_in_file: int
    frames_per_s: float  # average; for people, never for times
    has_sound: bool
    codec: str
    title: str = ""
    times_estimated: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Which frames to look at; `fps` takes the last frame at or before each multiple of 1/fps s."""

    mode: SamplingMode = "fps"
    fps: float = 1.0
    max_frames: int | None = None
    max_fps: float | None = None
    frames_per_group: int = 4


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """The sampled frames of one group, at the video's own size."""

    index: int  # of the group in the video
    images: NDArray[np.uint8]  # [T, H, W, 3] RGB, T <= frames_per_group
    times_s: NDArray[np.float64]  # [T] presentation times, from 0
    end_s: float  # where the group's span ends: the next group's first time, or the video's end


@dataclass(frozen=True, slots=True)
class GroupTokens:
    """One group as the language model reads it: a time text, then ids or rows."""

    time_text: str
    start_s: float
    end_s: float
    text: str = ""  # the line, where the encoder writes one
    ids: NDArray[np.int64] | None = None  # [n]
    rows: NDArray[np.float16 | np.float32] | None = None  # [n, D]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A span of video that carries an answer. Made by bookkeeping, never by the model."""

    video_id: str
    start_s: float
    end_s: float
    why: str
    frame_s: float | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an answer rests on, so that nobody takes a glance for a close look."""

    engine: str
    frames_seen: int
    frames_in_file: int
    step_s: float
    dense_chunks: tuple[int, ...]
    chunks: int
    tokens: int
    instruments: tuple[str, ...]
    missing: tuple[str, ...] = ()  # "ocr: extra 'ocr' is not installed"
    seconds: Mapping[str, float] = field(default_factory=dict)  # per stage
    tier: str = "kv"  # kv, tokens or frames: what the answer was read from
    reading: str = ""  # which chunks were read whole, and what of the others


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the session held against a question: hits of the search and the notes inside them."""

    hits: tuple[ChunkHit, ...]
    notes: tuple[Note, ...]
    citations: tuple[Citation, ...]
    coverage: Coverage
    supported: bool | None


@dataclass(frozen=True, slots=True)
class Answer:
    question: Question
    text: str
    citations: tuple[Citation, ...]
    coverage: Coverage
    fields: Mapping[str, object] = field(default_factory=dict)
    supported: bool | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    claim: str
    verdict: Literal["supported", "contradicted", "unsupported"]
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    body: str
    figures: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    video_ids: tuple[str, ...]
    sections: tuple[Section, ...]
    coverage: Coverage | None = None


@dataclass(frozen=True, slots=True)
class IngestEvent:
    """One step of an ingest, as `ingest --json` prints it."""

    event: Literal["start", "stage", "chunk", "done", "skip", "error"]
    video_id: str
    path: str
    chunk: int = 0  # chunks finished
    of: int = 0  # chunks expected
    seconds: float = 0.0  # since the start
    stage: str = ""  # probe, speech, frames, prefill
    share: float = 0.0  # of the stage, 0..1
    message: str = ""


class Which(TypedDict, total=False):
    """Which videos of the store are meant; what is left open does not matter."""

    collection: str | None
    domain: str | None
    tags: Sequence[str]  # a video must have all of them


class Where(Which, total=False):
    """Which videos, and what must be touched of each: from `start_s` on, up to `end_s`."""

    start_s: float | None
    end_s: float | None


VideoName = str | Path | StoredVideo
OnEvent = Callable[[IngestEvent], None]
OnText = Callable[[str], None]  # gets an answer's pieces as they come
Turns = Sequence[tuple[str, str]]  # earlier questions and answers of a conversation


class Instrument(Protocol):
    """Looks at frames. May remember the group before, no more: an ingest resumes at any chunk."""

    name: str

    def start(self, video: VideoInfo) -> None:
        """Forget the video before."""

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        """Return what is seen in one group; groups come in order."""


class SoundInstrument(Protocol):
    """Listens to the whole sound track, once, before the frames."""

    name: str

    def listen(self, video: VideoInfo, progress: Callable[[float], None]) -> list[Note]:
        """Return notes in order of time; `progress` is called with the seconds heard so far."""


class Embedder(Protocol):
    """Text to unit vectors, all of one space; `fingerprint` names the space."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def size(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), size]."""


class Encoder(Protocol):
    """Turns a chunk's frames and notes into tokens of the language model."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """What the tokens depend on besides frames and notes."""

    @property
    def picture_px(self) -> int:
        """The side of the squares it brings pictures to, which is all it needs; 0: needs none."""

    def encode(
        self, batches: Sequence[FrameBatch], notes: Sequence[Sequence[Note]]
    ) -> list[GroupTokens]:
        """Return each group's tokens; `notes` has one entry a group. A chunk stands alone."""

    def pooled(self, groups: Sequence[GroupTokens]) -> NDArray[np.float32]:
        """Return one unit vector [E] for a chunk's groups."""


class VideoModel(Protocol):
    """A language model over a prefilled video."""

    def generate(self, prompt: str, dense: Iterable[int]) -> Iterable[str]:
        """Yield the answer's pieces of text as they come."""


class Evaluator(Protocol):
    """A metric of a domain; `source` names the paper or the field's own code."""

    name: str
    source: str

    def evaluate(self, predictions: Path, ground_truth: Path) -> Mapping[str, float]:
        """Return the metric's values by name."""


class SessionView(Protocol):
    """What a plugin may do with a session."""

    def ask(self, question: str, video: str) -> Answer: ...

    def search(self, text: str, videos: Sequence[str] = (), k: int = 10) -> list[ChunkHit]: ...

    def frames(self, video: str, times_s: Sequence[float]) -> list[NDArray[np.uint8]]: ...

    def notes(self, video: str, start_s: float = 0.0, end_s: float | None = None) -> list[Note]: ...
