"""What the language model is asked of a procedure: few short questions, kept chunk by chunk."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from agentkit.types import Answer, Chunk, SessionView, StoredVideo
from agentkit_healthcare.options import Options
from agentkit_healthcare.protocol import Check, Protocol
from agentkit_healthcare.scores import WEIGHTS, Hit
from agentkit_healthcare.texts import prompts

VERSION = "1"  # of the questions and of how answers are read
OPEN_LEAD = 0.5  # a chunk is open where its best step leads by no more than this weight


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
    return [chunk for chunk in chunks if _lead(chunk, hits, steps) <= OPEN_LEAD]


def _lead(chunk: Chunk, hits: Sequence[Hit], steps: int) -> float:
    """Return by how much the weights of a chunk's best step lead those of its second."""
    sums = [0.0] * max(steps, 2)
    for hit in hits:
        if hit.start_s < chunk.end_s and hit.end_s > chunk.start_s:
            sums[hit.step] += hit.weight
    second, best = sorted(sums)[-2:]
    return best - second


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
        spans = [[cite.start_s, cite.end_s] for cite in answer.citations]
        return {"number": number, "confidence": answer.fields.get("confidence"), "spans": spans}

    return session.analysis(video, f"healthcare/steps/{chunk.index}", version, make)


def ask_step(video: StoredVideo, session: SessionView, protocol: Protocol, chunk: Chunk) -> Answer:
    """Ask which step one chunk shows; the last option is none of them."""
    language = session.language
    names = [step.name(language) for step in protocol.steps]
    names.append(prompts()("task.step.none", language))
    question = prompts()("task.step.question", language, title=protocol.title(language))
    return session.ask(
        question,
        video,
        options=names,
        task="step",
        chunks=[chunk.index],
        start_s=chunk.start_s,  # else lines of other chunks stand before the question
        end_s=chunk.end_s,
    )


def _hits(chunk: Chunk, kept: dict[str, Any]) -> list[Hit]:
    """Return the model's step over what carries its answer, or over the whole chunk."""
    if not isinstance(kept["number"], int):
        return []
    weight = WEIGHTS.model * float(kept["confidence"] or 0.0)
    spans = [(max(start, chunk.start_s), min(end, chunk.end_s)) for start, end in kept["spans"]]
    inside = [span for span in spans if span[0] < span[1]]
    start_s, end_s = inside[0] if inside else (chunk.start_s, chunk.end_s)
    return [Hit(kept["number"], weight, start_s, end_s, "", by_model=True)]


def judged(
    video: StoredVideo, session: SessionView, check: Check, chunks: Sequence[int]
) -> bool | None:
    """Return the model's judgement whether chunks show that a safety item was done."""
    language = session.language
    name = check.name(language)

    def make() -> bool | None:
        question = prompts()("task.checklist.question", language, item=name)
        done = session.ask(question, video, task="checklist", chunks=chunks).fields.get("done")
        return done if isinstance(done, bool) else None

    version = f"{VERSION} {language} {name} {list(chunks)}"
    return session.analysis(video, f"healthcare/checklist/{check.id}", version, make)
