"""How one question is to be answered, besides its words. Knows no model, so that it loads none."""

from collections.abc import Collection
from dataclasses import dataclass

from agentkit.types import OnText, Turns


@dataclass(frozen=True, slots=True)
class Request:
    """What may be left out of a question.

    `on_text` gets the answer's pieces as they come; `chunks` stay whole, by default the settings
    say how they are chosen; `span_s`, (start, end), is where evidence may come from; `frames_s`
    are the seconds that it took just now to make the video's tokens from its frames again.
    """

    history: Turns = ()
    on_text: OnText = lambda piece: None
    chunks: Collection[int] | None = None
    span_s: tuple[float, float] | None = None
    frames_s: float | None = None
