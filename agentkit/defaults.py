"""What happens where a domain is silent: a plugin like any other, registered first.

There is no `plan_sampling` here: the settings decide which frames are looked at.
"""

from agentkit.hookspecs import hookimpl
from agentkit.types import Answer, ChunkHit, Evidence, Question

SYSTEM_PROMPT = "You are a helpful assistant."
# Of five wordings tried with the 0.5B this one is short and none was answered better.
INSTRUCTION = "The lines are a timeline of a video. Answer from them in one or two short sentences."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@hookimpl
def system_prompt() -> str:
    return SYSTEM_PROMPT


@hookimpl
def user_prompt(question: Question, encoder: str) -> str:
    """Explain lines to a language model; the video model was taught on bare questions."""
    if encoder == "videoxl2":
        return "\n".join([question.text, *_options(question)])
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
    return "\n".join([f"Question: {question.text}", *_options(question)])


def _options(question: Question) -> list[str]:
    return [f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=False)]
