"""A report as one HTML page that needs nothing but itself: no network, no script."""

import base64
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from agentkit.reports.claims import count_verdicts, verdict_of
from agentkit.reports.markdown import made, paragraphs
from agentkit.reports.numbering import Numbers
from agentkit.reports.places import clip_url
from agentkit.reports.svg import timeline_svg
from agentkit.reports.wording import Words, clock, number, span
from agentkit.types import Citation, Exhibit, Report, ReportedVideo, Timeline

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LANGUAGES = {"en": "en", "zh": "zh-Hans"}
LONG_TABLE = 14  # rows from which on a table scrolls in its own box


def html(report: Report) -> str:
    """Return the report as a page."""
    page = _Page(report, Words(report.language), Numbers(report.exhibits))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            page=page,
            words=page.words,
            language=LANGUAGES.get(report.language, "en"),
        )
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("agentkit.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        clock=clock, span=span, number=number, paragraphs=paragraphs, verdict_of=verdict_of
    )
    return environment


@dataclass(slots=True)
class _Page:
    """What the templates ask for, besides the report itself."""

    report: Report
    words: Words
    numbers: Numbers
    long_table: int = LONG_TABLE

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many claims there are of each verdict that occurs."""
        found = count_verdicts(self.report.sections)
        return [(name, count) for name, count in found.items() if count]

    @property
    def made(self) -> list[tuple[str, str]]:
        return made(self.report)

    def looked(self, video: ReportedVideo) -> str:
        names = (self.words.named("instrument", name) for name in video.instruments)
        return self.words.listed(names)

    def name_of(self, cite: Citation) -> str:
        names = {video.video_id: video.name for video in self.report.videos}
        return names.get(cite.video_id, cite.video_id[:12])

    def clip(self, cite: Citation) -> str:
        """Return the link to a citation's time in the video's file; "" where none may be given."""
        paths = {video.video_id: video.path for video in self.report.videos}
        return clip_url(paths.get(cite.video_id, ""), cite)

    def picture(self, exhibit: Exhibit) -> str:
        return f"data:image/jpeg;base64,{base64.b64encode(exhibit.jpeg).decode('ascii')}"

    def exhibit(self, cite: Citation) -> Exhibit | None:
        place = self.numbers.of(cite)
        return None if place is None else self.report.exhibits[place - 1]

    def timeline(self, timeline: Timeline, name: str) -> "Markup":
        return timeline_svg(timeline, self.words, self._shown, name)

    def _shown(self, video_id: str, start_s: float, end_s: float) -> int | None:
        """Return the exhibit of a span, if one shows exactly it."""
        for place, exhibit in enumerate(self.report.exhibits, start=1):
            cite = exhibit.citation
            near = abs(cite.start_s - start_s) < 1e-3 and abs(cite.end_s - end_s) < 1e-3
            if near and cite.video_id == video_id:
                return place
        return None
