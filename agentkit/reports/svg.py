"""A timeline as SVG: an axis of time, a lane for each name, curves, tooltips and a legend.

Every place on the picture comes from one linear scale. Colours and letters stand in attributes,
for printers of PDF that give a picture no style of the page; where it has one, that wins. Knows no
file and no store.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from agentkit.reports.wording import Words, clock, span
from agentkit.types import Curve, Lane, Span, Timeline

WIDTH = 1000
LEFT, RIGHT = 168, 24  # of the plot: lane names stand left of it
AXIS_H, LANE_H, ROW_H, CURVE_H, LEGEND_H = 30, 12, 20, 48, 30
MAX_ROWS = 8  # of one lane, where its spans overlap
MIN_SPAN = 2.5  # what lasts a moment can still be seen
COLOURS = (  # of kinds, as in report.css; there they change with the reader's light or dark
    "#2f6d93", "#966110", "#38785a", "#954a6d", "#625ba3", "#9c4f35", "#566f16", "#5e6a76",
)  # fmt: skip
INK, SOFT, LINE, ACCENT = "#1d2328", "#59636c", "#dfe2e0", "#1f5f7a"
CHAR_W = 6.6  # of the labels, about: 12 units high
MIN_CHARS = 6  # of a label that is cut off
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
MAX_TICKS = 9

Number = Callable[[str, float, float], int | None]  # the exhibit of a video's span, if it has one


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds to units of the picture, linear from `left` to `right`."""

    start_s: float
    end_s: float
    left: float = LEFT
    right: float = WIDTH - RIGHT

    def x(self, time_s: float) -> float:
        share = (time_s - self.start_s) / max(self.end_s - self.start_s, 1e-9)
        return self.left + share * (self.right - self.left)


def timeline_svg(timeline: Timeline, words: Words, number: Number, name: str) -> Markup:
    """Return the timeline as one `<svg>`; `name` begins the ids in it.

    A span that an exhibit shows is a link to it.
    """
    return _Drawing(timeline, words, number, name).svg()


class _Drawing:
    def __init__(self, timeline: Timeline, words: Words, number: Number, name: str) -> None:
        self._timeline, self._words, self._number, self._name = timeline, words, number, name
        self._scale = Scale(timeline.start_s, max(timeline.end_s, timeline.start_s))
        spans = [one for lane in timeline.lanes for one in lane.spans]
        self._kinds = list(dict.fromkeys(one.kind for one in spans))
        self._top = float(AXIS_H)

    def svg(self) -> Markup:
        bands = [*self._lanes(), *self._curves()]
        bottom = self._top
        legend, height = self._legend(bottom)
        timeline = self._timeline
        start, end = clock(timeline.start_s), clock(timeline.end_s)
        lanes = len(timeline.lanes) + len(timeline.curves)
        told = self._words(
            "timeline.described", title=timeline.title, lanes=lanes, start=start, end=end
        )
        return Markup(
            '<svg class="timeline" viewBox="0 0 {w} {h}" role="group" aria-labelledby="{id}"'
            ' font-family="sans-serif" font-size="12" fill="{ink}" xmlns="http://www.w3.org/2000/svg">'
            '<title id="{id}">{told}</title>{inside}</svg>'
        ).format(
            w=WIDTH,
            h=_n(height),
            id=f"{self._name}-title",
            ink=INK,
            told=told,
            inside=Markup("").join([*self._axis(bottom), *bands, *legend]),
        )

    def _axis(self, bottom: float) -> Iterator[Markup]:
        for time_s in ticks(self._timeline.start_s, self._timeline.end_s):
            x = self._scale.x(time_s)
            yield Markup(
                '<line class="grid" stroke="{line}" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
                '<text class="tick" fill="{soft}" text-anchor="middle" x="{x}" y="{y}">'
                "{time}</text>"
            ).format(
                line=LINE,
                soft=SOFT,
                x=_n(x),
                top=AXIS_H - 8,
                bottom=_n(bottom),
                y=AXIS_H - 14,
                time=clock(time_s),
            )

    def _lanes(self) -> Iterator[Markup]:
        for lane in self._timeline.lanes:
            shown = [one for one in lane.spans if self._is_inside(one, lane)]
            rows = _rows(shown)
            height = (max(rows, default=0) + 1) * ROW_H + LANE_H
            yield self._band(lane.name, height)
            for one, row in zip(shown, rows, strict=True):
                yield self._span(one, lane, self._top + LANE_H / 2 + row * ROW_H)
            self._top += height

    def _band(self, name: str, height: float) -> Markup:
        middle = self._top + height / 2 + 4
        return Markup(
            '<line class="rule" stroke="{line}" x1="0" x2="{w}" y1="{y}" y2="{y}"/>'
            '<text class="lane" font-weight="bold" x="0" y="{middle}">{short}'
            "<title>{name}</title></text>"
        ).format(
            line=LINE,
            w=WIDTH,
            y=_n(self._top),
            middle=_n(middle),
            short=shortened(name, LEFT - 14),
            name=name,
        )

    def _is_inside(self, one: Span, lane: Lane) -> bool:
        start_s, end_s = one.start_s + lane.offset_s, one.end_s + lane.offset_s
        timeline = self._timeline
        return start_s <= timeline.end_s and end_s >= timeline.start_s and start_s <= end_s

    def _span(self, one: Span, lane: Lane, y: float) -> Markup:
        timeline = self._timeline
        start_s = max(one.start_s + lane.offset_s, timeline.start_s)
        end_s = min(one.end_s + lane.offset_s, timeline.end_s)
        left, right = self._scale.x(start_s), self._scale.x(end_s)
        width = max(right - left - 1, MIN_SPAN)
        left = min(left, self._scale.right - width)
        when = span(one.start_s + lane.offset_s, one.end_s + lane.offset_s)
        label = shortened(one.label, width - 8) or _count(one.label, width - 8)
        drawn = Markup(
            '<g class="span c{colour}"><title>{label}, {when}</title>'
            '<rect fill="{fill}" x="{x}" y="{y}" width="{w}" height="{h}" rx="3"/>{text}</g>'
        ).format(
            **self._colour(one.kind),
            label=one.label,
            when=when,
            x=_n(left),
            y=_n(y + 1),
            w=_n(width),
            h=ROW_H - 2,
            text=_text(label, left + 5, y + 14) if label else "",
        )
        return self._linked(drawn, one, lane)

    def _colour(self, kind: str) -> dict[str, object]:
        place = self._kinds.index(kind) % len(COLOURS)
        return {"colour": place, "fill": COLOURS[place]}

    def _linked(self, drawn: Markup, one: Span, lane: Lane) -> Markup:
        number = self._number(lane.video_id, one.start_s, one.end_s)
        return drawn if number is None else Markup('<a href="#e{}">{}</a>').format(number, drawn)

    def _curves(self) -> Iterator[Markup]:
        for curve in self._timeline.curves:
            yield self._band(curve.name, CURVE_H)
            base, high = self._top + CURVE_H - 4, CURVE_H - 10
            yield Markup('<g class="curve"><title>{name}</title>{paths}</g>').format(
                name=curve.name, paths=Markup("").join(self._paths(curve, base, high))
            )
            self._top += CURVE_H

    def _paths(self, curve: Curve, base: float, high: float) -> Iterator[Markup]:
        """Yield an area and its line for each run of values without a gap."""
        for points in self._runs(curve):
            xy = [(x, base - value * high) for x, value in points]
            line = " ".join(f"{_n(x)},{_n(y)}" for x, y in xy)
            ends = f"{_n(xy[-1][0])},{_n(base)} {_n(xy[0][0])},{_n(base)}"
            yield Markup(
                '<polygon fill="{colour}" opacity="0.16" points="{line} {ends}"/>'
                '<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{line}"/>'
            ).format(colour=ACCENT, line=line, ends=ends)

    def _runs(self, curve: Curve) -> Iterator[list[tuple[float, float]]]:
        run: list[tuple[float, float]] = []
        for place, value in enumerate(curve.values):
            time_s = place * curve.step_s + curve.offset_s
            if math.isfinite(value) and self._timeline.start_s <= time_s <= self._timeline.end_s:
                run.append((self._scale.x(time_s), min(max(value, 0.0), 1.0)))
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _legend(self, top: float) -> tuple[list[Markup], float]:
        """Return what the colours mean, where there are several, and where that ends."""
        named = [kind for kind in self._kinds if kind]
        if len(named) < 2:
            return [], top + 6
        drawn, left, y = [], float(LEFT), top + 10
        for kind in named:
            width = 24 + min(_width(kind), 160)
            if left + width > WIDTH - RIGHT:
                left, y = float(LEFT), y + ROW_H
            drawn.append(
                Markup(
                    '<g class="key c{colour}"><rect fill="{fill}" x="{x}" y="{y}" width="12"'
                    ' height="12" rx="3"/>'
                    '<text fill="{soft}" x="{text_x}" y="{text_y}">{kind}</text></g>'
                ).format(
                    **self._colour(kind),
                    soft=SOFT,
                    x=_n(left),
                    y=_n(y),
                    text_x=_n(left + 18),
                    text_y=_n(y + 10.5),
                    kind=shortened(kind, 160),
                )
            )
            left += width + 16
        return drawn, y - 10 + LEGEND_H


def ticks(start_s: float, end_s: float) -> list[float]:
    """Return round times on the axis, at most about MAX_TICKS of them."""
    length_s = max(end_s - start_s, 0.0)
    wanted = (step for step in TICK_STEPS_S if length_s / step <= MAX_TICKS)
    step = next(wanted, math.ceil(length_s / MAX_TICKS / 86400) * 86400)
    first = math.ceil(start_s / step)
    return [float(place * step) for place in range(first, int(end_s // step) + 1)]


def shortened(text: str, width: float) -> str:
    """Return a text cut to a width of the picture, with an ellipsis; "" where nothing fits."""
    if _width(text) <= width:
        return text
    kept = text
    while kept and _width(kept) + CHAR_W > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}\u2026" if len(kept) >= MIN_CHARS else ""


def _count(label: str, width: float) -> str:
    """Return the number that a label begins with ("5 people"), where that fits."""
    number = label.partition(" ")[0]
    return number if number.isdecimal() and _width(number) <= width else ""


def _width(text: str) -> float:
    """Return about how wide a text is: CJK characters take twice the room."""
    return sum(CHAR_W * (1.9 if ord(char) > 0x2E7F else 1) for char in text)


def _rows(spans: Sequence[Span]) -> list[int]:
    """Return the row of each span, so that those that overlap stand under each other."""
    ends_s: list[float] = []
    rows = []
    for one in spans:
        free = (row for row, end_s in enumerate(ends_s) if end_s <= one.start_s + 1e-6)
        row = next(free, None)
        if row is None:
            row = min(len(ends_s), MAX_ROWS - 1)
            if row == len(ends_s):
                ends_s.append(0.0)
        ends_s[row] = max(ends_s[row], one.end_s)
        rows.append(row)
    return rows


def _text(label: str, x: float, y: float) -> Markup:
    return Markup('<text fill="#ffffff" x="{}" y="{}">{}</text>').format(_n(x), _n(y), label)


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
