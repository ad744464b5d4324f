"""What happens where a domain is silent: a plugin like any other, registered first.

There is no `plan_sampling` here: the settings decide which frames are looked at. The wording is in
prompts/: of five in English that were tried with the 0.5B, this one is short and none was answered
better.
"""

from collections.abc import Sequence
from functools import cache

from agentkit.hookspecs import Image, hookimpl
from agentkit.types import (
    Answer,
    ChunkHit,
    Evidence,
    Note,
    Prompts,
    Question,
    SessionView,
    StoredVideo,
)

SYSTEM_PROMPT = "You are a helpful assistant."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@hookimpl
def system_prompt() -> str:
    return SYSTEM_PROMPT


@hookimpl
def user_prompt(question: Question, encoder: str) -> str:
    """Explain lines to a language model; the video model was taught on bare questions."""
    if encoder == "videoxl2":
        return "\n".join([question.text, *_options(question)])
    instruction = prompts()("prompt.instruction", question.language)
    return f"{instruction}\n{question_text(question)}"


@hookimpl
def select_chunks(hits: list[ChunkHit]) -> list[ChunkHit]:
    return hits


@hookimpl
def parse_answer(question: Question, text: str, evidence: Evidence) -> Answer:
    return Answer(
        question=question,
        text=text.strip(),
        citations=evidence.citations,
        coverage=evidence.coverage,
        supported=evidence.supported,
    )


@hookimpl
def segments(video: StoredVideo, session: SessionView) -> list[Note]:
    """Cut at every noted change of shot."""
    cuts_s = sorted({n.start_s for n in session.notes(video.video_id) if n.kind == "shot"})
    starts_s = [0.0, *(cut_s for cut_s in cuts_s if 0 < cut_s < video.duration_s)]
    ends_s = [*starts_s[1:], video.duration_s]
    spans = enumerate(zip(starts_s, ends_s, strict=True), start=1)
    return [Note(start_s, end_s, "shot", f"Shot {n}") for n, (start_s, end_s) in spans]


@hookimpl
def redact_frames(images: Sequence[Image]) -> list[Image]:
    return list(images)


@hookimpl
def redact_text(text: str) -> str:
    return text


def question_text(question: Question) -> str:
    """Return the question as the model reads it, its options lettered."""
    asked = prompts()("prompt.question", question.language, question=question.text)
    return "\n".join([asked, *_options(question)])


@cache
def prompts() -> Prompts:
    """Return the wording, read once."""
    return Prompts.load("agentkit")


def _options(question: Question) -> list[str]:
    return [f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=False)]
