"""Checks of what a plugin makes of a video: notes, parts, sections, and what may be shown."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
from hypothesis import strategies as st

from agentkit.errors import AgentkitError
from agentkit.testing.contract import drawing
from agentkit.testing.contract.drawing import for_all, shown
from agentkit.testing.contract.subject import Subject, assert_cites, assert_inside
from agentkit.testing.sessions import RecordedSession
from agentkit.types import (
    Finding,
    FrameBatch,
    Instrument,
    Note,
    Question,
    SamplingPlan,
    Section,
    SoundInstrument,
    StoredVideo,
    Table,
    Timeline,
    VideoInfo,
)

VERDICTS = ("supported", "contradicted", "unsupported")
SAID = ("", "Yes.", "A", "{", "是的，有三个人。")  # what the model writes, in one session each


def ingest(subject: Subject) -> str:
    """Let the plugin look at the drawn film as an ingest would."""
    subject.needs("plan_sampling", "register_instruments", "describe_chunk", "select_chunks")
    from agentkit.video import probe

    session, info = subject.session(), probe(Path(drawing.film().path))
    subject.ask("plan_sampling", info)
    batches = list(session.sample(drawing.film(), SamplingPlan()))
    _check_instruments(subject, info, batches)
    for chunk in session.chunks(drawing.film()):
        inside = [b for b in batches if chunk.start_s <= b.times_s[0] < chunk.end_s]
        for notes in (session.notes(drawing.film(), chunk.start_s, chunk.end_s), []):
            for note in subject.ask("describe_chunk", chunk, inside, notes):
                _check_note(note, drawing.film(), "describe_chunk")
    _check_selection(subject, session)
    return "plan, instruments, notes of a chunk and selection, of a drawn film"


def _check_instruments(subject: Subject, info: VideoInfo, batches: Sequence[FrameBatch]) -> None:
    found: list[Any] = []
    subject.ask("register_instruments", found.append)
    for one in found:
        assert one.name, f"register_instruments: {one!r} has no name"
        hears = hasattr(one, "listen")
        try:
            noted = _listened(one, info) if hears else _observed(one, info, batches)
        except AgentkitError as error:  # its weights may not be here
            raise SkipTest(f"instrument {one.name}: {error}") from error
        for note in noted:
            _check_note(note, drawing.film(), f"instrument {one.name}")


def _listened(instrument: SoundInstrument, info: VideoInfo) -> list[Note]:
    return instrument.listen(info, lambda heard_s: None)


def _observed(instrument: Instrument, info: VideoInfo, batches: Sequence[FrameBatch]) -> list[Note]:
    instrument.start(info)
    return [note for batch in batches for note in instrument.observe(batch, batch.index % 4 == 0)]


def _check_selection(subject: Subject, session: RecordedSession) -> None:
    for hits in (session.search("street"), []):
        subject.ask("select_chunks", Question("What is shown first?"), hits)


def _check_note(note: Note, video: StoredVideo, where: str) -> None:
    assert note.kind, f"{where}: a note has no kind"
    assert note.text, f"{where}: a note has no text"
    assert_inside(video, note.start_s, note.end_s, f"{where}, {note.text!r}")


def segments(subject: Subject) -> str:
    """Ask for the parts of the film, with notes and without: in order, inside it, with labels."""
    subject.needs("segments")
    for session in _sessions(subject):
        parts = subject.ask("segments", drawing.film(), session)
        for part in parts:
            _check_note(part, drawing.film(), "segments")
            assert part.start_s < part.end_s, f"segments: {part.text!r} has no length"
        starts_s = [part.start_s for part in parts]
        assert starts_s == sorted(starts_s), "segments: they are not in order of time"
    return "parts in order, inside the film, with notes and without"


def sections(subject: Subject) -> str:
    """Ask for the sections of a report, in every language, whatever the model writes."""
    subject.needs("report_sections", "overview_sections")
    film, found = drawing.film(), 0
    for session in _sessions(subject):
        for section in subject.ask("report_sections", film, session):
            _check_section(section, (film,), "report_sections")
            found += 1
    for session in _of_languages(subject):
        for section in subject.ask("overview_sections", session.stored, session):
            _check_section(section, session.stored, "overview_sections")
    return f"{found} sections, {len(SAID)} models, in {', '.join(subject.languages)}"


def _sessions(subject: Subject) -> Iterator[RecordedSession]:
    """Yield sessions of several models, then of each language with notes and without."""
    for text in SAID:
        yield subject.session(lambda *_, text=text: text)
    yield from _of_languages(subject)


def _of_languages(subject: Subject) -> Iterator[RecordedSession]:
    for language in subject.languages:
        yield subject.session(lambda *_: SAID[-1], language=language)
        yield subject.session(empty=True, language=language)


def _check_section(section: Section, videos: Sequence[StoredVideo], where: str) -> None:
    where = f"{where}, {section.title!r}"
    assert section.title.strip(), f"{where}: a section has no title"
    assert isinstance(section.body, str), f"{where}: the body is no text"
    for finding in section.findings:
        _check_finding(finding, videos, where)
    for table in section.tables:
        _check_table(table, videos, where)
    for timeline in section.timelines:
        _check_timeline(timeline, videos, where)
    assert_cites(section.figures, videos, where)


def _check_finding(finding: Finding, videos: Sequence[StoredVideo], where: str) -> None:
    assert isinstance(finding, Finding), f"{where}: {type(finding).__name__} is no Finding"
    assert finding.claim.strip(), f"{where}: a finding claims nothing"
    assert finding.verdict in VERDICTS, f"{where}: {finding.verdict!r} is not of {VERDICTS}"
    assert_cites(finding.citations, videos, where)
    carried = finding.verdict != "supported" or finding.citations
    assert carried, f"{where}: {finding.claim!r} is called supported and cites nothing"


def _check_table(table: Table, videos: Sequence[StoredVideo], where: str) -> None:
    for row in table.rows:
        texts = all(isinstance(cell, str) for cell in row.cells)
        assert texts, f"{where}, table {table.title!r}: {row.cells!r} are not all texts"
        width, head = len(row.cells), len(table.head)
        assert width == head, f"{where}, table {table.title!r}: {width} cells under {head} heads"
        assert_cites(row.citations, videos, where)


def _check_timeline(timeline: Timeline, videos: Sequence[StoredVideo], where: str) -> None:
    where = f"{where}, timeline {timeline.title!r}"
    assert timeline.start_s < timeline.end_s < math.inf, f"{where}: it has no length"
    for lane in timeline.lanes:
        of = [video for video in videos if lane.video_id in ("", video.video_id)]
        assert of, f"{where}: a lane is of another video"
        for span in lane.spans:
            assert_inside(of[0], span.start_s, span.end_s, f"{where}, {span.label!r}")
    for curve in timeline.curves:
        assert 0 < curve.step_s < math.inf, f"{where}, {curve.name!r}: step of {curve.step_s} s"
        bad = [value for value in curve.values if not (0 <= value <= 1 or math.isnan(value))]
        assert not bad, f"{where}, {curve.name!r}: {bad[:1]} is not in 0..1"


def notices(subject: Subject) -> str:
    """Ask what a reader must know first, in every language and in one that has no prompts."""
    subject.needs("notices")
    for language in (*subject.languages, "xx"):
        for notice in subject.ask("notices", language):
            assert notice.strip(), f"notices: an empty one in {language!r}"
    return f"in {', '.join(subject.languages)} and where a language is missing"


def redaction(subject: Subject) -> str:
    """Redact frames of the film and drawn texts: as many, as large, and nothing in place."""
    subject.needs("redact_frames", "redact_text")
    for empty in (False, True):
        _check_frames(subject, subject.session(empty=empty))
    session = subject.session()

    def check(text: str) -> None:
        subject.ask("redact_text", text, drawing.film(), session, of=f"text {shown(text)}")

    for text in drawing.RUBBISH:
        check(text)
    for_all(check, drawing.ODD_TEXTS | st.text(max_size=2_000))
    return "frames keep their sizes and are not changed in place, any text is taken"


def _check_frames(subject: Subject, session: RecordedSession) -> None:
    film = drawing.film()
    frames = [*session.frames(film, [0.0, 9.0, 20.0]), np.zeros((2, 2, 3), np.uint8)]
    before = [frame.copy() for frame in frames]
    shown_frames = subject.ask("redact_frames", frames, film, session)
    for frame, copy in zip(frames, before, strict=True):
        assert np.array_equal(frame, copy), "redact_frames: changes what it was given; copy it"
    kinds = {str(frame.dtype) for frame in shown_frames}
    assert kinds == {"uint8"}, f"redact_frames: gives {', '.join(sorted(kinds))}, not uint8"
    assert subject.ask("redact_frames", [], film, session) == [], "redact_frames: of no frames"
