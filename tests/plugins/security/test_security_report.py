"""Report, files, tools and commands of a drawn recording: who walks where is known."""

import csv
import io
import json
import math
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from agentkit.errors import UsageError
from agentkit.instruments.weights import InstrumentMissingError
from agentkit.plugin_manager import Domain
from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import Citation, Detection, Note, Section, StoredVideo
from agentkit_security.options import Options
from agentkit_security.sections import clock, in_span
from agentkit_security.stays import Scene
from agentkit_security.watched import Watched, span_of, watch
from agentkit_security.zones import Rules

Image = NDArray[np.uint8]
SIZE = (160, 120)
SECONDS = 24.0
RULES = """
[[zone]]
name = "yard"
polygon = [[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]]
loiter_s = 5
crowd = 2
crowd_s = 1

[[line]]
name = "door"
from = [0.5, 0.4]
to = [0.5, 1.0]
"""
# Two walkers, white and light: start and end in s, from where to where, as shares of the width.
WALKERS = ((250, 2.0, 14.0, 0.05, 0.85), (200, 8.0, 12.0, 0.1, 0.4))


def walk(number: int, time_s: float, size_px: tuple[int, int]) -> Image:
    image = np.full((size_px[1], size_px[0], 3), 60, np.uint8)
    for value, start_s, end_s, start, end in WALKERS:
        if start_s <= time_s < end_s:
            left = round(
                (start + (end - start) * (time_s - start_s) / (end_s - start_s)) * size_px[0]
            )
            top = 70 if value == 250 else 40
            image[top : top + 40, left : left + 12] = value
    return image


def see(image: Image, what: str) -> list[Detection]:
    """Find the walkers by their grey."""
    found = []
    for value in (250, 200):
        rows, columns = np.nonzero(np.abs(image.mean(axis=2) - value) < 15)
        if what == "objects" and len(rows) > 100:
            box = columns.min() / 160, rows.min() / 120, columns.max() / 160, rows.max() / 120
            left, top, right, bottom = (round(float(at), 4) for at in box)
            found.append(Detection("person", 0.9, (left, top, right, bottom)))
    return found


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> StoredVideo:
    path = tmp_path_factory.mktemp("gate") / "gate.mp4"
    options = {"preset": "ultrafast", "crf": "4"}
    drawn = make_video(path, seconds=SECONDS, fps=10, size_px=SIZE, draw=walk, options=options)
    return stored_video(drawn)


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "zones.toml"
    path.write_text(RULES)
    return str(path)


NOTES = (Note(0.0, 4.0, "objects", "1 person left"), Note(20.0, 22.0, "action", "somebody falls"))


def session_of(*videos: StoredVideo, **changes: object) -> RecordedSession:
    changes = {"see": see, "say": lambda *_: "unusual: yes\nreason: a new face of things"} | changes
    notes = {videos[0].video_id: NOTES}
    return RecordedSession(videos, notes, Domain.load("security"), **changes)  # type: ignore[arg-type]


def sections_of(video: StoredVideo, **changes: object) -> tuple[RecordedSession, list[Section]]:
    session = session_of(video, **changes)
    sections = session.domain.report_sections(video, session)
    assert session.domain.broken == ()
    return session, sections


EVENTS = [
    # The first goes from 8 px to 136 px in 12 s, 12 px broad and 40 high: his middle is over the
    # door, at 80 px, by more than 2 px (a twentieth of 40) from 8.375 s on; 8.4 s rounds to 82.
    ("0:02.0", "Person 1 enters yard (first seen inside)", "yard", "low"),
    ("0:02.0", "Person 1 stays in yard for 7 s", "yard", "worth a look"),
    ("0:08.6", "Person 1 crosses door (to the right)", "door", "low"),
    ("0:08.6", "Person 1 leaves yard", "yard", "for the record"),
    ("0:20.0", "A fall, as another model noted: somebody falls", "whole picture", "alarm"),
]


def test_the_report_says_what_happened_and_shows_where(recording: StoredVideo, rules: str) -> None:
    _, sections = sections_of(recording, options={"rules": rules, "learn_s": 5})
    assert [section.title for section in sections] == [
        "What happened, and when",
        "Events",
        "What stands out",
        "How many were there",
        "What was not watched for",
    ]
    (table,) = sections[1].tables
    told = [row.cells for row in table.rows if "Person 2" not in row.cells[1]]
    assert told == EVENTS
    assert all(row.citations[0].video_id == recording.video_id for row in table.rows)
    crossing = next(row for row in table.rows if "crosses" in row.cells[1])
    (cited,) = crossing.citations
    assert (round(cited.start_s, 2), round(cited.end_s, 2)) == (7.6, 10.6)
    assert cited.frame_s == pytest.approx(9.2)
    assert sections[1].figures[0].why.startswith("A fall")


def test_the_second_walks_above_the_line_and_in_the_yard(
    recording: StoredVideo, rules: str
) -> None:
    """His feet are at 80 of 120: in the yard, left of the door."""
    session = session_of(recording, options={"rules": rules})
    kinds = [e.kind for e in watch(session, recording).events if 2 in e.tracks]
    assert kinds == ["enters", "leaves"]


def test_the_timeline_has_lanes_and_the_curve(recording: StoredVideo, rules: str) -> None:
    _, sections = sections_of(recording, options={"rules": rules, "learn_s": 5})
    (timeline,) = sections[0].timelines
    assert timeline.end_s == recording.duration_s
    assert [lane.name for lane in timeline.lanes] == [
        "People: yard", "Crossings: door", "Worth a look",
    ]  # fmt: skip
    (curve,) = timeline.curves
    assert (curve.step_s, len(curve.values), curve.video_id) == (1.0, 24, recording.video_id)
    assert all(math.isnan(value) for value in curve.values[:5])
    assert all(0 <= value <= 1 for value in curve.values[5:])
    (people,) = timeline.lanes[0].spans
    assert (people.start_s, people.kind) == (2.0, "people there")
    for lane in timeline.lanes:
        assert all(0 <= s.start_s < s.end_s <= timeline.end_s for s in lane.spans)


def test_what_stands_out_is_judged_once_and_kept(recording: StoredVideo) -> None:
    session, sections = sections_of(recording, options={"learn_s": 5, "judge": 1})
    asked = [question for question in session.asked if question.task == "anomaly"]
    assert len(asked) == 1
    assert "1 person left" in asked[0].text or "noted: -" in asked[0].text
    findings = sections[2].findings
    assert "The language model calls it unusual: a new face of things" in findings[0].claim
    assert all(finding.verdict == "supported" and finding.citations for finding in findings)
    session.domain.report_sections(recording, session)
    assert len([question for question in session.asked if question.task == "anomaly"]) == 1


def test_judging_may_be_turned_off(recording: StoredVideo) -> None:
    session, sections = sections_of(recording, options={"learn_s": 5, "judge": 0})
    assert session.asked == []
    assert "language model" not in sections[2].findings[0].claim


def test_how_many_were_there(recording: StoredVideo) -> None:
    _, sections = sections_of(recording)
    (row,) = sections[3].tables[0].rows
    assert row.cells[:2] == ("1", "2")
    assert row.cells[3] == "0"
    assert 8.0 <= row.citations[0].start_s <= 8.4


def test_what_is_not_watched_for_is_said(recording: StoredVideo, rules: str) -> None:
    quiet = session_of(recording)
    quiet.noted = {}
    (told,) = [
        s
        for s in quiet.domain.report_sections(recording, quiet)
        if s.title.startswith("What was not")
    ]
    assert "Falls, fights and other actions" in told.body
    assert "no rules file" in told.body
    _, sections = sections_of(recording, options={"rules": rules})
    assert "Falls" not in sections[4].body  # another instrument watches for them here
    assert "Bags left behind" in sections[4].body


def test_rules_for_another_camera_are_said_to_be_none(
    recording: StoredVideo, tmp_path: Path
) -> None:
    path = tmp_path / "z.toml"
    path.write_text(RULES.replace('name = "', 'camera = "other"\nname = "'))
    _, sections = sections_of(recording, options={"rules": str(path)})
    assert "is for this camera" in sections[-1].body


def test_a_chinese_report_is_chinese(recording: StoredVideo, rules: str) -> None:
    _, sections = sections_of(recording, options={"rules": rules, "learn_s": 5}, language="zh")
    assert [section.title for section in sections] == [
        "何时发生了什么", "事件", "突出之处", "人数与车辆数", "未监看的事项",
    ]  # fmt: skip
    assert sections[1].tables[0].rows[0].cells[1] == "人员 1 进入“yard”（最初在区域内被看到）"


def test_without_weights_the_report_says_that_nothing_was_watched(recording: StoredVideo) -> None:
    def blind(image: Image, what: str) -> list[Detection]:
        raise InstrumentMissingError("yolox-nano: agentkit models pull yolox-nano")

    _, sections = sections_of(recording, see=blind)
    assert sections == [
        Section("Nothing could be watched for", "yolox-nano: agentkit models pull yolox-nano")
    ]


def test_a_setting_that_does_not_fit_is_named(recording: StoredVideo) -> None:
    session = session_of(recording, options={"loiter": 3})
    with pytest.raises(UsageError, match="did you mean 'loiter_s'"):
        session.domain.report_sections(recording, session)
    assert session.domain.broken == ()


def test_two_cameras_are_one_timeline(recording: StoredVideo, tmp_path: Path) -> None:
    path = tmp_path / "yard.mp4"
    options = {"preset": "ultrafast", "crf": "4"}
    other = stored_video(
        make_video(path, seconds=20.0, fps=10, size_px=SIZE, options=options,
                   draw=lambda n, t, size: walk(n, t + 1.0, size))
    )  # fmt: skip
    offsets = {recording.video_id: 0, other.video_id: 1.0}
    session = session_of(recording, other, options={"offsets": offsets})
    sections = session.domain.overview_sections([recording, other], session)
    assert session.domain.broken == ()
    (timeline,) = sections[0].timelines
    assert [(lane.name, lane.offset_s) for lane in timeline.lanes] == [("gate", 0.0), ("yard", 1.0)]
    assert (timeline.start_s, timeline.end_s) == (0.0, pytest.approx(24.0))
    assert len(sections) == 2  # the links are linking's own


def test_segments_are_the_events_in_order(recording: StoredVideo, rules: str) -> None:
    session = session_of(recording, options={"rules": rules})
    parts = session.domain.segments(recording, session)
    assert parts == sorted(parts, key=lambda part: part.start_s)
    assert {part.kind for part in parts} == {"event"}
    assert all(part.end_s > part.start_s for part in parts)
    assert "Person 1 crosses door (to the right)" in [part.text for part in parts]


def test_notices_say_that_nobody_is_identified() -> None:
    for language in ("en", "zh"):
        assert len(Domain.load("security").notices(language)) == 3


# Files.


def exported(name: str, video: StoredVideo, session: RecordedSession) -> str:
    found: dict[str, object] = {}
    session.domain.register_exporters(lambda format, write: found.update({format: write}))
    return found[name](video, session).decode()  # type: ignore[operator]


def test_tracks_are_written_as_the_mot_challenge_does(recording: StoredVideo) -> None:
    text = exported("mot", recording, session_of(recording))
    rows = [line.split(",") for line in text.splitlines()]
    assert all(len(row) == 10 and row[-3:] == ["-1"] * 3 for row in rows)
    frame, number, left, top, width, height = (float(cell) for cell in rows[0][:6])
    assert (frame, number) == (21, 1)  # the frame shown at 2 s of ten a second
    assert (left, top, width, height) == pytest.approx((9, 71, 12, 40), abs=1.5)
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)


def test_events_are_written_as_they_are_evaluated(
    recording: StoredVideo, rules: str, tmp_path: Path
) -> None:
    from agentkit_security.evaluators import EVALUATORS

    text = exported("events", recording, session_of(recording, options={"rules": rules}))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {"video": "gate", "start_s": "8.60", "end_s": "8.60", "label": "crosses door"} in rows
    path = tmp_path / "events.csv"
    path.write_text(text)
    evaluator = next(one for one in EVALUATORS if one.name == "event-f1")
    assert all(value == 1 for value in evaluator.evaluate(path, path).metrics.values())


def test_scores_are_written_by_second_by_frame_and_as_spans(
    recording: StoredVideo, tmp_path: Path
) -> None:
    from agentkit_security.evaluators import EVALUATORS

    session = session_of(recording, options={"learn_s": 5})
    seconds = list(csv.reader(io.StringIO(exported("anomaly", recording, session))))
    assert seconds[0] == ["second", "score"]
    assert [score for _, score in seconds[1:6]] == [""] * 5
    assert len(seconds) == 25
    frames, spans = tmp_path / "frames.csv", tmp_path / "spans.txt"
    frames.write_text(exported("anomaly-frames", recording, session))
    spans.write_text(exported("ucf-crime", recording, session))
    assert spans.read_text().split()[:2] == ["gate.mp4", "Anomaly"]
    evaluator = next(one for one in EVALUATORS if one.name == "anomaly-auc")
    metrics = evaluator.evaluate(frames, spans).metrics
    # Judged by its own peaks the curve is better than chance; a third of it is theirs to miss.
    assert metrics["auc"] > 0.5


# Tools and commands.


def test_tools_give_plain_values(recording: StoredVideo, rules: str) -> None:
    say = lambda question, *_: "event: a walk\nwho: a man\nseverity: 1"  # noqa: E731 - a model
    session = session_of(recording, options={"rules": rules, "learn_s": 5}, say=say)
    tools = {tool.__name__: tool for tool in session.domain.register_tools(session)}
    assert set(tools) == {"security_events", "security_anomaly", "describe_event"}
    assert all(tool.__doc__ for tool in tools.values())
    name = recording.video_id
    assert tools["describe_event"](name, 2.0, 6.0) == {
        "event": "a walk", "who": ["a man"], "severity": 1,
    }  # fmt: skip
    values = [tools["security_events"](name), tools["security_anomaly"](name)]
    json.dumps(values, allow_nan=False)
    assert values[0][0]["label"] == EVENTS[0][1]


def run(session: RecordedSession, *arguments: str) -> str:
    """Run `agentkit security ...` over a session that is given."""

    @contextmanager
    def open_session():  # type: ignore[no-untyped-def]
        session.options = {**session.options, **dict(_pairs(options.set))}
        yield session

    options = SimpleNamespace(domain="media", set=(), open_session=open_session)
    cli = typer.Typer()
    cli.command("other")(lambda: None)  # with one command alone typer would drop its name
    session.domain.register_commands(cli)
    result = CliRunner().invoke(cli, ["security", *arguments], obj=options)
    if result.exception is not None:
        raise result.exception
    assert options.domain == "security"
    return result.output


def _pairs(given: Sequence[str]) -> list[tuple[str, object]]:
    return [(key, json.loads(value)) for key, _, value in (one.partition("=") for one in given)]


def test_commands_print_lines_and_json(recording: StoredVideo, rules: str) -> None:
    name = recording.video_id
    lines = run(session_of(recording), "events", name, "--rules", rules).splitlines()
    assert "   0:08.6  Person 1 crosses door (to the right)" in lines
    events = json.loads(run(session_of(recording), "events", name, "--rules", rules, "--json"))
    assert [e["kind"] for e in events["events"] if e["zone"] == "door"] == ["crosses"]
    tracks = json.loads(run(session_of(recording), "tracks", name, "--json"))["tracks"]
    assert [(t["track"], t["kind"]) for t in tracks] == [(1, "person"), (2, "person")]
    assert "person 1" in run(session_of(recording), "tracks", name)
    learnt = session_of(recording, options={"learn_s": 5})
    assert "19 of 24 seconds have a score" in run(learnt, "anomaly", name)
    assert len(json.loads(run(learnt, "anomaly", name, "--json"))["scores"]) == 24


def test_zones_are_drawn_over_a_frame_without_faces(
    recording: StoredVideo, rules: str, tmp_path: Path
) -> None:
    from PIL import Image as Pictures

    out = tmp_path / "zones.png"
    given = ("--rules", rules, "-o", str(out), "--at", "10")
    run(session_of(recording), "zones", recording.video_id, *given)
    shown = np.asarray(Pictures.open(out))
    assert shown.shape == (120, 160, 3)
    assert (shown[115, 20] != shown[115, 140]).any()  # the yard is tinted
    head = shown[70:76, 105:111].mean()
    assert head < 200, "the head of the white walker is smeared with the grey around it"


def test_a_preview_that_cannot_be_written_is_one_line(recording: StoredVideo, rules: str) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        run(session_of(recording), "zones", recording.video_id, "-o", "/no/such/folder/z.png")


def test_link_takes_two_videos(recording: StoredVideo) -> None:
    with pytest.raises(UsageError):
        run(session_of(recording), "link", recording.video_id)


# Small laws.


def test_a_clip_of_an_event_is_inside_the_video_and_shows_it() -> None:
    from agentkit_security.event import Event

    assert span_of(Event("enters", 0.2, 0.2), 10.0) == (0.0, 2.2)
    assert span_of(Event("leaves", 9.5, 9.5), 10.0) == (8.5, 10.0)
    assert span_of(Event("loiters", 5.0, 90.0), 100.0) == (5.0, 25.0)


def test_times_in_tables_cut_tenths_off() -> None:
    assert [clock(t) for t in (0, 59.96, 60.0, 3723.45)] == [
        "0:00.0", "0:59.9", "1:00.0", "1:02:03.4",
    ]  # fmt: skip


def test_counts_of_a_minute_are_means_over_time() -> None:
    counts = [(10.0, 2), (20.0, 0), (50.0, 1), (70.0, 0)]
    assert in_span(counts, 0.0, 60.0) == (2, 10.0, pytest.approx((20 + 10) / 60))
    assert in_span(counts, 60.0, 120.0) == (1, 60.0, pytest.approx(10 / 60))
    assert in_span([], 0.0, 60.0) == (0, 0.0, 0.0)


def test_a_long_table_says_what_it_leaves_out(recording: StoredVideo) -> None:
    from agentkit_security.event import Event
    from agentkit_security.sections import MAX_ROWS, _events

    many = tuple(
        Event("enters", float(n), float(n), thing="person", tracks=(n,)) for n in range(99)
    )
    grave = Event("crowd", 50.0, 55.0, "", "person", (1, 2), 2)
    watched = Watched(
        recording, Options(), Rules(()), Scene((), 200.0, 1.0, 0.6, 2.0), (*many, grave)
    )
    section = _events(watched, "en")
    assert len(section.tables[0].rows) == MAX_ROWS
    assert f"{MAX_ROWS} of 100 events" in section.body
    assert section.figures == (Citation(recording.video_id, 50.0, 55.0, "2 people at once", 50.6),)
