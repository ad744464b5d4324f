"""What happens where a domain is silent: a plugin like any other, registered first.

There is no `plan_sampling` here: the settings decide which frames are looked at.
"""

from agentkit.hookspecs import hookimpl
from agentkit.types import Answer, ChunkHit, Evidence, Question, StoredVideo

SYSTEM_PROMPT = "You are a helpful assistant."
# Of five wordings tried with the 0.5B this one is short and none was answered better.
INSTRUCTION = "The lines are a timeline of a video. Answer from them in one or two short sentences."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@hookimpl
def system_prompt() -> str:
    return SYSTEM_PROMPT


@hookimpl
def user_prompt(video: StoredVideo, question: Question) -> str:
    return f"{INSTRUCTION}\n{question_text(question)}"


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


def question_text(question: Question) -> str:
    """Return the question as the model reads it, its options lettered."""
    options = [f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=False)]
    return "\n".join([f"Question: {question.text}", *options])
