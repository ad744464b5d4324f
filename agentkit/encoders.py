"""The encoders behind one Protocol: a group of frames and its notes in, tokens out.

Knows no store and no question. What a third one needs is in
docs/design.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import UsageError
from agentkit.note_line import VERSION, group_line
from agentkit.types import Encoder, FrameBatch, GroupTokens, Note

if TYPE_CHECKING:
    from videoxl2_model.model import LanguageModel


ENCODERS = ("notes",)  # those of this version


def time_text(start_s: float) -> str:
    """Return a group's timestamp as the model reads it (Video-XL-2 reference, section 9)."""
    return f"Time {round(start_s, 1)}s:"


@dataclass(frozen=True, slots=True)
class NotesEncoder:
    """Writes one line a group from the notes; its ids stand for rows of the model's own table."""

    tokenize: Callable[[str], list[int]]
    embed_ids: Callable[[Sequence[int]], NDArray[np.float32]]  # ids [n] -> rows [n, D]
    budget_tokens: int
    fingerprint: str
    name: str = "notes"

    def encode(
        self, batch: FrameBatch, notes: Sequence[Note], before: Sequence[Note] | None
    ) -> GroupTokens:
        """Return the group's line as ids; without `before` the line states everything in full."""
        line = group_line(
            notes,
            before or (),
            budget_tokens=self.budget_tokens,
            full=before is None,
            count=lambda text: len(self.tokenize(text)),
        )
        start_s = float(batch.times_s[0])
        return GroupTokens(
            time_text=time_text(start_s),
            start_s=start_s,
            end_s=batch.end_s,
            text=line,
            ids=np.asarray(self.tokenize(f" {line}\n"), dtype=np.int64),
        )

    def pooled(self, groups: Sequence[GroupTokens]) -> NDArray[np.float32]:
        """Return the mean of the groups' embedding rows as a unit vector, [D]."""
        ids = np.concatenate([group.ids for group in groups if group.ids is not None])
        mean = self.embed_ids(ids.tolist()).mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


def load_encoder(name: str, model: "LanguageModel", tokenizer: str, budget_tokens: int) -> Encoder:
    """Return the encoder called `name`; `tokenizer` is the fingerprint of the model's own.

    Raises:
        UsageError: no encoder has this name.
    """
    if name == "notes":
        return NotesEncoder(
            tokenize=model.encode,
            embed_ids=model.embed_ids,
            budget_tokens=budget_tokens,
            fingerprint=f"notes/{VERSION}/{tokenizer}/{budget_tokens}",
        )
    raise UsageError(f"the encoder {name!r} is not in this version; set encoder to 'notes'")
