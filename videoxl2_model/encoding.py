"""Frames in, rows of the language model's embedding space out, a batch at a time."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from videoxl2_model import pixels
from videoxl2_model.config import FRAMES_PER_GROUP, whole
from videoxl2_model.connector import Connector
from videoxl2_model.errors import SettingError
from videoxl2_model.frames import Batch, TimedFrame, Uploader, batches
from videoxl2_model.vision import VisionTower

BATCH_FRAMES = 32


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """One group's rows [144, hidden], and its first frame's time."""

    time_s: float
    rows: Tensor


@dataclass(frozen=True, slots=True)
class FrameEncoder:
    """Resize, tower and connector in one."""

    tower: VisionTower
    connector: Connector

    @property
    def device(self) -> torch.device:
        return self.tower.vision_model.embeddings.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.tower.vision_model.embeddings.patch_embedding.weight.dtype

    def stream(self, frames: Iterable[TimedFrame], batch_frames: int) -> Iterator[EncodedGroup]:
        """Yield one group per 4 frames, the last filled up by its last frame.

        On CUDA a batch's groups come once the next batch has been sent: looking at them waits for
        the device, which has the next ones to do meanwhile.

        Raises:
            SettingError: there is no frame, one cannot be used, or rows are not finite.
        """
        whole("batch_frames", batch_frames, FRAMES_PER_GROUP)
        size = batch_frames // FRAMES_PER_GROUP * FRAMES_PER_GROUP
        ahead = batches_ahead(self.device)
        waiting: deque[tuple[int, Tensor, list[float]]] = deque()
        done = 0
        for rows, times_s in self._sent(batches(frames, size)):
            waiting.append((done, rows, times_s))
            done += len(rows)
            if len(waiting) > ahead:
                yield from self._groups(*waiting.popleft())
        if not done:
            raise SettingError("no frames: give one or more")
        while waiting:
            yield from self._groups(*waiting.popleft())

    def _sent(self, source: Iterator[Batch]) -> Iterator[tuple[Tensor, list[float]]]:
        """Yield rows [G, 144, hidden] and group times of batches, perhaps still being computed."""
        upload = Uploader(self.device)
        for batch in source:
            rows = self._rows(upload.runs(batch.frames))
            times_s = batch.times_s[::FRAMES_PER_GROUP]
            del batch  # its pixels have been read
            yield rows, times_s

    @torch.no_grad()
    def _rows(self, runs: Iterator[Tensor]) -> Tensor:
        size = self.tower.config.image_size
        frames = torch.cat([pixels.resize(images, size) for images in runs])  # [T, 3, S, S]
        rows: Tensor = self.connector(self.tower(pixels.normalise(frames, self.dtype)))
        return rows

    def _groups(self, first: int, rows: Tensor, times_s: list[float]) -> Iterator[EncodedGroup]:
        finite = rows.isfinite().flatten(1).all(1).tolist()
        for index, (is_finite, time_s) in enumerate(zip(finite, times_s, strict=True)):
            if not is_finite:
                raise not_finite(first + index, self.dtype)
            yield EncodedGroup(time_s, rows[index])


def batches_ahead(device: torch.device) -> int:
    """Return how many batches are sent before one is looked at."""
    return 1 if device.type == "cuda" else 0


def not_finite(group: int, dtype: torch.dtype) -> SettingError:
    """Return the error for a group whose rows are no finite numbers."""
    first = group * FRAMES_PER_GROUP
    return SettingError(
        f"group {group} (frames {first} to {first + FRAMES_PER_GROUP - 1}) has rows that are no"
        f" finite numbers in {dtype}; load with dtype=torch.bfloat16 or float32, or check the"
        " weights"
    )
