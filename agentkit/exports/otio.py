"""A timeline for editing programs, by OpenTimelineIO's own library (extra `edit`)."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.errors import AgentkitError
from agentkit.exports.material import Material
from agentkit.types import Note

if TYPE_CHECKING:
    from opentimelineio.opentime import TimeRange
    from opentimelineio.schema import Clip, Marker

COLOURS = {"speech": "GREEN", "ocr": "CYAN"}


class ExtraMissingError(AgentkitError):
    """What writes a format is not installed."""


def timeline(material: Material) -> bytes:
    """Return one track with a clip a part, back to back, and markers where something was noted.

    Raises:
        ExtraMissingError: OpenTimelineIO is not installed.
    """
    if find_spec("opentimelineio") is None:
        raise ExtraMissingError(
            "extra 'edit' is not installed; pip install 'videoxl2-agentkit[edit]'"
        )
    import opentimelineio as otio

    made = otio.schema.Timeline(material.name)
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    track.extend([_clip(material, part) for part in material.parts])
    made.tracks.append(track)
    made.metadata["agentkit"] = {"video_id": material.video_id}
    return str(made.to_json_string()).encode()


def _clip(material: Material, part: Note) -> "Clip":
    import opentimelineio as otio

    first, after = material.frames(part)
    whole = _range(material, 0, max(material.rate.frame_at(material.duration_s), after))
    if material.path:
        url = Path(material.path).absolute().as_uri()
        media = otio.schema.ExternalReference(url, whole)
        media.name = material.name
    else:
        media = otio.schema.MissingReference(material.name, whole)
    clip = otio.schema.Clip(part.text or material.name, media, _range(material, first, after))
    clip.metadata["agentkit"] = {"kind": part.kind}
    clip.markers.extend(_marker(material, mark, first, after) for mark in _of(material, part))
    return clip


def _of(material: Material, part: Note) -> list[Note]:
    """Return the marks that begin in a part, so that each is set once."""
    return [mark for mark in material.marks if part.start_s <= mark.start_s < part.end_s]


def _marker(material: Material, mark: Note, first: int, after: int) -> "Marker":
    import opentimelineio as otio

    start, stop = material.frames(mark)
    start = min(max(start, first), after - 1)
    marker = otio.schema.Marker(
        name=mark.text,
        marked_range=_range(material, start, max(min(stop, after), start + 1)),
        color=COLOURS.get(mark.kind, "YELLOW"),
    )
    marker.metadata["agentkit"] = {"kind": mark.kind}
    return marker


def _range(material: Material, first: int, after: int) -> "TimeRange":
    from opentimelineio.opentime import RationalTime, TimeRange

    rate = float(material.rate.exact)
    return TimeRange(RationalTime(first, rate), RationalTime(after - first, rate))
