"""What the store keeps, as plain values. Standard library only: no SQL, no arrays, no model."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One observation of an instrument, a plugin or the sound track.

    `box` is (left, top, right, bottom) as shares of the picture, 0..1; `score` is 0..1 where the
    instrument gives one.
    """

    start_s: float
    end_s: float
    kind: str
    text: str
    score: float | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of consecutive groups: the unit that is stored, found and kept dense or sparse."""

    video_id: str
    index: int
    start_s: float
    end_s: float
    first_group: int
    num_groups: int


@dataclass(frozen=True, slots=True)
class ChunkHit:
    """A chunk that a search found; `why` is the text that matched, for people to read.

    `span_s` is when that text holds, (start, end); None stands for the whole chunk.
    """

    chunk: Chunk
    score: float
    why: str
    span_s: tuple[float, float] | None = None

    @property
    def start_s(self) -> float:
        return self.span_s[0] if self.span_s else self.chunk.start_s

    @property
    def end_s(self) -> float:
        return self.span_s[1] if self.span_s else self.chunk.end_s


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """A video in the store; `state` is `ingesting` until its last chunk is in, then `ready`."""

    video_id: str
    path: str
    duration_s: float
    frames_in_file: int
    frames_seen: int
    step_s: float  # mean distance between sampled frames
    chunks: int
    state: str
    tiers: tuple[str, ...]
    title: str = ""
    width_px: int = 0
    height_px: int = 0
    has_sound: bool = False
    instruments: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # instruments left out, each with its reason
    warnings: tuple[str, ...] = ()
    collection: str = "default"
    pinned: bool = False  # its KV stays, whatever the budget
    domain: str = ""  # the plugin that spoke when it was ingested
    tags: tuple[str, ...] = ()  # in order


@dataclass(frozen=True, slots=True)
class Tier:
    """What is kept of one video in one tier, of one making; vectors: in one space, `part`."""

    name: str  # notes, vectors, tokens or kv
    part: str
    fingerprint: str  # what it depends on besides the content
    nbytes: int
    chunks: int  # that have it
    dtype: str  # of its numbers, several with commas; "" for text, and where it was not noted
    used_at: float | None = None  # seconds since 1970; KV only
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """Which segments a search looks at. What is left open does not matter."""

    video_ids: Sequence[str] | None = None
    collection: str | None = None
    domain: str | None = None
    tags: tuple[str, ...] = ()  # a video must have all of them
    start_s: float | None = None  # a segment must touch [start_s, end_s)
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A chunk that a worker was given and that is not stored yet."""

    video_id: str
    chunk: int
    attempts: int
    worker: str
    error: str = ""  # of the last attempt
    updated_at: float = 0.0  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Owner:
    """Who works on a video, and when it last said so; seconds since 1970."""

    host: str
    pid: int
    since: float
    beat_at: float


@dataclass(frozen=True, slots=True)
class Hit:
    """What a search of the store found; `score` is a cosine, or for words a positive bm25."""

    video_id: str
    chunk_index: int
    start_s: float
    end_s: float
    score: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class VideoBytes:
    """What one video takes, by tier. Text and ids by their own length, blobs by their files'."""

    video_id: str
    notes: int
    vectors: int
    tokens: int
    kv: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store takes on disk; `unreferenced` is what `gc` would free, once it is old enough."""

    videos: tuple[VideoBytes, ...]
    database: int
    blobs: int
    index: int
    unreferenced: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that `verify` found wrong; without a video it concerns the whole store."""

    what: str
    video_id: str | None = None
    start_s: float | None = None
    end_s: float | None = None
