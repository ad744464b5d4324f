"""The stable JSON of answers, hits, videos and ingest events. docs/cli.md documents each key."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkit.types import (
        Answer,
        ChunkHit,
        Citation,
        Coverage,
        IngestEvent,
        StoredVideo,
    )

Form = dict[str, Any]

ANSWER_KEYS = ("text", "citations", "coverage", "question", "supported")
CITATION_KEYS = ("video_id", "start_s", "end_s", "why", "frame_s")
COVERAGE_KEYS = (
    "engine",
    "frames_seen",
    "frames_in_file",
    "step_s",
    "dense_chunks",
    "chunks",
    "tokens",
    "instruments",
    "missing",
    "seconds",
    "tier",
)
HIT_KEYS = ("video_id", "start_s", "end_s", "score", "why")
VIDEO_KEYS = ("video_id", "path", "duration_s", "chunks", "state", "tiers")
EVENT_KEYS = ("event", "video_id", "chunk", "of", "seconds", "path", "message")


def answer(value: "Answer") -> Form:
    """Return what `ask --json` prints."""
    return {
        "text": value.text,
        "citations": [citation(cite) for cite in value.citations],
        "coverage": coverage(value.coverage),
        "question": value.question.text,
        "supported": value.supported,
    }


def citation(value: "Citation") -> Form:
    return _picked(value, CITATION_KEYS)


def coverage(value: "Coverage") -> Form:
    form = {key: getattr(value, key) for key in COVERAGE_KEYS}
    return form | {"seconds": dict(value.seconds)}


def hit(value: "ChunkHit") -> Form:
    """Return one of the hits that `search --json` prints."""
    chunk = value.chunk
    return {
        "video_id": chunk.video_id,
        "start_s": chunk.start_s,
        "end_s": chunk.end_s,
        "score": value.score,
        "why": value.why,
    }


def video(value: "StoredVideo") -> Form:
    """Return one of the videos that `videos list --json` prints."""
    return _picked(value, VIDEO_KEYS)


def whole_video(value: "StoredVideo") -> Form:
    """Return what `videos show --json` prints: everything the store says of a video."""
    return asdict(value)


def event(value: "IngestEvent") -> Form:
    """Return one line of `ingest --json`."""
    return _picked(value, EVENT_KEYS)


def _picked(value: object, keys: tuple[str, ...]) -> Form:
    return {key: getattr(value, key) for key in keys}
