"""What a report may claim: citations that lie in their video, and no support without evidence."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from agentkit.types import (
    Citation,
    Finding,
    Lane,
    Row,
    Section,
    StoredVideo,
    Table,
    Timeline,
    Verdict,
)

Videos = Mapping[str, StoredVideo]  # by id


def checked(section: Section, videos: Videos) -> Section:
    """Return a section whose citations lie in the report's videos and whose claims are marked.

    A citation of another video, or of a time outside its video, is dropped; one that reaches
    over an end is cut there. A claim that is left without evidence is not supported. What a
    timeline shows at a time that is no number is dropped too.
    """
    return replace(
        section,
        findings=tuple(_finding(finding, videos) for finding in section.findings),
        tables=tuple(_table(table, videos) for table in section.tables),
        timelines=tuple(
            _timeline(one) for one in section.timelines if _finite(one.start_s, one.end_s)
        ),
        figures=_inside(section.figures, videos),
    )


def verdict_of(row: Row) -> Verdict:
    """Return what a row of a table is: supported by what it cites, or by nothing."""
    return "supported" if row.citations else "unsupported"


def count_verdicts(sections: Iterable[Section]) -> dict[Verdict, int]:
    """Return how many claims there are of each verdict; rows of tables are claims too."""
    counts: dict[Verdict, int] = {"supported": 0, "contradicted": 0, "unsupported": 0}
    for section in sections:
        for finding in section.findings:
            counts[finding.verdict] += 1
        for table in section.tables:
            for row in table.rows:
                counts[verdict_of(row)] += 1
    return counts


def _finding(finding: Finding, videos: Videos) -> Finding:
    citations = _inside(finding.citations, videos)
    lost = finding.verdict == "supported" and not citations
    return Finding(finding.claim, "unsupported" if lost else finding.verdict, citations)


def _table(table: Table, videos: Videos) -> Table:
    rows = tuple(Row(row.cells, _inside(row.citations, videos)) for row in table.rows)
    return replace(table, rows=rows)


def _timeline(timeline: Timeline) -> Timeline:
    lanes = tuple(_lane(lane) for lane in timeline.lanes if _finite(lane.offset_s))
    curves = tuple(one for one in timeline.curves if _finite(one.step_s, one.offset_s))
    return replace(timeline, lanes=lanes, curves=curves)


def _lane(lane: Lane) -> Lane:
    return replace(lane, spans=tuple(s for s in lane.spans if _finite(s.start_s, s.end_s)))


def _finite(*times_s: float) -> bool:
    return all(map(math.isfinite, times_s))


def _inside(citations: Iterable[Citation], videos: Videos) -> tuple[Citation, ...]:
    held = (_held(cite, videos) for cite in citations)
    return tuple(cite for cite in held if cite is not None)


def _held(cite: Citation, videos: Videos) -> Citation | None:
    """Return a citation held to its video; None where it says nothing about it."""
    video = videos.get(cite.video_id)
    if video is None or not cite.start_s <= cite.end_s:  # a time that is no number is none either
        return None
    if cite.end_s < 0 or cite.start_s > video.duration_s:
        return None
    start_s, end_s = max(cite.start_s, 0.0), min(cite.end_s, video.duration_s)
    frame_s = cite.frame_s
    if frame_s is not None:
        frame_s = min(max(frame_s, 0.0), video.duration_s) if frame_s == frame_s else None
    return replace(cite, start_s=start_s, end_s=end_s, frame_s=frame_s)
