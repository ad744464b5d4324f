"""The domain's voice before the model, and its ear after it."""

from string import ascii_uppercase

from agentkit.types import Answer, Evidence, Question
from agentkit_security.fields import Fields, anomaly_fields, event_fields
from agentkit_security.wording import texts

TASKS = ("summary", "anomaly", "event")


def prompt(question: Question, encoder: str) -> str | None:
    """Return the text after the video; None leaves a person's question to the defaults.

    Where the model sees the pictures itself, no lines are spoken of.
    """
    words, language, task = texts(), question.language, question.task
    if encoder != "notes" and task not in TASKS:
        return None
    parts = [words("prompt.context", language)] if encoder == "notes" else []
    if task not in TASKS:
        parts.append(words("prompt.instruction", language))
    parts.append(words("prompt.question", language, question=question.text))
    options = zip(ascii_uppercase, question.options, strict=False)
    parts += [f"{letter}. {option}" for letter, option in options]
    if task in TASKS:
        # A small model does what stands last.
        parts.append(words(f"task.{task}.instruction", language))
    return "\n".join(parts)


def answer(question: Question, text: str, evidence: Evidence) -> Answer | None:
    """Return an answer with the fields of the domain's own question; None: it is not one."""
    fields: Fields
    if question.task == "anomaly":
        fields = anomaly_fields(text)
    elif question.task == "event":
        fields = event_fields(text)
    else:
        return None
    return Answer(
        question,
        text.strip(),
        evidence.citations,
        evidence.coverage,
        fields=fields,
        supported=evidence.supported,
    )
