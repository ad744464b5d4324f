"""A report as Markdown: reads well as plain text, its numbers jump to the evidence and back.

Text that comes out of a video is escaped: it cannot make a heading, a link or HTML.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from agentkit.reports.claims import count_verdicts, verdict_of
from agentkit.reports.numbering import Numbers
from agentkit.reports.places import clip_url
from agentkit.reports.wording import Words, clock, number, span
from agentkit.types import (
    Citation,
    Curve,
    Exhibit,
    Finding,
    Lane,
    Report,
    ReportedVideo,
    Section,
    Table,
    Timeline,
)

BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
CURVE_CHARS = 60
MAX_SPANS = 20  # of one lane

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&])")
_LEADING = re.compile(r"^([#+=-]|\d+(?=[.)](?:\s|$)))")
_LINKED = re.compile(r"(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)


def markdown(report: Report) -> str:
    """Return the report as Markdown (CommonMark, with tables)."""
    return _Page(report).text()


def escaped(text: str) -> str:
    """Return text as Markdown that shows exactly this, in one line."""
    plain = " ".join(text.split())
    plain = _SPECIAL.sub(r"\\\1", plain)
    plain = _LINKED.sub(lambda found: f"\\{found.group()}", plain)
    return _LEADING.sub(lambda found: _not_leading(found.group()), plain)


def _not_leading(start: str) -> str:
    """Return what would begin a heading or a list, so that it does not: "1\\." or "\\#"."""
    return f"{start}\\" if start.isdecimal() else f"\\{start}"


class _Page:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._words = Words(report.language)
        self._numbers = Numbers(report.exhibits)
        self._videos = {video.video_id: video for video in report.videos}

    def text(self) -> str:
        blocks = [f"# {escaped(self._report.title)}", *self._head()]
        blocks += [block for section in self._report.sections for block in self._section(section)]
        blocks += [*self._evidence(), *self._made()]
        return "\n\n".join(blocks) + "\n"

    def _head(self) -> Iterator[str]:
        words, report = self._words, self._report
        counts = count_verdicts(report.sections)
        told = [f"{count} {words(f'verdict.{name}')}" for name, count in counts.items() if count]
        if told:
            yield f"{words('page.claims')}: {words.listed(told)}"
        if report.notices:
            yield f"**{words('page.notices')}**"
            yield "\n".join(f"> - {escaped(notice)}" for notice in report.notices)
        yield f"## {words('page.coverage')}"
        for video in report.videos:
            yield "\n".join(self._coverage(video))

    def _coverage(self, video: ReportedVideo) -> Iterator[str]:
        words = self._words
        unfinished = "" if video.finished else f" \u2014 **{words('coverage.unfinished')}**"
        yield f"- **{escaped(video.name)}**, {clock(video.duration_s)}{unfinished}"
        frames = words("coverage.frames_of", seen=video.frames_seen, total=video.frames_in_file)
        yield f"  - {words('coverage.frames')}: {frames}"
        if video.step_s:
            step = words("coverage.seconds", seconds=number(video.step_s))
            short = words("coverage.short_events", seconds=number(video.step_s))
            yield f"  - {words('coverage.step')}: {step}. {short}"
        names = [words.named("instrument", name) for name in video.instruments]
        looked = words.listed(map(escaped, names)) or words("coverage.nobody")
        yield f"  - {words('coverage.instruments')}: {looked}"
        for reason in video.missing:
            yield f"  - {words('coverage.missing')}: {escaped(reason)}"

    def _section(self, section: Section) -> Iterator[str]:
        yield f"## {escaped(section.title)}"
        yield from (escaped(part) for part in paragraphs(section.body))
        if section.findings:
            yield "\n".join(self._finding(finding) for finding in section.findings)
        if section.figures:
            yield f"{self._words('page.key_frames')}: {self._cited(section.figures)}"
        for timeline in section.timelines:
            yield from self._timeline(timeline)
        for table in section.tables:
            yield from self._table(table)

    def _finding(self, finding: Finding) -> str:
        mark = ""
        if finding.verdict != "supported":
            mark = f"**\u26a0 {self._words(f'verdict.{finding.verdict}')}** \u2014 "
        return f"- {mark}{escaped(finding.claim)}{_after(self._cited(finding.citations))}"

    def _cited(self, cites: Iterable[Citation]) -> str:
        """Return citations as links with their times."""
        mentions = self._numbers.mention(cites)
        return ", ".join(
            f'<a id="{mention.anchor}"></a>[\\[{mention.number}\\]](#e{mention.number})'
            f" {span(mention.citation.start_s, mention.citation.end_s)}"
            for mention in mentions
        )

    def _table(self, table: Table) -> Iterator[str]:
        words = self._words
        head = [*table.head, words("page.why")]
        lines = [_row(map(escaped, head)), _row(["---"] * len(head))]
        for row in table.rows:
            cells = [escaped(cell) for cell in row.cells]
            mark = f"**\u26a0 {words(f'verdict.{verdict_of(row)}')}**"
            cells = [*cells, *[""] * (len(table.head) - len(cells))]
            lines.append(_row([*cells, self._cited(row.citations) or mark]))
        if table.title:
            yield f"### {escaped(table.title)}"
        yield "\n".join(lines)

    def _timeline(self, timeline: Timeline) -> Iterator[str]:
        if timeline.title:
            start, end = clock(timeline.start_s), clock(timeline.end_s)
            yield f"### {escaped(timeline.title)} ({start}\u2013{end})"
        lanes = [self._lane(lane) for lane in timeline.lanes]
        lanes += [f"- **{escaped(curve.name)}**: {bars(curve)}" for curve in timeline.curves]
        if lanes:
            yield "\n".join(lanes)

    def _lane(self, lane: Lane) -> str:
        told = [
            f"{span(one.start_s + lane.offset_s, one.end_s + lane.offset_s)} {escaped(one.label)}"
            for one in lane.spans[:MAX_SPANS]
        ]
        left = len(lane.spans) - MAX_SPANS
        told += [self._words("general.more", count=left)] if left > 0 else []
        return f"- **{escaped(lane.name)}**: {'; '.join(told) or self._words('timeline.none')}"

    def _evidence(self) -> Iterator[str]:
        words = self._words
        yield f"## {words('page.evidence')}"
        if not self._report.exhibits:
            yield words("page.no_evidence")
            return
        yield words("page.evidence_intro")
        for place, exhibit in enumerate(self._report.exhibits, start=1):
            yield "\n".join(self._exhibit(place, exhibit))

    def _exhibit(self, place: int, exhibit: Exhibit) -> Iterator[str]:
        cite, words = exhibit.citation, self._words
        video = self._videos.get(cite.video_id)
        name = escaped(video.name if video else cite.video_id[:12])
        time = span(cite.start_s, cite.end_s)
        url = clip_url(video.path if video else "", cite)
        when = f"[{time}](<{url}>)" if url else time
        yield f'<a id="e{place}"></a>**\\[{place}\\]** {name}, {when} \u2014 {escaped(cite.why)}'
        yield ""
        yield from (f"- {escaped(note)}" for note in exhibit.notes)
        back = [
            f"[{mention.place}](#{mention.anchor})" for mention in self._numbers.mentions[place]
        ]
        if back:
            yield f"- {words('page.back')}: {', '.join(back)}"

    def _made(self) -> Iterator[str]:
        yield f"## {self._words('page.made')}"
        yield "\n".join(f"- {name}: {escaped(value)}" for name, value in made(self._report))


def made(report: Report) -> list[tuple[str, str]]:
    """Return what a report was made with, in words, as (name, value)."""
    words = Words(report.language)
    given = {
        "page.made_at": report.made_at,
        "page.domain": words.named("domain", report.domain),
        "page.engine": report.engine,
    }
    told = [(words(name), value) for name, value in given.items() if value]
    return told + [
        (words.named("detail", name), words.named("detail", value))
        for name, value in report.details.items()
        if value
    ]


def paragraphs(body: str) -> list[str]:
    """Return the paragraphs of a body: an empty line stands between two."""
    return [part.strip() for part in re.split(r"\n\s*\n", body) if part.strip()]


def bars(curve: Curve) -> str:
    """Return a curve as at most CURVE_CHARS bars, each as high as the highest value under it."""
    values = curve.values
    per_bar = max(math.ceil(len(values) / CURVE_CHARS), 1)
    return "".join(_bar(values[at : at + per_bar]) for at in range(0, len(values), per_bar))


def _bar(values: Sequence[float]) -> str:
    known = [value for value in values if value == value]  # NaN is not itself
    if not known:
        return "\u00b7"
    return BARS[min(int(max(min(max(known), 1.0), 0.0) * len(BARS)), len(BARS) - 1)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _after(text: str) -> str:
    return f" {text}" if text else ""
