"""A video on its way in: what is known of it, which frames are looked at, what becomes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from agentkit_storage.types import StoredVideo

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
class Detection:
    """One thing in one picture; `box` is (left, top, right, bottom) as shares of the picture."""

    kind: str  # "person", "car", ... (COCO's names), "face" or "text"
    score: float  # 0..1
    box: tuple[float, float, float, float]


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
