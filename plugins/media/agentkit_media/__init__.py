"""Films, matches and broadcasts: what to look for, and how to say it.

A hook that is not here, or that returns None, is answered by the defaults. The title in a file's
metadata stays out of the prompt: whoever made the file wrote it, and it could give orders.
"""

from agentkit.hookspecs import hookimpl
from agentkit.types import Question

INSTRUCTION = (
    "The lines above are a timeline of a film, match or broadcast: the scenes, the people and "
    "things in them, what is said, and the text on screen. "
    "Answer from these lines in one or two short sentences. "
    "Quote what is said or written on screen word for word."
)


@hookimpl
def user_prompt(question: Question, encoder: str) -> str | None:
    if encoder != "notes":
        return None  # no lines stand above where the model sees the pictures
    options = [f"- {option}" for option in question.options]
    return "\n".join([INSTRUCTION, f"Question: {question.text}", *options])
