"""Drawn videos for tests, of this project and of plugins. Knows PyAV, nothing else of agentkit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

__all__ = [
    "LONG_GOP",
    "SOUND_RATE_HZ",
    "barcode",
    "frame_number",
    "long_gop",
    "make_video",
    "numbered",
    "scenes",
    "tone",
]

Image = NDArray[np.uint8]  # [H, W, 3] RGB
Draw = Callable[[int, float, tuple[int, int]], Image]  # frame number, time in s, (width, height)

SOUND_RATE_HZ = 16_000
BARCODE_BITS = 16

# Options of libx264 for tests that care how far keyframes are apart.
LONG_GOP: Mapping[str, str] = {"preset": "veryfast", "g": "250", "bf": "3", "sc_threshold": "0"}


def long_gop(distance: int, b_frames: int = 3) -> dict[str, str]:
    """Return libx264 options with a keyframe exactly every `distance` frames."""
    fixed = {"g": str(distance), "keyint_min": str(distance), "bf": str(b_frames)}
    return {"preset": "veryfast", "sc_threshold": "0", **fixed}


def barcode(image: Image, number: int) -> Image:
    """Write `number` (16 bits) as black and white blocks along the top of `image`; return it."""
    height, width = image.shape[:2]
    block, tall = width // BARCODE_BITS, max(height // 8, 8)
    for bit in range(BARCODE_BITS):
        value = 255 if number >> bit & 1 else 0
        image[:tall, bit * block : (bit + 1) * block] = value
    return image


def frame_number(image: Image) -> int:
    """Read the number that `barcode` wrote, also after lossy compression."""
    height, width = image.shape[:2]
    block, row = width // BARCODE_BITS, max(height // 8, 8) // 2
    middles = image[row, block // 2 : block * BARCODE_BITS : block].mean(axis=1)
    return sum(1 << bit for bit, value in enumerate(middles) if value > 127)


def numbered(number: int, time_s: float, size_px: tuple[int, int]) -> Image:
    """Draw a moving, textured picture that carries its own frame number."""
    width, height = size_px
    across, down = np.arange(width), np.arange(height)[:, None]
    image = np.empty((height, width, 3), np.uint8)  # [H, W, 3] RGB
    image[..., 0] = (across * 2 + number * 3) % 256
    image[..., 1] = (down * 3 + number * 2) % 256
    image[..., 2] = (across + down + number * 5) % 256
    return barcode(image, number % 2**BARCODE_BITS)


def scenes(parts: Sequence[tuple[float, Image | tuple[int, int, int]]]) -> Draw:
    """Return a drawing of still pictures or colours, each shown for its seconds; the last stays."""
    ends_s = np.cumsum([seconds for seconds, _ in parts])

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> Image:
        shown = parts[min(int(np.searchsorted(ends_s, time_s, "right")), len(parts) - 1)][1]
        image = np.empty((size_px[1], size_px[0], 3), np.uint8)  # [H, W, 3] RGB
        image[:] = np.asarray(shown, np.uint8)
        return image

    return draw


def tone(hz: float, seconds: float, start_s: float = 0.0) -> NDArray[np.float32]:
    """Return a sine of `hz`, mono at SOUND_RATE_HZ, silent before `start_s`."""
    times_s = np.arange(round(seconds * SOUND_RATE_HZ)) / SOUND_RATE_HZ
    wave = 0.5 * np.sin(2 * np.pi * hz * times_s) * (times_s >= start_s)
    return wave.astype(np.float32)


def make_video(
    path: Path,
    *,
    seconds: float = 4.0,
    fps: int | Fraction = 10,
    size_px: tuple[int, int] = (160, 120),
    draw: Draw = numbered,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    container_format: str | None = None,
    container_options: Mapping[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    sound: NDArray[np.float32] | None = None,
    rotation_deg: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Draw a video into `path` and return it.

    `draw(number, time_s, size_px)` gives each picture, uint8 [H, W, 3] RGB. `times_ms` sets every
    frame's own time (a variable rate) in place of `seconds` x `fps`. `sound` is float32 mono at
    SOUND_RATE_HZ. `rotation_deg` (90, 180, 270; counter-clockwise) is written as metadata:
    players show the picture turned. `size_px` must be even in both directions.
    """
    base = Fraction(1, 1000) if times_ms is not None else 1 / Fraction(fps)
    ticks = list(times_ms) if times_ms is not None else list(range(round(seconds * fps)))
    with av.open(
        str(path),
        "w",
        format=container_format,
        container_options=dict(container_options or {}),
    ) as container:
        container.metadata.update(metadata or {})
        video = _video_stream(container, codec, Fraction(fps), base, size_px, options)
        if rotation_deg:
            video.set_display_rotation(rotation_deg)
        audio = _audio_stream(container) if sound is not None else None
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(number, float(tick * base), size_px), "rgb24")
            frame.pts, frame.time_base = tick, base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            for block in _sound_frames(sound):
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def _video_stream(
    container: OutputContainer,
    codec: str,
    fps: Fraction,
    base: Fraction,
    size_px: tuple[int, int],
    options: Mapping[str, str] | None,
) -> VideoStream:
    if options is None and codec == "libx264":
        options = {"preset": "ultrafast", "crf": "20"}
    stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size_px
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = base
    return stream


def _audio_stream(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=SOUND_RATE_HZ)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    return stream


def _sound_frames(sound: NDArray[np.float32], block: int = 1024) -> Iterator[av.AudioFrame]:
    for start in range(0, len(sound), block):
        samples = np.ascontiguousarray(sound[start : start + block])[None]  # [1, n]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE_HZ, start
        frame.time_base = Fraction(1, SOUND_RATE_HZ)
        yield frame
