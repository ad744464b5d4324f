"""Opening a file nobody vouched for. Knows paths, limits and PyAV; knows no clock and no frame."""

import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from agentkit.errors import VideoLimitError, VideoOpenError, VideoPathError

logger = logging.getLogger(__name__)

# Only self-contained formats: nothing here opens a second file or a socket.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,ogg,"
    "h264,hevc,ivf,obu,mxf,nut,dv,yuv4mpegpipe"
)
OPEN_OPTIONS = {"protocol_whitelist": "none", "format_whitelist": FORMATS}

# Decoders count the padding of a picture too, so they get more room and `check_size` decides.
DECODER_ROOM = 4

# What a file calls its codec where the library has none: mp4, Matroska, AVI.
_CODEC_NAMES = re.compile(
    rb"vide.{1,4096}?stsd.{12}([ -~]{4})|(V_[A-Z0-9_/]{1,30})|vids([ -~]{4})", re.DOTALL
)
_PEEK = 8 << 20

# A scheme of at least two letters (a single one is a drive), or a protocol with options.
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|(subfile|crypto|async|cache)[,:]")

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"#EXTM3U", "an HLS playlist"),
    (b"ffconcat", "an ffconcat list"),
    (b"v=0", "an SDP description"),
    (b"<?xml", "an XML document"),
    (b"<MPD", "a DASH manifest"),
)
_SOUND_SIGNATURES = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf1")


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """How much of a machine one file may take. The defaults let a day of 4k video pass."""

    max_pixels: int = 36_000_000  # of one picture: 8192x4320 passes, 8192x8192 does not
    max_duration_s: float = 24 * 3600.0
    max_frames_in_file: int = 6_000_000
    max_sampled_frames: int = 200_000
    max_probe_s: float = 300.0  # wall-clock, for listing the packets
    max_damaged_share: float = 0.25  # of the packets that were decoded


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What changes when a file's content does, short of a hash."""

    device: int
    inode: int
    nbytes: int
    mtime_ns: int


def shown(path: Path | str) -> str:
    """Return a path fit for one line of an error: no control characters, no broken bytes."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def check_path(path: Path | str, allowed_roots: Sequence[Path] | None = None) -> Path:
    """Return the real path of a regular file inside the allowed roots, without opening it.

    Raises:
        VideoPathError: missing, not a regular file, outside the roots, or no path but a URL.
    """
    name = os.fsdecode(path)
    if "\0" in name or not name:
        raise VideoPathError(f"{name!r}: path not allowed; give the path of a file", path=path)
    try:
        real = Path(os.path.realpath(name, strict=True))
        mode = real.stat().st_mode
    except OSError as error:
        raise _path_error(name, error) from error
    if allowed_roots is not None and not _inside(real, allowed_roots):
        raise VideoPathError(
            f"{shown(name)}: path not allowed; it is outside the allowed folders", path=path
        )
    if not stat.S_ISREG(mode):
        raise VideoPathError(
            f"{shown(name)}: not a file ({_kind(mode)}); give the path of a video file", path=path
        )
    return real


def _path_error(name: str, error: OSError) -> VideoPathError:
    if _PROTOCOL.match(name):
        problem = "path not allowed: URLs and protocols are not opened; download the file first"
    elif isinstance(error, FileNotFoundError):
        problem = "no such file; check the path"
    else:
        problem = f"path not allowed ({error.strerror}); give the path of a readable video file"
    return VideoPathError(f"{shown(name)}: {problem}", path=name)


def _inside(real: Path, roots: Sequence[Path]) -> bool:
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; never waits, even if a pipe took the file's place.

    Raises:
        VideoPathError: not readable, or not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise _path_error(os.fsdecode(path), error) from error
    with open(handle, "rb") as file:  # noqa: PTH123 — a descriptor has no Path.open
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise VideoPathError(
                f"{shown(path)}: not a file any more; give its path anew", path=path
            )
        yield file


def stamp_of(file: BinaryIO) -> FileStamp:
    """Return the stamp of an open file."""
    found = os.fstat(file.fileno())
    return FileStamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@contextmanager
def open_container(path: Path, limits: VideoLimits) -> Iterator[InputContainer]:
    """Open a video file, on formats and protocols of the white list only.

    Raises:
        VideoPathError: see `open_file`.
        VideoOpenError: empty, truncated, no video, or of a format that is not supported.
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise VideoOpenError(f"{shown(path)}: empty file; copy it again", path=path)
        head = file.read(64)
        file.seek(0)
        options = {**OPEN_OPTIONS, **_decoder_options(limits)}
        try:
            container = av.open(file, "r", options=options, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise VideoOpenError(_open_problem(path, head), path=path) from error
        with container:
            yield container


def _open_problem(path: Path, head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, kind in _SIGNATURES:
        if start.startswith(signature):
            return f"{shown(path)}: unsupported format ({kind}); give a video file such as mp4"
    if start.startswith(_SOUND_SIGNATURES) or head[8:12] == b"WAVE":
        return f"{shown(path)}: no video stream; is it an audio file?"
    if head[4:8] == b"ftyp":
        return f"{shown(path)}: truncated: its index is missing; copy it again or remux it"
    return f"{shown(path)}: not a video; give a video file such as mp4 or mkv"


def picture_stream(container: InputContainer, path: Path, limits: VideoLimits) -> VideoStream:
    """Return the stream of moving pictures, ready to decode; cover art does not count.

    Raises:
        VideoOpenError: there is none, or no decoder for it.
        VideoLimitError: its pictures are larger than the limit.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoOpenError(f"{shown(path)}: no video stream; is it an audio file?", path=path)
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoOpenError(
            f"{shown(path)}: unsupported codec {_codec_name(path)!r}; convert it", path=path
        )
    check_size(stream.codec_context.width, stream.codec_context.height, path, limits)
    stream.codec_context.options = _decoder_options(limits)
    # Threads by frame cost more CPU (13 % and 28 % in two runs, long GOP, a frame a second), and
    # each holds pictures of its own.
    stream.thread_type = "SLICE"
    return stream


def _decoder_options(limits: VideoLimits) -> dict[str, str]:
    return {"max_pixels": str(limits.max_pixels * DECODER_ROOM)}


def _codec_name(path: Path) -> str:
    """Return what the file itself calls its codec, from its first and last bytes."""
    with open_file(path) as file:
        start = file.read(_PEEK)
        file.seek(max(os.fstat(file.fileno()).st_size - _PEEK, 0))
        found = _CODEC_NAMES.search(start + file.read(_PEEK))
    names = [name for name in found.groups() if name] if found else []
    return names[0].decode("ascii") if names else "unknown"


def too_large(width_px: int, height_px: int, path: Path, limits: VideoLimits) -> VideoLimitError:
    """Return the error for pictures of this size."""
    return VideoLimitError(
        f"{shown(path)}: too large: {width_px}x{height_px} px, the limit is"
        f" {limits.max_pixels} pixels a picture; scale it down first",
        path=path,
    )


def check_size(width_px: int, height_px: int, path: Path, limits: VideoLimits) -> None:
    """Raise VideoLimitError if a picture of this size is beyond the limit."""
    if width_px * height_px > limits.max_pixels:
        raise too_large(width_px, height_px, path, limits)


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Return the first sound track that can be decoded, None if there is none."""
    usable = [s for s in container.streams.audio if s.codec_context is not None]
    return usable[0] if usable else None
