"""Frames from an iterator to the device in batches: one batch of pixels alive at a time."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videoxl2_model.errors import SettingError

Picture = NDArray[np.uint8] | Tensor  # [H, W, 3] RGB
Pictures = NDArray[np.uint8] | Tensor  # [T, H, W, 3] RGB
TimedFrame = tuple[Picture, float]  # its time in seconds


def timed(
    images: Pictures | Sequence[Picture], times_s: Sequence[float] | None = None
) -> Iterator[TimedFrame]:
    """Return frames with their times: 0, 1, 2, ... seconds where none are given.

    Raises:
        SettingError: the images are no array [T, H, W, 3] or list of frames, or the times are
            not as many.
    """
    shape = getattr(images, "shape", (len(images), 0, 0, 3))
    if len(shape) != 4:
        raise SettingError(f"frames of shape {list(shape)}; [T, H, W, 3] is needed")
    times = range(len(images)) if times_s is None else times_s
    if len(times) != len(images):
        raise SettingError(f"{len(images)} frames have {len(times)} times")
    return zip(images, times, strict=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive frames on their way to the device, and their times."""

    frames: list[Tensor]  # each [H, W, 3] uint8; sizes may differ
    times_s: list[float]


def batches(frames: Iterable[TimedFrame], size: int) -> Iterator[Batch]:
    """Yield frames `size` at a time, the last batch shorter; holds none that it has yielded.

    Raises:
        SettingError: a frame comes without a time or is no [H, W, 3] uint8 picture, or a time is
            no finite number.
    """
    rest = iter(frames)
    index = 0
    while True:
        batch = Batch([], [])
        for each in islice(rest, size):
            frame, time_s = _pair(each, index)
            batch.frames.append(_picture(frame, index))
            batch.times_s.append(_time(time_s, index))
            index += 1
        if not batch.frames:
            return
        yield batch
        del batch, each, frame


def _pair(each: TimedFrame, index: int) -> TimedFrame:
    if not isinstance(each, tuple | list) or len(each) != 2:
        raise SettingError(
            f"frame {index} comes as {type(each).__name__}; (frame [H, W, 3], time in seconds) is"
            " needed"
        )
    return each[0], each[1]


def _picture(frame: Picture, index: int) -> Tensor:
    """Return a copy: a reader may fill the same buffer with the next frame."""
    axes: tuple[int, ...] = tuple(getattr(frame, "shape", ()))
    kind = str(getattr(frame, "dtype", type(frame).__name__))
    if len(axes) != 3 or axes[-1] != 3 or 0 in axes or not kind.endswith("uint8"):
        raise SettingError(
            f"frame {index} has shape {list(axes)} and type {kind};"
            " [H, W, 3] of uint8 (RGB) is needed"
        )
    return frame.clone() if isinstance(frame, Tensor) else torch.from_numpy(np.array(frame))


def _time(time_s: float, index: int) -> float:
    try:
        seconds = float(time_s)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise SettingError(f"the time of frame {index} is {time_s!r}; seconds are needed")
    return seconds


class Uploader:
    """Stacks frames of one size on the device.

    On CUDA through two pinned buffers and a stream of its own: a copy runs while the device still
    works on the batch before. Elsewhere a plain stack. (Unmeasured where no GPU was at hand.)
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._turn = 0
        self._staged: list[Tensor | None] = [None, None]
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own
            self._done = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]  # torch's own

    def runs(self, frames: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield frames on the device, [n, H, W, 3] for every run of n frames of one size."""
        for _, run in groupby(frames, key=lambda frame: (frame.shape, frame.device)):
            yield self._stack(list(run))

    def _stack(self, frames: list[Tensor]) -> Tensor:
        if self._device.type != "cuda" or frames[0].device.type != "cpu":
            return torch.stack(frames).to(self._device)
        self._turn = 1 - self._turn
        done = self._done[self._turn]
        done.synchronize()  # the copy that used this buffer last
        staged = torch.stack(frames, out=self._room(len(frames), frames[0]))
        with torch.cuda.stream(self._copies):
            images = staged.to(self._device, non_blocking=True)
            done.record(self._copies)
        work = torch.cuda.current_stream(self._device)
        work.wait_event(done)
        images.record_stream(work)
        return images

    def _room(self, count: int, frame: Tensor) -> Tensor:
        """Return a pinned place for frames, made larger where it must be."""
        needed = count * frame.numel()
        buffer = self._staged[self._turn]
        if buffer is None or buffer.numel() < needed:
            buffer = torch.empty(needed, dtype=torch.uint8, pin_memory=True)
            self._staged[self._turn] = buffer
        return buffer[:needed].view(count, *frame.shape)
