"""A question and its answer: what carries it, what it rests on, and how far it can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentkit_storage.types import ChunkHit, Note

Verdict = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `task` names one of the domain's own questions, "" is a person's.

    `language` ("en", "zh") is that of the prompt and of the answer wanted.
    """

    text: str
    options: tuple[str, ...] = ()
    task: str = ""
    language: str = "en"


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
class Finding:
    """A claim and whether the evidence carries it; without evidence it is shown as such."""

    claim: str
    verdict: Verdict
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    question: Question
    text: str
    citations: tuple[Citation, ...]
    coverage: Coverage
    fields: Mapping[str, object] = field(default_factory=dict)
    supported: bool | None = None
    findings: tuple[Finding, ...] = ()  # what was checked of it, claim by claim
