"""The timeline as a picture: every place on it is linear in time."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.reports import svg
from agentkit.reports.wording import Words
from agentkit.types import Curve, Lane, Span, Timeline

NS = "{http://www.w3.org/2000/svg}"
times = st.floats(0, 1000, allow_nan=False)


def drawn(timeline: Timeline, number: svg.Number = lambda *_: None) -> ET.Element:
    return ET.fromstring(str(svg.timeline_svg(timeline, Words(), number, "t")))


def _rects(tree: ET.Element) -> list[dict[str, float]]:
    groups = [g for g in tree.iter(f"{NS}g") if (g.get("class") or "").startswith("span")]
    found = [rect for group in groups if (rect := group.find(f"{NS}rect")) is not None]
    return [{key: float(rect.get(key) or 0) for key in ("x", "y", "width")} for rect in found]


@given(st.lists(st.tuples(times, times), min_size=1, max_size=12), st.floats(-50, 50), times)
def test_spans_lie_where_their_times_say(
    pairs: list[tuple[float, float]], offset_s: float, start_s: float
) -> None:
    spans = tuple(Span(min(pair), max(pair), "x") for pair in pairs)
    end_s = start_s + 500
    tree = drawn(Timeline("t", end_s, (Lane("lane", spans, "v", offset_s),), (), start_s))
    inside = [
        (one.start_s + offset_s, one.end_s + offset_s)
        for one in spans
        if one.start_s + offset_s <= end_s and one.end_s + offset_s >= start_s
    ]
    left, width = svg.LEFT, svg.WIDTH - svg.RIGHT - svg.LEFT
    assert len(_rects(tree)) == len(inside)
    for rect, (from_s, to_s) in zip(_rects(tree), inside, strict=True):
        x = left + width * (max(from_s, start_s) - start_s) / 500
        right = left + width * (min(to_s, end_s) - start_s) / 500
        long = max(right - x - 1, svg.MIN_SPAN)
        assert rect["x"] == pytest.approx(min(x, left + width - long), abs=0.02)
        assert rect["width"] == pytest.approx(long, abs=0.02)


@given(st.lists(st.tuples(times, times), max_size=4))
def test_spans_that_overlap_stand_under_each_other(pairs: list[tuple[float, float]]) -> None:
    spans = [Span(min(pair), max(pair), "x") for pair in sorted(pairs)]
    rects = _rects(drawn(Timeline("t", 1000.0, (Lane("lane", tuple(spans)),))))
    placed = list(zip(spans, rects, strict=True))
    for at, (one, rect) in enumerate(placed):
        for other, beside in placed[at + 1 :]:
            if one.start_s < other.end_s - 1e-3 and other.start_s < one.end_s - 1e-3:
                assert rect["y"] != beside["y"]


@given(st.floats(0, 1e6), st.floats(0.5, 1e6))
def test_ticks_are_round_few_and_inside(start_s: float, length_s: float) -> None:
    found = svg.ticks(start_s, start_s + length_s)
    assert len(found) <= svg.MAX_TICKS + 1
    assert all(start_s <= time_s <= start_s + length_s for time_s in found)
    steps = {round(after - before, 6) for before, after in pairwise(found)}
    assert len(steps) <= 1
    assert all(time_s == int(time_s) for time_s in found)


def test_ticks_stand_at_their_times() -> None:
    tree = drawn(Timeline("t", 60.0, (Lane("lane", ()),)))
    texts = [text for text in tree.iter(f"{NS}text") if text.get("class") == "tick"]
    width = svg.WIDTH - svg.RIGHT - svg.LEFT
    assert [(text.text, float(text.get("x") or 0)) for text in texts] == [
        (
            f"00:{second:02}" if second < 60 else "01:00",
            pytest.approx(svg.LEFT + width * second / 60, abs=0.01),
        )
        for second in range(0, 61, 10)
    ]


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=30), st.floats(0.5, 20))
def test_a_curve_goes_through_its_values_and_breaks_at_gaps(
    values: list[float], step_s: float
) -> None:
    tree = drawn(Timeline("t", 600.0, curves=(Curve("c", step_s, tuple(values)),)))
    lines = [line.get("points") or "" for line in tree.iter(f"{NS}polyline")]
    points = [tuple(map(float, point.split(","))) for line in lines for point in line.split()]
    known = [(at * step_s, value) for at, value in enumerate(values) if value == value]
    runs = re.findall(r"1+", "".join("1" if value == value else "0" for value in values))
    base, high = svg.AXIS_H + svg.CURVE_H - 4, svg.CURVE_H - 10
    width = svg.WIDTH - svg.RIGHT - svg.LEFT
    assert len(lines) == len(runs)
    assert points == [
        (
            pytest.approx(svg.LEFT + width * time_s / 600, abs=0.01),
            pytest.approx(base - high * value, abs=0.01),
        )
        for time_s, value in known
    ]


def test_a_span_says_what_and_when_and_leads_to_its_evidence() -> None:
    lanes = (
        Lane("cars", (Span(2, 6, "2 cars", "things"), Span(8, 9, "1 car", "things")), "v", 1.0),
        Lane("speech", (Span(0, 20, "Hello", "sound"),), "v"),
    )

    def number(video_id: str, start_s: float, end_s: float) -> int | None:
        return 7 if (video_id, start_s, end_s) == ("v", 2, 6) else None

    tree = drawn(Timeline("Day", 20.0, lanes), number)
    titles = [title.text for title in tree.iter(f"{NS}title")]
    assert titles == [
        "Day: 2 lanes from 00:00 to 00:20.",
        *("cars", "2 cars, 00:03\u201300:07", "1 car, 00:09\u201300:10"),
        *("speech", "Hello, 00:00\u201300:20"),
    ]
    links = [(link.get("href"), link[0].find(f"{NS}title")) for link in tree.iter(f"{NS}a")]
    assert [(href, title.text) for href, title in links if title is not None] == [
        ("#e7", "2 cars, 00:03\u201300:07")
    ]
    keys = [key for key in tree.iter(f"{NS}g") if (key.get("class") or "").startswith("key")]
    assert [(key.get("class"), key.findtext(f"{NS}text")) for key in keys] == [
        ("key c0", "things"),
        ("key c1", "sound"),
    ]


def test_one_kind_needs_no_legend() -> None:
    tree = drawn(Timeline("t", 9.0, (Lane("a", (Span(0, 1, "x", "k"),)),)))
    assert [g for g in tree.iter(f"{NS}g") if (g.get("class") or "").startswith("key")] == []


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("5 people", 100, "5 people"),
        ("a long label indeed", 80, "a long labe\u2026"),
        ("5 people", 20, ""),
        ("\u4e24\u4e2a\u4eba\u5728\u8d70\u8def\u8fc7\u6865", 60, ""),
    ],
)
def test_labels_are_cut_where_they_do_not_fit(text: str, width: float, shown: str) -> None:
    assert svg.shortened(text, width) == shown


def test_the_page_knows_each_colour_of_the_picture() -> None:
    from importlib.resources import files

    style = (files("agentkit.reports") / "templates" / "report.css").read_text("utf-8")
    light = style.partition("@media")[0]
    for place, colour in enumerate(svg.COLOURS):
        assert f"--c{place}: {colour};" in light
        assert f".c{place} rect {{ fill: var(--c{place}); }}" in style
