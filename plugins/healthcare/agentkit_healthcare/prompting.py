"""The text that stands after the video: the task's instruction, the question, lettered options."""

from agentkit.types import Question
from agentkit_healthcare.answers import LETTERS, TASKS
from agentkit_healthcare.texts import prompts


def prompt(question: Question) -> str:
    """Return the prompt of one of our tasks, or of a person's question."""
    name = f"task.{question.task}" if question.task in TASKS else "prompt"
    instruction = prompts()(f"{name}.instruction", question.language)
    asked = prompts()("prompt.question", question.language, text=question.text)
    options = [f"{a}. {text}" for a, text in zip(LETTERS, question.options, strict=False)]
    return "\n".join([instruction, asked, *options])
