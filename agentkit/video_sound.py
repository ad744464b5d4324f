"""The sound track of a video, on the clock of its frames. Knows samples, not speech."""

import logging
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from agentkit.errors import VideoLimitError
from agentkit.video_clock import packets_of
from agentkit.video_open import VideoLimits, open_container, shown, sound_stream

logger = logging.getLogger(__name__)

RATE_HZ = 16_000
BLOCK_SAMPLES = 5 * RATE_HZ
# Below this, times of packets only jitter (containers round them); above, sound is missing.
GAP_S = 0.1

Block = tuple[float, NDArray[np.float32]]  # start in s, samples [n]


def sound_blocks(path: Path, zero_s: float, limits: VideoLimits) -> Iterator[Block]:
    """Yield (start in s, float32 mono 16 kHz [n]); `zero_s` on the container's clock becomes 0."""
    with open_container(path, limits) as container:
        stream = sound_stream(container)
        if stream is None:
            return
        track = _Track(zero_s)
        for packet in packets_of(container, stream):
            try:
                frames = stream.codec_context.decode(packet)
            except av.FFmpegError as error:
                logger.debug("%s: a sound packet could not be decoded: %s", shown(path), error)
                continue
            for frame in frames:
                yield from track.add(frame)
                _check_length(track, path, limits)
        yield from track.finish()


def _check_length(track: "_Track", path: Path, limits: VideoLimits) -> None:
    if track.due_s > limits.max_duration_s:
        raise VideoLimitError(
            f"{shown(path)}: its sound is longer than {limits.max_duration_s:.0f} s;"
            " cut it into parts",
            path=path,
        )


class _Track:
    """Decoded frames in, blocks out; a gap in their times starts a new run of blocks."""

    def __init__(self, zero_s: float) -> None:
        self._zero_s = zero_s
        self._resampler: AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self._waiting: list[NDArray[np.float32]] = []
        self._start_s = 0.0  # of the samples that wait
        self.due_s = 0.0  # where the next frame is expected

    def add(self, frame: AudioFrame) -> Iterator[Block]:
        """Take one decoded frame; yield the blocks that are full."""
        start_s = self.due_s if frame.time is None else frame.time - self._zero_s
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or found != self._format or abs(start_s - self.due_s) > GAP_S:
            yield from self.finish()
            self._start_s, self._format = start_s, found
            self._resampler = AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        self.due_s = start_s + frame.samples / frame.sample_rate
        self._take(self._resampler.resample(frame))
        if sum(map(len, self._waiting)) >= BLOCK_SAMPLES:
            yield from self._hand_over()

    def finish(self) -> Iterator[Block]:
        """Yield what is left in the resampler and in waiting."""
        if self._resampler is not None:
            self._take(self._resampler.resample(None))
            self._resampler = None
        yield from self._hand_over()

    def _take(self, frames: list[AudioFrame]) -> None:
        self._waiting += [
            frame.to_ndarray().reshape(-1).astype(np.float32, copy=False) for frame in frames
        ]

    def _hand_over(self) -> Iterator[Block]:
        if not self._waiting:
            return
        samples = np.concatenate(self._waiting)
        start_s, self._waiting = self._start_s, []
        self._start_s += len(samples) / RATE_HZ
        early = min(max(round(-start_s * RATE_HZ), 0), len(samples))
        if early < len(samples):
            yield max(start_s, 0.0), samples[early:]
