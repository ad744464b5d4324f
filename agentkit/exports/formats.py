"""The formats by name: ours, and those that a domain registers. Knows no session's life."""

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentkit.errors import AgentkitError, PluginError, UnknownNameError, UsageError
from agentkit.exports.material import ExportSession, Material, Source, Wanted, gather
from agentkit.hookspecs import Exporter
from agentkit.plugin_manager import Domain
from agentkit.redaction import Redaction
from agentkit.types import StoredVideo

logger = logging.getLogger(__name__)

CLIP = "clip"
Write = Callable[[Material], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of ours: what it is, what it holds where no kind is named, and what writes it."""

    title: str
    source: Source
    writer: str  # module:function under agentkit.exports, imported when it is used
    with_marks: bool = False

    def write(self, material: Material) -> bytes:
        module, _, function = self.writer.partition(":")
        write: Write = getattr(importlib.import_module(f"agentkit.exports.{module}"), function)
        return write(material)


FORMATS: Mapping[str, Format] = {
    "vtt": Format("WebVTT subtitles of what is said", "speech", "subtitles:webvtt"),
    "srt": Format("SubRip subtitles of what is said", "speech", "subtitles:subrip"),
    "csv": Format("a table of all notes", "notes", "tables:comma_separated"),
    "edl": Format("CMX 3600 edit list of the segments", "segments", "edl:cmx3600"),
    "otio": Format("OpenTimelineIO timeline of the segments", "segments", "otio:timeline", True),
    "chapters": Format("FFmpeg chapters of the segments", "segments", "chapters:ffmetadata"),
}
CLIP_TITLE = "the video itself between two times"


def titles(domain: Domain) -> dict[str, str]:
    """Return every format's name and what it is."""
    own = {name: form.title for name, form in FORMATS.items()} | {CLIP: CLIP_TITLE}
    return own | dict.fromkeys(exporters_of(domain), f"from the domain {domain.name}")


def exporters_of(domain: Domain) -> dict[str, Exporter]:
    """Return what a domain registers, by name; a name that is taken is left out and logged."""
    found: dict[str, Exporter] = {}

    def register(name: str, exporter: Exporter) -> None:
        if name in FORMATS or name == CLIP or name in found:
            logger.warning("domain %r: the format %r is there already", domain.name, name)
        else:
            found[name] = exporter

    domain.register_exporters(register)
    return found


def check_format(domain: Domain, name: str) -> None:
    """Make sure that there is such a format.

    Raises:
        UnknownNameError: there is none; the nearest is named.
    """
    if name not in FORMATS and name != CLIP:
        exporters = exporters_of(domain)
        if name not in exporters:
            raise UnknownNameError("format", name, [*FORMATS, CLIP, *exporters])


def export(
    session: ExportSession,
    redaction: Redaction,
    video: StoredVideo,
    name: str,
    wanted: Wanted,
) -> bytes:
    """Return a video's notes or segments as a file of a format, other than a clip.

    A domain's own format is made by the domain, which then redacts by itself.

    Raises:
        UnknownNameError: no such format or kind of note.
        UsageError: a part is asked of a domain's own format.
        TimeRangeError: the range is not inside the video.
        PluginError: the domain's segments, exporter or redaction fail.
    """
    check_format(redaction.domain, name)
    wanted.span(video.duration_s)
    form = FORMATS.get(name)
    if form is None:
        _refuse_parts(redaction.domain, name, wanted)
        return _by_domain(session, redaction.domain, video, name)
    material = gather(session, redaction, video, form.source, wanted, form.with_marks)
    if not material.parts and not material.marks:
        what = wanted.kind or form.source
        logger.warning("%s: no %s there, so the %s is empty", material.name, what, name)
    return form.write(material)


def _refuse_parts(domain: Domain, name: str, wanted: Wanted) -> None:
    """Refuse what an exporter of a domain is never told: it would give the whole all the same."""
    if wanted != Wanted():
        raise UsageError(
            f"the format {name!r} of the domain {domain.name} is of the whole video; "
            "leave the times and the kind of note out"
        )


def _by_domain(session: ExportSession, domain: Domain, video: StoredVideo, name: str) -> bytes:
    try:
        made = exporters_of(domain)[name](video, session)
    except AgentkitError:
        raise
    except Exception as error:  # a plugin may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PluginError(f"domain {domain.name!r}, format {name!r}: {reason}") from error
    if not isinstance(made, bytes):
        got = type(made).__name__
        raise PluginError(f"domain {domain.name!r}, format {name!r}: gave {got}, not bytes")
    return made
