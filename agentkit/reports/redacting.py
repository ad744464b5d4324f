"""Every text of a report, as it may leave the store. Knows which video a text is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from agentkit.redaction import Redaction
from agentkit.types import (
    Citation,
    Curve,
    Finding,
    Lane,
    Row,
    Section,
    StoredVideo,
    Table,
    Timeline,
)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Redactor:
    """A session's redaction over whole sections; each distinct text is asked about once.

    A text that is about no single video is redacted for each of them in turn.
    """

    redaction: Redaction
    videos: Mapping[str, StoredVideo]  # by id
    _known: dict[Key, str] = field(default_factory=dict)

    def text(self, text: str, video_id: str = "") -> str:
        """Return a text about a video, or about all of them, as it may be shown."""
        if (video_id, text) not in self._known:
            about = [self.videos[video_id]] if video_id in self.videos else self.videos.values()
            shown = text.encode(errors="replace").decode()  # half a letter cannot be written
            for video in about:
                # Before too: a path that the redaction changed in part is found no more.
                shown = self._named(shown, video)
                shown = self._named(self.redaction.text(video, shown), video)
            self._known[video_id, text] = shown
        return self._known[video_id, text]

    def _named(self, text: str, video: StoredVideo) -> str:
        """Return a text without a file's path where no link may lead to it, nor its name."""
        if not video.path or self.redaction.path(video):
            return text
        text = text.replace(video.path, self.redaction.name(video))
        if self.redaction.hides_names:
            text = text.replace(PurePath(video.path).name, self.redaction.name(video))
        return text

    def section(self, section: Section, video_id: str = "") -> Section:
        """Return a section as it may be shown."""
        return Section(
            self.text(section.title, video_id),
            self.text(section.body, video_id),
            tuple(self._finding(finding, video_id) for finding in section.findings),
            tuple(self._table(table, video_id) for table in section.tables),
            tuple(self._timeline(timeline, video_id) for timeline in section.timelines),
            self._citations(section.figures),
        )

    def citation(self, cite: Citation) -> Citation:
        return replace(cite, why=self.text(cite.why, cite.video_id))

    def _citations(self, cites: Sequence[Citation]) -> tuple[Citation, ...]:
        return tuple(self.citation(cite) for cite in cites)

    def _finding(self, finding: Finding, video_id: str) -> Finding:
        claim = self.text(finding.claim, video_id)
        return Finding(claim, finding.verdict, self._citations(finding.citations))

    def _table(self, table: Table, video_id: str) -> Table:
        head = tuple(self.text(cell, video_id) for cell in table.head)
        rows = tuple(
            Row(
                tuple(self.text(cell, video_id) for cell in row.cells),
                self._citations(row.citations),
            )
            for row in table.rows
        )
        return Table(self.text(table.title, video_id), head, rows)

    def _timeline(self, timeline: Timeline, video_id: str) -> Timeline:
        return replace(
            timeline,
            title=self.text(timeline.title, video_id),
            lanes=tuple(self._lane(lane, lane.video_id or video_id) for lane in timeline.lanes),
            curves=tuple(
                self._curve(curve, curve.video_id or video_id) for curve in timeline.curves
            ),
        )

    def _lane(self, lane: Lane, video_id: str) -> Lane:
        spans = tuple(
            replace(
                span,
                label=self.text(span.label, video_id),
                kind=self.text(span.kind, video_id),
            )
            for span in lane.spans
        )
        return replace(lane, name=self.text(lane.name, video_id), spans=spans)

    def _curve(self, curve: Curve, video_id: str) -> Curve:
        return replace(curve, name=self.text(curve.name, video_id))
