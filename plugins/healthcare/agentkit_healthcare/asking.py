"""What the language model is asked of a procedure: few short questions, kept chunk by chunk."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from agentkit.types import Answer, Chunk, Citation, SessionView, StoredVideo
from agentkit_healthcare.options import Options
from agentkit_healthcare.protocol import Protocol
from agentkit_healthcare.scores import WEIGHTS, Hit, scores_of
from agentkit_healthcare.texts import prompts

VERSION = "1"  # of the questions and of how answers are read
OPEN_NATS = 2.0  # a chunk is open where its best step leads by no more than this


def answers(
    video: StoredVideo,
    session: SessionView,
    protocol: Protocol,
    options: Options,
    hits: Sequence[Hit],
) -> list[Hit]:
    """Return what the model says for the chunks that it is asked about; slow where many are."""
    if options.ask == "never":
        return []
    chunks = session.chunks(video.video_id)
    if options.ask == "unsure":
        chunks = _spread(_open(chunks, hits, len(protocol.steps)), options.ask_limit)
    found: list[Hit] = []
    for done, chunk in enumerate(chunks):
        session.progress("steps", done, len(chunks))
        found += _hits(chunk, _kept(video, session, protocol, chunk))
    if chunks:
        session.progress("steps", len(chunks), len(chunks))
    return found


def _open(chunks: Sequence[Chunk], hits: Sequence[Hit], steps: int) -> list[Chunk]:
    """Return the chunks in which no step leads."""
    return [chunk for chunk in chunks if _lead(chunk, hits, steps) <= OPEN_NATS]


def _lead(chunk: Chunk, hits: Sequence[Hit], steps: int) -> float:
    """Return by how much a chunk's best step leads its second, in nats."""
    near = [h for h in hits if h.start_s < chunk.end_s and h.end_s > chunk.start_s]
    seconds = max(int(np.ceil(chunk.end_s)), 1)
    sums = scores_of(near, seconds, steps, 1.0)[int(chunk.start_s) :].sum(axis=0)
    ranked = np.sort(sums)[::-1]
    return float(ranked[0] - ranked[1]) if steps > 1 else float(ranked[0])


def _spread(chunks: Sequence[Chunk], limit: int) -> list[Chunk]:
    """Return at most `limit` of the chunks, evenly over all of them."""
    if len(chunks) <= limit or not limit:
        return list(chunks[:limit])
    places = np.linspace(0, len(chunks) - 1, limit).round().astype(int)
    return [chunks[place] for place in dict.fromkeys(places.tolist())]


def _kept(
    video: StoredVideo, session: SessionView, protocol: Protocol, chunk: Chunk
) -> dict[str, Any]:
    """Return the model's answer on one chunk: made once, so that a killed run goes on."""
    version = f"{VERSION} {protocol.digest} {session.language}"

    def make() -> dict[str, Any]:
        answer = ask_step(video, session, protocol, chunk)
        number = answer.fields.get("number")
        spans = [[c.start_s, c.end_s, c.why] for c in answer.citations]
        return {"number": number, "confidence": answer.fields.get("confidence"), "spans": spans}

    return session.analysis(video, f"healthcare/steps/{chunk.index}", version, make)


def ask_step(
    video: StoredVideo, session: SessionView, protocol: Protocol, chunk: Chunk
) -> Answer:
    """Ask which step one chunk shows; the last option is none of them."""
    language = session.language
    names = [step.name(language) for step in protocol.steps]
    names.append(prompts()("task.step.none", language))
    question = prompts()("task.step.question", language, title=protocol.title(language))
    return session.ask(
        question, video, options=names, task="step", chunks=[chunk.index],
        start_s=chunk.start_s, end_s=chunk.end_s,
    )  # fmt: skip


def _hits(chunk: Chunk, kept: dict[str, Any]) -> list[Hit]:
    """Return the model's step over its chunk, as told by what carries the answer."""
    if not isinstance(kept["number"], int):
        return []
    weight = WEIGHTS.model * float(kept["confidence"] or 0.0)
    spans = [(max(a, chunk.start_s), min(b, chunk.end_s), why) for a, b, why in kept["spans"]]
    inside = [span for span in spans if span[0] < span[1]]
    start_s, end_s, why = inside[0] if inside else (chunk.start_s, chunk.end_s, "")
    return [Hit(kept["number"], weight, start_s, end_s, why)]


def summary(video: StoredVideo, session: SessionView) -> dict[str, Any]:
    """Return the model's summary: its text, its spans [start, end, why], whether it is carried."""

    def make() -> dict[str, Any]:
        answer = session.ask(prompts()("task.summary.question", session.language), video, task="summary")
        spans = [[c.start_s, c.end_s, c.why] for c in answer.citations]
        return {"text": answer.text, "spans": spans, "supported": answer.supported}

    return session.analysis(video, "healthcare/summary", f"{VERSION} {session.language}", make)


def judged(
    video: StoredVideo, session: SessionView, item: str, chunks: Sequence[int]
) -> bool | None:
    """Return the model's judgement whether chunks show that a safety item was done."""

    def make() -> bool | None:
        question = prompts()("task.checklist.question", session.language, item=item)
        done = session.ask(question, video, task="checklist", chunks=chunks).fields.get("done")
        return done if isinstance(done, bool) else None

    key = f"healthcare/checklist/{'-'.join(map(str, chunks))}"
    return session.analysis(video, key, f"{VERSION} {session.language} {item}", make)


def citations(video: StoredVideo, spans: Sequence[Sequence[Any]]) -> tuple[Citation, ...]:
    """Return kept spans as citations."""
    return tuple(Citation(video.video_id, start, end, why) for start, end, why in spans)
