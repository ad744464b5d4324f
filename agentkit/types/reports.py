"""The document model of a report: what is said, shown and cited, before it has any format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentkit.types.answers import Citation, Finding


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, with what carries it."""

    cells: tuple[str, ...]
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasts, on a lane. Spans of one `kind` look alike."""

    start_s: float
    end_s: float
    label: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """Spans side by side, under a name; `video_id` is the video that their times are of."""

    name: str
    spans: tuple[Span, ...]
    video_id: str = ""
    offset_s: float = 0.0  # added to the video's times to come to the timeline's


@dataclass(frozen=True, slots=True)
class Curve:
    """Values at even distances, from 0 s on: 0..1, NaN where there is none."""

    name: str
    step_s: float
    values: tuple[float, ...]
    video_id: str = ""
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """Lanes and curves over one axis of time, `start_s` to `end_s`."""

    title: str
    end_s: float
    lanes: tuple[Lane, ...] = ()
    curves: tuple[Curve, ...] = ()
    start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: a text, claims, tables, timelines, and key frames worth a look.

    What is claimed belongs in `findings` or in rows of `tables`: each keeps its citations, and one
    without any is marked as not shown by the video.
    """

    title: str
    body: str = ""  # paragraphs, with an empty line between
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    figures: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportedVideo:
    """A video that a report is about, and how closely it was looked at."""

    video_id: str
    name: str  # what people call it; the beginning of its id where its name may not be told
    duration_s: float
    frames_seen: int
    frames_in_file: int
    step_s: float
    instruments: tuple[str, ...]
    missing: tuple[str, ...]  # what did not look, each with its reason
    path: str = ""  # what links to the video lead to; empty where they may not
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One cited span in the appendix: what was noted in it, and its key frame."""

    citation: Citation
    notes: tuple[str, ...] = ()
    jpeg: bytes = b""  # the key frame as it may be shown; empty where there is none
    alt: str = ""  # what the frame shows, or why there is none


@dataclass(frozen=True, slots=True)
class Report:
    """A report as a document. Citations are numbered by their place in `exhibits`, from 1."""

    title: str
    videos: tuple[ReportedVideo, ...]
    sections: tuple[Section, ...]
    exhibits: tuple[Exhibit, ...] = ()
    notices: tuple[str, ...] = ()  # what a reader must know first
    domain: str = "general"
    language: str = "en"
    engine: str = ""
    made_at: str = ""  # ISO 8601, UTC
    details: Mapping[str, str] = field(default_factory=dict)  # settings that it was made with
