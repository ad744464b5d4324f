"""The encoders behind one Protocol: a chunk's frames and notes in, tokens out.

Knows no store and no question. What a third one needs is in
docs/design.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import UsageError
from agentkit.note_line import group_line
from agentkit.rules import OF_ENCODER
from agentkit.types import FrameBatch, GroupTokens, Note

if TYPE_CHECKING:
    from torch import Tensor

ENCODERS = tuple(OF_ENCODER)  # those of this version
FRAMES_PER_GROUP = 4  # as the video model was trained


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
    picture_px: int = 0  # it reads notes alone

    def encode(
        self, batches: Sequence[FrameBatch], notes: Sequence[Sequence[Note]]
    ) -> list[GroupTokens]:
        """Return each group's line as ids; the first states everything, the others what changed."""
        before = [None, *notes[:-1]]
        return [self._group(*group) for group in zip(batches, notes, before, strict=True)]

    def _group(
        self, batch: FrameBatch, notes: Sequence[Note], before: Sequence[Note] | None
    ) -> GroupTokens:
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
        return _unit(self.embed_ids(ids.tolist()).mean(axis=0))


class Pictures(Protocol):
    """What the encoder of pictures needs of the video model."""

    @property
    def image_size(self) -> int:
        """The side of the squares that pictures are brought to, in pixels."""

    def encode_rows(self, images: NDArray[np.uint8]) -> "Tensor":
        """Frames [T, H, W, 3] RGB -> one run of rows for every 4 of them, [G, 144, D]."""


@dataclass(frozen=True, slots=True)
class VideoXL2Encoder:
    """Shows the frames to the video model; notes serve the search alone."""

    model: Pictures
    fingerprint: str
    name: str = "videoxl2"

    @property
    def picture_px(self) -> int:
        return self.model.image_size

    def encode(
        self, batches: Sequence[FrameBatch], notes: Sequence[Sequence[Note]]
    ) -> list[GroupTokens]:
        """Return each group's rows; a chunk's frames go through the model at once.

        Raises:
            UsageError: the groups are not of 4 frames.
            SettingError: what the model gives is no finite number.
        """
        sizes = [len(batch.images) for batch in batches]
        if max(sizes) > FRAMES_PER_GROUP or any(n < FRAMES_PER_GROUP for n in sizes[:-1]):
            raise UsageError(
                f"videoxl2 takes groups of {FRAMES_PER_GROUP} frames; let the plan say"
                f" frames_per_group={FRAMES_PER_GROUP}"
            )
        rows = self.model.encode_rows(np.concatenate([batch.images for batch in batches]))
        numbers = _compact(rows.float().cpu().numpy())
        return [self._group(*group) for group in zip(batches, numbers, strict=True)]

    def _group(self, batch: FrameBatch, rows: NDArray[np.float16 | np.float32]) -> GroupTokens:
        start_s = float(batch.times_s[0])
        return GroupTokens(time_text(start_s), start_s, batch.end_s, rows=rows)

    def pooled(self, groups: Sequence[GroupTokens]) -> NDArray[np.float32]:
        """Return the mean of the groups' rows as a unit vector, [D]."""
        rows = np.concatenate([group.rows for group in groups if group.rows is not None])
        return _unit(rows.mean(axis=0, dtype=np.float32))


def _compact(rows: NDArray[np.float32]) -> NDArray[np.float16 | np.float32]:
    """Return rows in 16 bits: finer than the bfloat16 that the model was trained in.

    They stay float32 where a number is beyond what float16 holds.
    """
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    return half if np.isfinite(half).all() else rows


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)
