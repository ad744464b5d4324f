"""A part of a video as a video: copied where that is exact, encoded anew where it is not.

Where a domain redacts pictures, every frame passes its redaction. Where it redacts text, the sound
is left out: a voice tells who speaks, and what is said may name people. Metadata never goes along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import UsageError
from agentkit.exports.clip_copy import copy_clip
from agentkit.exports.clip_encode import Image, encode_clip
from agentkit.exports.clip_span import span_of, why_not_copied
from agentkit.exports.files import check_output, whole
from agentkit.exports.material import ExportSession, Wanted
from agentkit.redaction import Redaction
from agentkit.types import StoredVideo
from agentkit.video import timeline_of

SUFFIXES = (".mp4", ".mov", ".mkv")


@dataclass(frozen=True, slots=True)
class Clip:
    """What was written: where it begins and ends in the video, and what is to be known of it."""

    start_s: float
    end_s: float
    frames: int
    copied: bool
    remarks: tuple[str, ...] = ()


def write_clip(
    session: ExportSession,
    redaction: Redaction,
    video: StoredVideo,
    wanted: Wanted,
    output: Path,
) -> Clip:
    """Write a clip; `output` is there whole or not at all.

    Raises:
        UsageError: empty range, a kind of note, or a file that cannot be the clip.
        TimeRangeError: the range is not inside the video.
        StaleVideoError: the file is not the one that was ingested.
        PluginError: the redaction fails.
    """
    if wanted.kind is not None:
        raise UsageError("a clip holds the video itself; --kind is for the other formats")
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{output}: a clip is one of {', '.join(SUFFIXES)}; name it so")
    check_output(output, video.path)
    info = session.info(video)
    timeline = timeline_of(info)
    start_s, end_s = wanted.span(info.duration_s)
    span = span_of(timeline, start_s, end_s)
    with_sound = not redaction.hides_names
    why = "its frames are redacted" if redaction.hides_pictures else ""
    why = why or why_not_copied(info, timeline, span)
    remarks = [f"encoded anew: {why}"] if why else []
    if info.has_sound and not with_sound:
        remarks.append("the sound is left out: a voice tells who speaks")

    def redact(images: Sequence[Image]) -> Sequence[Image]:
        return redaction.images(video, images)

    def on_frame(done: int, of: int) -> None:
        session.progress("frames of the clip", done, of)

    with whole(output) as part:
        if why:
            encode_clip(
                info,
                timeline,
                span,
                part,
                redact=redact,
                with_sound=with_sound,
                on_frame=on_frame,
            )
        else:
            copy_clip(info.path, timeline, span, part, with_sound=with_sound)
    return Clip(span.start_s, span.end_s, span.num_frames, not why, tuple(remarks))
