"""A small report in each format, compared whole."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.reports import form
from agentkit.reports.html import html
from agentkit.reports.markdown import escaped, markdown
from agentkit.reports.wording import texts
from agentkit.types import (
    Citation,
    Exhibit,
    Finding,
    Lane,
    Report,
    ReportedVideo,
    Row,
    Section,
    Span,
    Table,
    Timeline,
)

REPORTED = ReportedVideo("ab" * 32, "film", 20.0, 20, 500, 1.0, (), ())
ROOT = Path(__file__).resolve().parents[3]

MARKDOWN = """\
# Report on film.mp4

Claims: 2 shown by the video, 1 contradicted by the video, 2 not shown by the video

**Read this first**

> - No medical device.

## What was looked at

- **film.mp4**, 00:20
  - Frames looked at: 20 of 500
  - One frame every: 1 s. What lasts less than 1 s may have been missed.
  - Looked and listened: objects, crowd
  - Did not look: ocr: extra 'ocr' is not installed

## Summary

First paragraph.

Second one.

- Two cars stand. <a id="m1-1"></a>[\\[1\\]](#e1) 00:02\u201300:06
- **\u26a0 not shown by the video** \u2014 A ship sinks.
- **\u26a0 contradicted by the video** \u2014 Nobody speaks. <a id="m2-1"></a>[\\[2\\]](#e2) \
00:08\u201300:09, <a id="m1-2"></a>[\\[1\\]](#e1) 00:02\u201300:06

Key frames: <a id="m1-3"></a>[\\[1\\]](#e1) 00:02\u201300:06

## Events

### When (00:00\u201300:20)

- **cars**: 00:02\u201300:06 2 cars
- **speech**: 00:08\u201300:09 Stop here.
- **nothing**: nothing noted
- **motion**: \u2581\u2588\u00b7\u2585

### In order

| When | What | Evidence |
| --- | --- | --- |
| 00:02 | cars | <a id="m1-4"></a>[\\[1\\]](#e1) 00:02\u201300:06 |
| ? |  | **\u26a0 not shown by the video** |

## Evidence

Every number in brackets in this report leads here: the time in the video, what was noted in it, \
and its key frame.

<a id="e1"></a>**\\[1\\]** film.mp4, [00:02\u201300:06](<file:///films/film.mp4#t=2,6>) \u2014 \
2 cars left

- Things: 2 cars left
- Cited in: [1](#m1-1), [2](#m1-2), [3](#m1-3), [4](#m1-4)

<a id="e2"></a>**\\[2\\]** film.mp4, [00:08\u201300:09](<file:///films/film.mp4#t=8,9.5>) \u2014 \
Stop here.

- Cited in: [1](#m2-1)

## How this report was made

- Made: 2026-02-03T04:05:06+00:00
- Domain: general
- Engine: tiny
- agentkit: 0.1.0
- Redaction: off
- zones: zones.toml
"""


def test_markdown_is_this(report: Report) -> None:
    assert markdown(report) == MARKDOWN


def test_json_is_this(report: Report) -> None:
    made = json.loads(form.to_json(replace(report, exhibits=report.exhibits[1:])))
    assert made == {
        "schema_version": 1,
        "title": "Report on film.mp4",
        "language": "en",
        "domain": "general",
        "engine": "tiny",
        "made_at": "2026-02-03T04:05:06+00:00",
        "details": {"agentkit": "0.1.0", "redaction": "off", "zones": "zones.toml"},
        "notices": ["No medical device."],
        "videos": [
            {
                "video_id": "ab" * 32,
                "name": "film.mp4",
                "duration_s": 20.0,
                "frames_seen": 20,
                "frames_in_file": 500,
                "step_s": 1.0,
                "instruments": ["objects", "crowd"],
                "missing": ["ocr: extra 'ocr' is not installed"],
                "path": "/films/film.mp4",
                "finished": True,
            }
        ],
        "sections": [
            {
                "title": "Summary",
                "body": "First paragraph.\n\nSecond one.",
                "findings": [
                    {"claim": "Two cars stand.", "verdict": "supported", "citations": []},
                    {"claim": "A ship sinks.", "verdict": "unsupported", "citations": []},
                    {"claim": "Nobody speaks.", "verdict": "contradicted", "citations": [1]},
                ],
                "tables": [],
                "timelines": [],
                "figures": [],
            },
            {
                "title": "Events",
                "body": "",
                "findings": [],
                "tables": [
                    {
                        "title": "In order",
                        "head": ["When", "What"],
                        "rows": [
                            {"cells": ["00:02", "cars"], "verdict": "supported", "citations": []},
                            {"cells": ["?"], "verdict": "unsupported", "citations": []},
                        ],
                    }
                ],
                "timelines": [
                    {
                        "title": "When",
                        "start_s": 0.0,
                        "end_s": 20.0,
                        "lanes": [
                            _lane("cars", [[2.0, 6.0, "2 cars", "things"]]),
                            _lane("speech", [[8.0, 9.5, "Stop here.", "sound"]]),
                            _lane("nothing", [], ""),
                        ],
                        "curves": [
                            {
                                "name": "motion",
                                "video_id": "ab" * 32,
                                "offset_s": 0.0,
                                "step_s": 5.0,
                                "values": [0.0, 1.0, None, 0.5],
                            }
                        ],
                    }
                ],
                "figures": [],
            },
        ],
        "exhibits": [
            {
                "number": 1,
                "video_id": "ab" * 32,
                "start_s": 8.0,
                "end_s": 9.5,
                "frame_s": 8.75,
                "why": "Stop here.",
                "notes": [],
                "jpeg_base64": "",
                "alt": "No key frame: the file is gone.",
            }
        ],
    }


def _lane(name: str, spans: list[list[Any]], video_id: str = "ab" * 32) -> dict[str, Any]:
    keys = ("start_s", "end_s", "label", "kind")
    told = [dict(zip(keys, span, strict=True)) for span in spans]
    return {"name": name, "video_id": video_id, "offset_s": 0.0, "spans": told}


def test_the_published_schema_is_that_of_the_models() -> None:
    published = (ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8")
    assert published == form.schema_text()


def test_a_report_is_valid_under_the_schema_and_a_broken_one_is_not(report: Report) -> None:
    checker = jsonschema.Draft202012Validator(form.schema())
    made = json.loads(form.to_json(report))
    assert list(checker.iter_errors(made)) == []
    made["sections"][0]["findings"][0]["verdict"] = "perhaps"
    del made["title"]
    assert len(list(checker.iter_errors(made))) == 2


def test_both_languages_have_the_same_words() -> None:
    words = texts()
    assert words.languages == ("en", "zh")
    assert words.texts["en"].keys() == words.texts["zh"].keys()
    for name in words.texts["en"]:
        assert words.placeholders(name, "en") == words.placeholders(name, "zh"), name


def test_the_page_speaks_the_reports_language(report: Report) -> None:
    page = html(replace(report, language="zh"))
    assert '<html lang="zh-Hans">' in page
    assert "视频未显示" in page
    assert "not shown" not in page


class _Page(HTMLParser):
    """What a browser would find: elements with their ids, links, and text."""

    VOID = ("meta", "img", "line", "rect", "polygon", "polyline", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.depth: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.depth.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.depth, tag
        assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def test_every_number_leads_to_evidence_and_back(report: Report) -> None:
    page = _Page(html(report))
    assert page.depth == []
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    inner = {link[1:] for link in page.all("href") if link.startswith("#")}
    assert inner <= set(ids)
    assert {"e1", "e2", "m1-1", "m1-2", "m1-3", "m1-4", "m2-1"} <= inner


def test_links_of_times_lead_into_the_file_and_nowhere_where_there_is_no_path(
    report: Report,
) -> None:
    outer = {link for link in _Page(html(report)).all("href") if not link.startswith("#")}
    assert outer == {"file:///films/film.mp4#t=2,6", "file:///films/film.mp4#t=8,9.5"}
    hidden = replace(report, videos=(replace(report.videos[0], path=""),))
    assert all(link.startswith("#") for link in _Page(html(hidden)).all("href"))
    assert "/films" not in markdown(hidden)


def test_the_page_may_load_nothing(report: Report) -> None:
    page = _Page(html(report))
    policy = [attrs["content"] for tag, attrs in page.elements if "http-equiv" in attrs]
    assert policy == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none';"
        " form-action 'none'"
    ]
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.all("src"))
    assert "url(" not in html(report)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}


def test_pictures_have_a_text_and_tables_a_head(report: Report) -> None:
    page = _Page(html(report))
    pictures = [attrs for tag, attrs in page.elements if tag == "img"]
    assert [picture["alt"] for picture in pictures] == ["Key frame of film.mp4 at 00:04"] * 2
    assert [attrs["scope"] for tag, attrs in page.elements if tag == "th"] == ["col"] * 3


def test_what_the_video_does_not_show_is_marked_in_every_format(report: Report) -> None:
    text = " ".join("".join(_Page(html(report)).text).split())
    assert "A ship sinks. not shown by the video" in text
    assert "Nobody speaks. contradicted by the video" in text
    assert "?not shown by the video" in text
    assert "Two cars stand. [1]" in text


NASTY = st.text(max_size=40) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</title></svg><script>alert(1)</script>",
        "{{ 7 * 7 }} {% raw %}",
        "javascript:alert(1)",
        "</style><script>",
        "[a](javascript:alert(1)) ![x](http://evil/x.png)",
        "# heading\n## other",
        "| a | b |\n| --- | --- |",
        "`code` *bold* _it_ ~~no~~ <b>",
    ]
)


def _nasty(text: str) -> Report:
    cite = Citation("ab" * 32, 1.0, 2.0, text)
    video = replace(REPORTED, name=text, instruments=(text,), missing=(text,))
    timeline = Timeline(text, 9.0, (Lane(text, (Span(1.0, 9.0, text, text),), "ab" * 32),))
    section = Section(
        text,
        text,
        (Finding(text, "supported", (cite,)),),
        (Table(text, (text,), (Row((text,), (cite,)),)),),
        (timeline,),
        (cite,),
    )
    exhibit = Exhibit(cite, (text,), b"x", text)
    return Report(text, (video,), (section,), (exhibit,), (text,), text, "en", text, text)


@settings(max_examples=60, deadline=None)
@given(NASTY)
def test_text_from_a_video_is_text_on_the_page(text: str) -> None:
    page, plain = _Page(html(_nasty(text))), _Page(html(_nasty("a word")))
    assert _shapes(page) <= _shapes(plain)
    assert page.depth == []
    assert set(page.all("href")) == set(plain.all("href"))
    assert " ".join(text.split()) in " ".join("".join(page.text).split())


def _shapes(page: _Page) -> set[tuple[str, ...]]:
    """Return which elements there are, each with the names of its attributes."""
    return {(tag, *sorted(attrs)) for tag, attrs in page.elements}


@settings(max_examples=60, deadline=None)
@given(NASTY)
def test_text_from_a_video_is_one_line_of_text_in_markdown(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    assert re.search(r"(?<!\\)(?:\\\\)*[<>`*\[\]|]", shown) is None
    assert re.sub(r"\\(\W|_)", r"\1", shown) == " ".join(text.split())


def test_what_would_begin_a_list_or_a_link_in_markdown_is_text() -> None:
    assert escaped("1. first") == "1\\. first"
    assert escaped("- one") == "\\- one"
    assert escaped("+ one") == "\\+ one"
    assert escaped("8.8 s") == "8.8 s"
    assert escaped("see http://evil www.evil.org") == "see http\\://evil www\\.evil.org"
