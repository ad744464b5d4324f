"""A clip encoded anew, frame by frame: for cuts where no keyframe stands, and for what is redacted.

H.264 and AAC. Every frame keeps its own time; sound is cut to the sample.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from agentkit.exports.clip_span import ClipSpan
from agentkit.types import VideoInfo
from agentkit.video_clock import Timeline, packets_of
from agentkit.video_decode import Damage, PictureSource
from agentkit.video_open import VideoLimits, open_container, sound_stream

logger = logging.getLogger(__name__)

BATCH = 8  # frames redacted together
CRF = "18"  # no difference to be seen
HD_LINES = 720  # from here on colours are BT.709's, below BT.601's
SOUND_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)

Image = NDArray[np.uint8]  # [H, W, 3] RGB
Redact = Callable[[Sequence[Image]], Sequence[Image]]
OnFrame = Callable[[int, int], None]  # frames done, of all


@dataclass(frozen=True, slots=True)
class _Video:
    """Where frames go to."""

    container: OutputContainer
    stream: VideoStream

    def write(self, image: Image, ticks: int, base: Fraction) -> None:
        frame = av.VideoFrame.from_ndarray(_even(image), "rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace=_colours(image), dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = ticks, base
        self.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        self.container.mux(self.stream.encode(None))


def encode_clip(
    info: VideoInfo,
    timeline: Timeline,
    span: ClipSpan,
    out: Path,
    *,
    redact: Redact,
    with_sound: bool,
    on_frame: OnFrame,
) -> None:
    """Write frames and sound to `out`; every frame passes `redact` first.

    Raises:
        VideoDamagedError: too much cannot be decoded.
        PluginError: the redaction fails.
    """
    ranks = np.arange(span.first, span.stop)
    source = PictureSource(info.path, timeline, VideoLimits(), Damage())
    base = _base(info, timeline)
    pictures = source.pictures(ranks, info.size_px)
    with av.open(str(out), "w", options={"fflags": "+bitexact"}) as made:
        video = _Video(made, _video_stream(made, info, base))
        with open_container(info.path, VideoLimits()) as sounds:
            heard = sound_stream(sounds) if with_sound else None
            sound = None if heard is None else _Sound(made, sounds, heard, timeline.start_s, span)
            done = 0
            while batch := list(islice(pictures, BATCH)):
                images = redact([image for _, image in batch])
                for (rank, _), image in zip(batch, images, strict=True):
                    video.write(image, _ticks(timeline, rank, span, base), base)
                done += len(batch)
                on_frame(done, span.num_frames)
                if sound is not None:
                    sound.write_until(float(timeline.times_s[batch[-1][0]]) - span.start_s)
            video.finish()
            if sound is not None:
                sound.finish()


def _video_stream(made: OutputContainer, info: VideoInfo, base: Fraction) -> VideoStream:
    rate = Fraction(info.frames_per_s or 25).limit_denominator(1001)
    stream = made.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": CRF})
    width, height = info.size_px
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    context = cast(Any, stream.codec_context)
    context.time_base = base
    context.color_range = ColorRange.MPEG
    # 1 is BT.709 and 6 is BT.601 in ITU-T H.273, for all three.
    context.colorspace = context.color_primaries = context.color_trc = (
        1 if height >= HD_LINES else 6
    )
    return stream


def _colours(image: Image) -> Colorspace:
    return Colorspace.ITU709 if image.shape[0] >= HD_LINES else Colorspace.ITU601


def _even(image: Image) -> Image:
    """Return a picture with an even number of rows and columns: the last is there twice."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)


def _base(info: VideoInfo, timeline: Timeline) -> Fraction:
    return info.time_base if timeline.exact else Fraction(1, 90_000)


def _ticks(timeline: Timeline, rank: int, span: ClipSpan, base: Fraction) -> int:
    """Return a frame's time in the clip: exactly the file's own where it has one."""
    if timeline.exact:
        pts, packets = timeline.pts, timeline.packets
        return int(pts[packets[rank]] - pts[packets[span.first]])
    return round((float(timeline.times_s[rank]) - span.start_s) / float(base))


class _Sound:
    """The sound track of a clip, encoded as far as the pictures are."""

    def __init__(
        self,
        made: OutputContainer,
        container: InputContainer,
        stream: AudioStream,
        zero_s: float,
        span: ClipSpan,
    ) -> None:
        self._made = made
        self._rate_hz = min(SOUND_RATES, key=lambda hz: abs(hz - stream.rate))
        layout = "mono" if stream.layout.nb_channels == 1 else "stereo"
        self._out = made.add_stream("aac", rate=self._rate_hz, layout=layout)
        self._out.bit_rate = 192_000
        self._layout = layout
        self._start_s = zero_s + span.start_s
        self._total = round((span.end_s - span.start_s) * self._rate_hz)
        self._sent = 0  # samples
        self._blocks = self._heard(container, stream)

    def write_until(self, time_s: float) -> None:
        """Encode what is heard before a time of the clip."""
        while self._sent < min(round(time_s * self._rate_hz), self._total):
            block = next(self._blocks, None)
            if block is None:
                return
            self._write(*block)

    def finish(self) -> None:
        self.write_until(self._total / self._rate_hz)
        self._made.mux(self._out.encode(None))

    def _write(self, at: int, samples: NDArray[np.float32]) -> None:
        """Encode samples [channels, n] that begin at sample `at`; what is missing is silent."""
        if at > self._sent:
            missing = min(at, self._total) - self._sent
            silence = np.zeros((samples.shape[0], missing), np.float32)
            samples, at = np.concatenate([silence, samples], axis=1), self._sent
        samples = samples[:, self._sent - at : self._total - at]
        if not samples.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._rate_hz, self._sent
        frame.time_base = Fraction(1, self._rate_hz)
        self._made.mux(self._out.encode(frame))
        self._sent += samples.shape[1]

    def _heard(
        self, container: InputContainer, stream: AudioStream
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (sample of the clip, samples [channels, n]); a decoder warms up before the clip."""
        base = stream.time_base or Fraction(1, 1000)
        container.seek(max(round((self._start_s - 1.0) / base), 0), stream=stream)
        resampler = AudioResampler(format="fltp", layout=self._layout, rate=self._rate_hz)
        at: int | None = None
        for frame in _decoded(container, stream):
            due = round(((frame.time or 0.0) - self._start_s) * self._rate_hz)
            # Below a tenth of a second times of packets only jitter; above, sound is missing.
            if at is None or abs(due - at) > self._rate_hz // 10:
                at = due
            for made in resampler.resample(frame):
                samples = made.to_ndarray().astype(np.float32, copy=False)
                if at + samples.shape[1] > 0:
                    yield at, samples
                at += samples.shape[1]
        for made in resampler.resample(None):
            yield at or 0, made.to_ndarray().astype(np.float32, copy=False)


def _decoded(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    """Yield a track's frames; packets that cannot be decoded are passed over."""
    for packet in packets_of(container, stream):
        try:
            yield from stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            logger.debug("a sound packet could not be decoded: %s", error)
