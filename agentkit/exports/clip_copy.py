"""A clip made of the video's own packets, byte for byte. Knows no picture."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from agentkit.errors import VideoDamagedError
from agentkit.exports.clip_span import ClipSpan
from agentkit.video_clock import Timeline, packets_of
from agentkit.video_open import VideoLimits, open_container, picture_stream, shown, sound_stream

SEEK_BACK_S = 2.0  # sound lies a little before or after its pictures in a file

Timed = Iterator[tuple[float, "Packet[Any]"]]


def copy_clip(
    path: Path, timeline: Timeline, span: ClipSpan, out: Path, *, with_sound: bool
) -> None:
    """Write the clip's packets to `out`, their times from 0.

    Sound begins with the first packet that begins in the clip.

    Raises:
        VideoDamagedError: a packet that was there is not.
    """
    limits = VideoLimits()
    with (
        open_container(path, limits) as pictures,
        open_container(path, limits) as sounds,
        av.open(str(out), "w", options={"fflags": "+bitexact"}) as made,
    ):
        picture = picture_stream(pictures, path, limits)
        tracks = [_pictures(pictures, picture, timeline, span)]
        targets: dict[Stream, Any] = {picture: made.add_stream_from_template(picture)}
        sound = sound_stream(sounds) if with_sound else None
        if sound is not None:
            targets[sound] = made.add_stream_from_template(sound)
            tracks.append(_sounds(sounds, sound, timeline.start_s, span))
        count = 0
        for _, packet in heapq.merge(*tracks, key=lambda item: item[0]):
            count += packet.stream is picture
            packet.stream = targets[packet.stream]
            made.mux(packet)
    if count != span.num_frames:
        raise VideoDamagedError(
            f"{shown(path)}: {count} of {span.num_frames} frames can be read; copy the file again",
            path=path,
        )


def _pictures(container: Any, stream: Any, timeline: Timeline, span: ClipSpan) -> Timed:
    packets = timeline.packets[span.first : span.stop]
    decode_at = decode_times(timeline.pts[np.sort(packets)])
    zero = int(timeline.pts[packets[0]])
    base = float(stream.time_base)
    container.seek(zero, stream=stream)
    for packet in packets_of(container, stream):
        pts = packet.pts
        if pts is None or pts not in decode_at:
            continue
        dts = decode_at.pop(pts)
        packet.pts, packet.dts = pts - zero, dts - zero
        yield (dts - zero) * base, packet
        if not decode_at:
            return


def decode_times(pts: NDArray[np.int64]) -> dict[int, int]:
    """Return when to decode each picture, by its pts; given in the order of the file.

    Matroska does not say. In order, none after its own pts, as late as that allows.
    """
    in_order = np.sort(pts)
    late = int((in_order - pts).max())
    return dict(zip(pts.tolist(), (in_order - late).tolist(), strict=True))


def _sounds(container: Any, stream: Any, zero_s: float, span: ClipSpan) -> Timed:
    base = stream.time_base
    start = round((zero_s + span.start_s) / base)
    end = round((zero_s + span.end_s) / base)
    container.seek(max(start - round(SEEK_BACK_S / base), 0), stream=stream)
    for packet in packets_of(container, stream):
        pts = start - 1 if packet.pts is None else int(packet.pts)
        if pts >= end:
            return
        if pts >= start:
            packet.pts = packet.dts = pts - start
            yield float((pts - start) * base), packet
