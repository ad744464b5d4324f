"""How a report comes about: its order, its claims, its evidence, redaction, and going on."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agentkit.config import ReportSettings
from agentkit.errors import AgentkitError, ModelFilesError, PluginError, UsageError
from agentkit.hookspecs import Image as Frame
from agentkit.hookspecs import hookimpl
from agentkit.plugin_manager import Domain, Plugin
from agentkit.reports.build import Wanted, build
from agentkit.reports.claims import count_verdicts
from agentkit.reports.evidence import frame_time_s
from agentkit.reports.html import html
from agentkit.reports.markdown import markdown
from agentkit.testing import RecordedSession
from agentkit.types import (
    Citation,
    Curve,
    Finding,
    Lane,
    Note,
    Report,
    Row,
    Section,
    SessionView,
    Span,
    StoredVideo,
    Table,
    Timeline,
)

GENERAL = ["Notes over time", "What is seen", "What is said", "What is written on screen", "Shots"]


def domain_of(*hooks: Callable[..., Any], name: str = "cooking") -> Domain:
    """Return a domain whose plugin is made of these functions."""
    marked = {hook.__name__: staticmethod(hookimpl(hook)) for hook in hooks}
    return Domain(name, [Plugin(name, type("Cooking", (), marked)(), "cooking 1.0")])


def report_of(session: RecordedSession, names: Sequence[str] = (), **wanted: Any) -> Report:
    """Return the report that `build` makes, on all videos where none is named."""
    settings = ReportSettings(**wanted.pop("settings", {}))
    videos = names or [video.video_id for video in session.stored]
    return build(session, session.domain, videos, Wanted(settings, **wanted))


def titles(report: Report) -> list[str]:
    return [section.title for section in report.sections]


def section(report: Report, title: str) -> Section:
    return next(section for section in report.sections if section.title == title)


def cells(table: Table) -> list[tuple[str, ...]]:
    return [row.cells for row in table.rows]


def test_a_report_of_the_general_domain(session: RecordedSession) -> None:
    report = report_of(session)
    video = session.stored[0]
    assert report.title == "Report on film.mp4"
    assert titles(report) == ["Summary", *GENERAL]
    assert section(report, "Notes over time").body == "Looked or listened and noted nothing: scene."
    things, *_ = section(report, "What is seen").tables
    assert things.head == ("What", "Most at once", "Noted for", "When")
    assert (
        cells(things)
        == [
            ("people", "2", "12 s", "00:00\u201300:08, 00:12\u201300:16"),
            ("cars", "2", "4 s", "00:04\u201300:08"),
        ]
        or cells(things)[0][0] == "people"
    )
    assert cells(section(report, "What is said").tables[0]) == [
        ("00:01\u201300:05", "Stop here. Then go on.")
    ]
    assert cells(section(report, "What is written on screen").tables[0]) == [
        ("EXIT | <b>now</b>", "4 s", "00:12\u201300:16")
    ]
    assert cells(section(report, "Shots").tables[0]) == [
        ("1", "00:00\u201300:08", "1 person and 2 cars"),
        ("2", "00:08\u201300:20", "2 people and EXIT | <b>now</b>"),
    ]
    (timeline,) = section(report, "Notes over time").timelines
    assert [lane.name for lane in timeline.lanes] == [
        *("Shots", "people", "cars", "Speech", "Text on screen")
    ]
    assert (timeline.start_s, timeline.end_s) == (0.0, video.duration_s)
    assert timeline.lanes[1].spans == (
        Span(0.0, 8.0, "1 person", "Things and people"),
        Span(12.0, 16.0, "2 people", "Things and people"),
    )
    (curve,) = timeline.curves
    assert curve.values[:4] == (0.5,) * 4
    assert curve.values[4:9] == (0.1,) * 5
    assert all(np.isnan(curve.values[9:]))


def test_everything_cited_is_in_the_video_and_in_the_appendix_once(
    session: RecordedSession,
) -> None:
    report = report_of(session)
    video = session.stored[0]
    spans = [(one.citation.start_s, one.citation.end_s) for one in report.exhibits]
    assert len(spans) == len(set(spans)) > 3
    for start_s, end_s in spans:
        assert 0 <= start_s <= end_s <= video.duration_s
    cited = {
        (cite.start_s, cite.end_s)
        for part in report.sections
        for finding in part.findings
        for cite in finding.citations
    }
    assert cited <= set(spans)
    for exhibit in report.exhibits:
        picture = Image.open(io.BytesIO(exhibit.jpeg))
        assert picture.size == (160, 120)
        at_s = frame_time_s(exhibit.citation)
        shown = np.asarray(picture, np.int16)
        true = session.frames(video, [at_s])[0].astype(np.int16)
        assert np.abs(shown - true).mean() < 12  # the frame of that time, as JPEG keeps it
        assert exhibit.alt.startswith("Key frame of film.mp4 at 00:")


def test_the_summary_says_which_sentence_the_notes_carry(session: RecordedSession) -> None:
    found = section(report_of(session), "Summary").findings
    assert [(finding.claim, finding.verdict) for finding in found] == [
        ("A person is left of 2 cars.", "supported"),
        ("The ship sinks.", "unsupported"),
    ]
    assert found[0].citations
    assert found[1].citations == ()


def test_the_order_is_summary_domain_overview_general(session: RecordedSession, film: Path) -> None:
    def report_sections(video: StoredVideo, session: SessionView) -> list[Section]:
        return [Section(f"Dish of {len(session.notes(video))} notes")]

    def overview_sections(videos: Sequence[StoredVideo]) -> list[Section]:
        return [Section(f"{len(videos)} dishes")]

    def notices(language: str) -> list[str]:
        return [f"Amounts in {language}."]

    session.domain = domain_of(report_sections, overview_sections, notices)
    one = report_of(session)
    assert titles(one) == ["Summary", "Dish of 10 notes", *GENERAL]
    assert one.notices == ("Amounts in en.",)
    assert one.domain == "cooking"

    other = replace(session.stored[0], video_id="cd" * 32)
    session.stored = [*session.stored, other]
    both = report_of(session)
    first, second = (f"film.mp4 ({name})" for name in (session.stored[0].video_id[:12], "cd" * 6))
    assert both.title == "Report on 2 videos"
    assert titles(both) == [
        *(f"Summary \u00b7 {first}", f"Summary \u00b7 {second}"),
        *(f"Dish of 10 notes \u00b7 {first}", f"Dish of 0 notes \u00b7 {second}"),
        "2 dishes",
        *(f"{title} \u00b7 {first}" for title in GENERAL),
        f"Notes over time \u00b7 {second}",
    ]
    assert [video.name for video in both.videos] == [first, second]


def test_a_video_named_twice_is_reported_once_and_none_is_an_error(
    session: RecordedSession,
) -> None:
    video_id = session.stored[0].video_id
    assert len(report_of(session, [video_id, video_id[:9]]).videos) == 1
    with pytest.raises(UsageError, match="a report needs a video"):
        report_of(replace(session, stored=[]))


def test_claims_without_evidence_and_citations_outside_are_put_right(
    session: RecordedSession,
) -> None:
    video_id = session.stored[0].video_id
    end_s = session.stored[0].duration_s

    def report_sections(video: StoredVideo) -> list[Section]:
        over = Citation(video_id, -2.0, end_s + 9, "over both ends", end_s + 5)
        beyond = Citation(video_id, end_s + 1, end_s + 2, "beyond")
        other = Citation("ef" * 32, 0.0, 1.0, "another video")
        backwards = Citation(video_id, 3.0, 1.0, "backwards")
        nan = Citation(video_id, float("nan"), 1.0, "no time")
        return [
            Section(
                "Claims",
                findings=(
                    Finding("whole", "supported", (over,)),
                    Finding("none", "supported", (beyond, other, backwards, nan)),
                    Finding("against", "contradicted"),
                ),
                tables=(Table("", ("a",), (Row(("x",), (beyond,)), Row(("y",), (over,)))),),
            )
        ]

    session.domain = domain_of(report_sections)
    report = report_of(session, summary=False, settings={"general": False})
    held = Citation(video_id, 0.0, end_s, "over both ends", end_s)
    assert report.sections == (
        Section(
            "Claims",
            findings=(
                Finding("whole", "supported", (held,)),
                Finding("none", "unsupported"),
                Finding("against", "contradicted"),
            ),
            tables=(Table("", ("a",), (Row(("x",)), Row(("y",), (held,)))),),
        ),
    )
    assert count_verdicts(report.sections) == {
        "supported": 2,
        "contradicted": 1,
        "unsupported": 2,
    }
    assert [exhibit.citation for exhibit in report.exhibits] == [held]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_timeline_shows_nothing_at_times_that_are_no_numbers(
    session: RecordedSession, odd: float
) -> None:
    kept = Timeline("t", 20.0, (Lane("l", (Span(1.0, 2.0, "kept"),)),))

    def report_sections(video: StoredVideo) -> list[Section]:
        spans = (Span(1.0, odd, "a"), Span(1.0, 2.0, "kept"), Span(odd, 2.0, "b"))
        lanes = (Lane("l", spans), Lane("m", spans, offset_s=odd))
        curves = (Curve("c", odd, (0.5,)), Curve("c", 1.0, (0.5,), offset_s=odd))
        return [
            Section("S", timelines=(Timeline("t", 20.0, lanes, curves), Timeline("u", odd, lanes)))
        ]

    session.domain = domain_of(report_sections)
    report = report_of(session, summary=False, settings={"general": False})
    assert report.sections == (Section("S", timelines=(kept,)),)
    assert "nan" not in markdown(report) + html(report)


def test_a_file_whose_name_is_redacted_in_part_is_not_told(
    session: RecordedSession, film: Path, tmp_path: Path
) -> None:
    """A rule that takes out numbers must not leave the rest of a file's name behind."""
    path = tmp_path / "weber 4471982.mp4"
    session.stored = [replace(session.stored[0], path=str(path))]
    claim = f"{path} and {path.name} and half a letter \ud800"

    def redact_text(text: str) -> str:
        return text.replace("4471982", "[id]")

    def report_sections(video: StoredVideo) -> list[Section]:
        cite = Citation(video.video_id, 1.0, 2.0, "cited")
        return [Section("S", findings=(Finding(claim, "supported", (cite,)),))]

    session.domain = domain_of(redact_text, report_sections)
    report = report_of(session, summary=False)
    name = session.stored[0].video_id[:12]
    assert report.sections[0].findings[0].claim == f"{name} and {name} and half a letter ?"
    assert "weber" not in (markdown(report) + html(report)).lower()


def test_coverage_says_how_closely_was_looked_and_what_is_unfinished(
    session: RecordedSession,
) -> None:
    video = replace(
        session.stored[0],
        state="ingesting",
        chunks=1,
        missing=("ocr: not installed",),
        warnings=("2 damaged frames",),
    )
    session.stored = [video]
    report = report_of(session, summary=False)
    (told,) = report.videos
    assert (told.frames_seen, told.frames_in_file, told.finished) == (16, 100, False)
    assert told.missing == ("ocr: not installed", "2 damaged frames")
    assert report.notices == (
        "film.mp4 is not ingested to its end: this report knows it up to 00:16 of 00:20."
        f" To go on: agentkit ingest {video.path}",
    )
    assert "Not finished" in markdown(report)
    assert "Not finished" in html(report)


def _hide(text: str) -> str:
    return text.replace("Stop", "[word]").replace("person", "[someone]")


def _blacken(images: Sequence[Frame]) -> list[Frame]:
    return [np.zeros_like(image) for image in images]


def test_texts_names_links_and_frames_are_redacted(session: RecordedSession) -> None:
    def redact_text(text: str) -> str:
        return _hide(text)

    def redact_frames(images: Sequence[Frame]) -> list[Frame]:
        return _blacken(images)

    def report_sections(video: StoredVideo) -> list[Section]:
        lane = Lane("Stop", (Span(0, 1, "Stop", "Stop"),), video.video_id)
        cite = Citation(video.video_id, 0.0, 1.0, f"Stop in {video.path}")
        return [
            Section(
                "Stop",
                "Stop at film.mp4",
                (Finding("Stop", "supported", (cite,)),),
                (Table("Stop", ("Stop",), (Row(("Stop",), (cite,)),)),),
                (Timeline("Stop", 9.0, (lane,)),),
                (cite,),
            )
        ]

    session.domain = domain_of(redact_text, redact_frames, report_sections)
    report = report_of(session)
    shown = markdown(report) + html(report)
    for told in ("Stop", "film.mp4", "file://", str(session.stored[0].path)):
        assert told not in shown
    assert "[word]" in shown
    assert report.videos[0].name == session.stored[0].video_id[:12]
    for exhibit in report.exhibits:
        assert np.asarray(Image.open(io.BytesIO(exhibit.jpeg))).max() == 0
    assert report.notices == (
        "Names and texts were redacted by the domain before they came into this report.",
        "Pictures were redacted by the domain before they came into this report.",
    )

    open_one = report_of(session, redact=False)
    assert "Stop" in markdown(open_one)
    assert np.asarray(Image.open(io.BytesIO(open_one.exhibits[0].jpeg))).max() > 100
    assert open_one.notices == (
        "Nothing in this report is redacted: names, texts and pictures are shown as they are in"
        " the video.",
    )
    assert open_one.details["redaction"] == "off"


@pytest.mark.parametrize("hook", ["redact_text", "redact_frames"])
def test_where_redaction_fails_there_is_no_report(session: RecordedSession, hook: str) -> None:
    def redact_text(text: str) -> str:
        raise RuntimeError("no eyes")

    def redact_frames(images: Sequence[Frame]) -> list[Frame]:
        raise RuntimeError("no eyes")

    failing = {"redact_text": redact_text, "redact_frames": redact_frames}[hook]
    session.domain = domain_of(failing)
    with pytest.raises(PluginError, match=f"hook {hook}: .*no eyes"):
        report_of(session)


def test_a_section_that_fails_is_named_and_the_rest_is_there(session: RecordedSession) -> None:
    def report_sections(video: StoredVideo) -> list[Section]:
        raise ValueError("no oven")

    session.domain = domain_of(report_sections)
    report = report_of(session)
    assert titles(report) == ["Summary", *GENERAL]
    (notice,) = report.notices
    assert notice.startswith("A part of this report is missing: plugin 'cooking'")
    assert "no oven" in notice


def test_key_frames_go_to_claims_first_and_are_counted(session: RecordedSession) -> None:
    report = report_of(session, settings={"max_frames": 2})
    claimed = [cite for one in report.sections[0].findings for cite in one.citations]
    with_frame = [one.citation for one in report.exhibits if one.jpeg]
    assert len(with_frame) == 2
    assert {(one.start_s, one.end_s) for one in with_frame} <= {
        (one.start_s, one.end_s) for one in claimed
    }
    without = next(one for one in report.exhibits if not one.jpeg)
    assert without.alt == "No key frame: this report shows 2 at most."


def test_key_frames_are_made_smaller(session: RecordedSession) -> None:
    report = report_of(session, summary=False, settings={"frame_px": 64})
    assert Image.open(io.BytesIO(report.exhibits[0].jpeg)).size == (64, 48)


def test_a_file_that_is_gone_costs_the_pictures_alone(
    session: RecordedSession, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.mp4"
    session.stored = [replace(session.stored[0], path=str(gone))]
    report = report_of(session)
    assert titles(report) == ["Summary", *GENERAL]
    assert {one.jpeg for one in report.exhibits} == {b""}
    assert all(one.alt.startswith("No key frame: ") for one in report.exhibits)
    assert str(gone) in report.exhibits[0].alt


def test_long_tables_say_what_they_leave_out(session: RecordedSession) -> None:
    video = session.stored[0]
    notes = [Note(s, s + 0.5, "ocr", f"text {s}", 0.9) for s in range(9)]
    session.noted = {video.video_id: notes}
    report = report_of(session, summary=False, settings={"max_rows": 3})
    (table,) = section(report, "What is written on screen").tables
    assert table.title == "Texts on screen (the 3 longest of 9)"
    assert len(table.rows) == 3


def test_other_notes_are_shown_as_they_are(session: RecordedSession) -> None:
    video = session.stored[0]
    session.noted = {video.video_id: [Note(2.0, 4.0, "steam", "much steam", 0.8)]}
    report = report_of(session, summary=False)
    assert titles(report) == ["Notes over time", "Other notes"]
    assert cells(section(report, "Other notes").tables[0]) == [
        ("steam", "much steam", "00:02\u201300:04")
    ]
    assert [lane.name for lane in section(report, "Notes over time").timelines[0].lanes] == [
        "steam"
    ]


def test_a_video_of_which_nothing_was_noted(session: RecordedSession) -> None:
    session.noted = {}
    report = report_of(session, summary=False)
    assert report.sections == (Section("Notes over time", "Nothing was noted of this video."),)
    assert report.exhibits == ()
    assert "Nothing in this report cites the video." in markdown(report)


def test_a_summary_that_nothing_carries_is_left_out(session: RecordedSession) -> None:
    session.noted = {}  # the answer then has no citation, and no support
    assert section(report_of(session), "Summary") == Section(
        "Summary",
        "The language model wrote nothing that the notes of the video carry, so there is no"
        " summary.",
    )


def test_without_a_language_model_the_rest_is_there(session: RecordedSession) -> None:
    def say(*_: object) -> str:
        raise ModelFilesError("no weights; agentkit models pull")

    session.say = say
    report = report_of(session)
    assert titles(report) == ["Summary", *GENERAL]
    assert report.sections[0].body == "There is no summary: no weights; agentkit models pull"


def test_a_report_that_was_stopped_goes_on(session: RecordedSession) -> None:
    """Stop in the domain's second piece: the summary and the first piece are not made again."""
    made: list[str] = []
    stop = [True]

    def piece(name: str) -> list[str]:
        if name == "second" and stop:
            raise KeyboardInterrupt
        made.append(name)
        return [name]

    def report_sections(video: StoredVideo, session: SessionView) -> list[Section]:
        told = [
            session.analysis(video, f"cooking/{name}", "1", lambda name=name: piece(name))
            for name in ("first", "second")
        ]
        return [Section("Dish", " ".join(name for names in told for name in names))]

    session.domain = domain_of(report_sections)
    with pytest.raises(KeyboardInterrupt):
        report_of(session)
    assert made == ["first"]
    assert len(session.asked) == 1
    stop.clear()
    report = report_of(session)
    assert section(report, "Dish").body == "first second"
    assert made == ["first", "second"]
    assert len(session.asked) == 1
    assert session.made == {"report/summary/en": 1, "cooking/first": 1, "cooking/second": 2}
    assert markdown(report) == markdown(report_of(session))


def test_another_model_or_language_is_asked_anew(session: RecordedSession) -> None:
    report_of(session, made_with="one")
    report_of(session, made_with="one")
    assert len(session.asked) == 1
    report_of(session, made_with="two")
    assert len(session.asked) == 2
    session.language = "zh"
    report = report_of(session, made_with="two")
    assert [question.language for question in session.asked] == ["en", "en", "zh"]
    assert report.language == "zh"
    assert titles(report)[0] == "\u6458\u8981"


def test_progress_is_told(session: RecordedSession) -> None:
    report = report_of(session)
    frames = len(report.exhibits)
    assert session.told == [
        ("Summary", 0, 3),
        ("general", 1, 3),
        ("Notes over time", 2, 3),
        *(("Key frames", min(done, frames), frames) for done in range(8, frames + 8, 8)),
    ]


def test_no_summary_asks_nothing(session: RecordedSession) -> None:
    assert "Summary" not in titles(report_of(session, summary=False))
    assert session.asked == []


def test_errors_of_other_kinds_are_not_swallowed(session: RecordedSession) -> None:
    def say(*_: object) -> str:
        raise ZeroDivisionError

    session.say = say
    with pytest.raises(ZeroDivisionError):
        report_of(session)
    assert not issubclass(ZeroDivisionError, AgentkitError)
