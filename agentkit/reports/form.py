"""A report as JSON. The models below are its schema, published as docs/report.schema.json.

A key may be added; none is renamed or removed while `schema_version` stays.
"""

import base64
import json
import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentkit.reports.claims import verdict_of
from agentkit.reports.numbering import Numbers
from agentkit.types import (
    Curve,
    Exhibit,
    Finding,
    Lane,
    Report,
    ReportedVideo,
    Row,
    Section,
    Table,
    Timeline,
)

SCHEMA_VERSION: Literal[1] = 1
VerdictForm = Literal["supported", "contradicted", "unsupported"]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FindingForm(_Form):
    claim: str
    verdict: VerdictForm = Field(description="unsupported: the video does not show it")
    citations: list[int] = Field(description="numbers of exhibits")


class RowForm(_Form):
    cells: list[str]
    verdict: VerdictForm = Field(description="unsupported: it cites nothing")
    citations: list[int] = Field(description="numbers of exhibits")


class TableForm(_Form):
    title: str
    head: list[str]
    rows: list[RowForm]


class SpanForm(_Form):
    start_s: float
    end_s: float
    label: str
    kind: str = Field(description="spans of one kind look alike; may be empty")


class LaneForm(_Form):
    name: str
    video_id: str = Field(description="the video that the times are of; empty: of the timeline")
    offset_s: float = Field(description="added to the times to come to the timeline's")
    spans: list[SpanForm]


class CurveForm(_Form):
    name: str
    video_id: str
    offset_s: float
    step_s: float = Field(description="distance of the values; the first is at 0 s")
    values: list[float | None] = Field(description="0 to 1; null where there is none")


class TimelineForm(_Form):
    title: str
    start_s: float
    end_s: float
    lanes: list[LaneForm]
    curves: list[CurveForm]


class SectionForm(_Form):
    title: str
    body: str = Field(description="paragraphs, with an empty line between")
    findings: list[FindingForm]
    tables: list[TableForm]
    timelines: list[TimelineForm]
    figures: list[int] = Field(description="numbers of exhibits whose key frames are worth a look")


class VideoForm(_Form):
    video_id: str = Field(description="SHA-256 of the content")
    name: str
    duration_s: float
    frames_seen: int
    frames_in_file: int
    step_s: float = Field(description="mean distance between frames looked at, in seconds")
    instruments: list[str]
    missing: list[str] = Field(description="what did not look, each with its reason")
    path: str = Field(description="where its file was; empty where that may not be told")
    finished: bool = Field(description="false: ingested in part, and reported on in part")


class ExhibitForm(_Form):
    number: int = Field(description="from 1; what `citations` and `figures` name")
    video_id: str
    start_s: float
    end_s: float
    frame_s: float = Field(description="time of the key frame")
    why: str
    notes: list[str] = Field(description="what was noted in this time")
    jpeg_base64: str = Field(description="the key frame; empty where there is none")
    alt: str = Field(description="what the key frame shows, or why there is none")


class ReportForm(_Form):
    """A report on videos, as `agentkit report --format json` writes it."""

    schema_version: Literal[1]
    title: str
    language: str
    domain: str
    engine: str
    made_at: str = Field(description="ISO 8601, UTC")
    details: dict[str, str]
    notices: list[str] = Field(description="what a reader must know first")
    videos: list[VideoForm]
    sections: list[SectionForm]
    exhibits: list[ExhibitForm]


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a report."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ReportForm.model_json_schema(),
    }


def schema_text() -> str:
    """Return docs/report.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def to_json(report: Report) -> bytes:
    """Return the report as JSON, two spaces deep, in UTF-8."""
    return (to_form(report).model_dump_json(indent=2) + "\n").encode()


def to_form(report: Report) -> ReportForm:
    numbers = Numbers(report.exhibits)
    return ReportForm(
        schema_version=SCHEMA_VERSION,
        title=report.title,
        language=report.language,
        domain=report.domain,
        engine=report.engine,
        made_at=report.made_at,
        details=dict(report.details),
        notices=list(report.notices),
        videos=[_video(video) for video in report.videos],
        sections=[_section(section, numbers) for section in report.sections],
        exhibits=[_exhibit(place, one) for place, one in enumerate(report.exhibits, start=1)],
    )


def _video(video: ReportedVideo) -> VideoForm:
    return VideoForm(**{name: _plain(getattr(video, name)) for name in VideoForm.model_fields})


def _section(section: Section, numbers: Numbers) -> SectionForm:
    return SectionForm(
        title=section.title,
        body=section.body,
        findings=[_finding(finding, numbers) for finding in section.findings],
        tables=[_table(table, numbers) for table in section.tables],
        timelines=[_timeline(timeline) for timeline in section.timelines],
        figures=numbers.of_all(section.figures),
    )


def _finding(finding: Finding, numbers: Numbers) -> FindingForm:
    return FindingForm(
        claim=finding.claim,
        verdict=finding.verdict,
        citations=numbers.of_all(finding.citations),
    )


def _table(table: Table, numbers: Numbers) -> TableForm:
    rows = [_row(row, numbers) for row in table.rows]
    return TableForm(title=table.title, head=list(table.head), rows=rows)


def _row(row: Row, numbers: Numbers) -> RowForm:
    citations = numbers.of_all(row.citations)
    return RowForm(cells=list(row.cells), verdict=verdict_of(row), citations=citations)


def _timeline(timeline: Timeline) -> TimelineForm:
    return TimelineForm(
        title=timeline.title,
        start_s=timeline.start_s,
        end_s=timeline.end_s,
        lanes=[_lane(lane) for lane in timeline.lanes],
        curves=[_curve(curve) for curve in timeline.curves],
    )


def _lane(lane: Lane) -> LaneForm:
    spans = [
        SpanForm(start_s=one.start_s, end_s=one.end_s, label=one.label, kind=one.kind)
        for one in lane.spans
    ]
    return LaneForm(name=lane.name, video_id=lane.video_id, offset_s=lane.offset_s, spans=spans)


def _curve(curve: Curve) -> CurveForm:
    return CurveForm(
        name=curve.name,
        video_id=curve.video_id,
        offset_s=curve.offset_s,
        step_s=curve.step_s,
        values=[value if math.isfinite(value) else None for value in curve.values],
    )


def _exhibit(place: int, exhibit: Exhibit) -> ExhibitForm:
    cite = exhibit.citation
    middle_s = (cite.start_s + cite.end_s) / 2
    return ExhibitForm(
        number=place,
        video_id=cite.video_id,
        start_s=cite.start_s,
        end_s=cite.end_s,
        frame_s=middle_s if cite.frame_s is None else cite.frame_s,
        why=cite.why,
        notes=list(exhibit.notes),
        jpeg_base64=base64.b64encode(exhibit.jpeg).decode("ascii"),
        alt=exhibit.alt,
    )


def _plain(value: object) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
