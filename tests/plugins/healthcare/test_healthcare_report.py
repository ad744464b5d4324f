"""The drawn clip's recorded notes through report, files, tools, command: right, nobody named.

The notes are those that the instruments made of the clip of drawn.py; no surgery is in it.
"""

import csv
import importlib.util
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agentkit.plugin_manager import Domain
from agentkit.redaction import Redaction
from agentkit.reports.redacting import Redactor
from agentkit.testing import RecordedSession, stored_video
from agentkit.types import Detection, Note, Section, UsageError
from agentkit_healthcare import telling
from agentkit_healthcare.exporting import cholec80, labels, steps_csv
from agentkit_healthcare.protocol import load
from agentkit_healthcare.report import sections, step_notes
from agentkit_healthcare.steps import Recognition, recognised
from agentkit_healthcare.texts import clock, span

HERE = Path(__file__).parent


def _drawn() -> Any:
    spec = importlib.util.spec_from_file_location("healthcare_drawn", HERE / "drawn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


drawn = _drawn()
VIDEO = stored_video(duration_s=drawn.SECONDS, path="/films/Weber Johanna.mp4")
NOTES = [
    Note(a, b, kind, text, score, tuple(box) if box else None)
    for a, b, kind, text, score, box in json.loads(
        (HERE / "recorded/notes.json").read_text("utf-8")
    )
]


def session_of(language: str = "en", notes=NOTES, **options) -> RecordedSession:
    return RecordedSession(
        [VIDEO],
        {VIDEO.video_id: notes},
        Domain.load("healthcare"),
        see=lambda image, what: [Detection(what[:-1], 0.9, (0, 0, 0.5, 0.1))],
        options={"ask": "never", **options},
        language=language,
    )


@pytest.mark.parametrize("decoder", ["hmm", "monotone"])
def test_the_drawn_phases_are_recognised(decoder: str) -> None:
    found = recognised(VIDEO, session_of(decoder=decoder))
    true = drawn.spans()
    assert [one.step.id for one in found.occurrences] == [step for step, _, _ in true]
    for one, (_, start_s, end_s) in zip(found.occurrences, true, strict=True):
        assert abs(one.start_s - start_s) <= 2
        assert abs(one.end_s - end_s) <= 2
        assert one.evidence
        assert all(start_s <= c.start_s and c.end_s <= end_s for c in one.evidence)
    frames = labels(found)
    right = sum(
        label == load("cholec80").step(drawn.part_at(frame / 25).step).label
        for frame, label in enumerate(frames)
    )
    assert right / len(frames) > 0.9


def test_a_phase_whose_captions_are_lost_is_missing_and_not_made_up() -> None:
    notes = [n for n in NOTES if "PACKAGING" not in n.text and "BAG" not in n.text]
    found = telling.steps(VIDEO, session_of(notes=notes))
    assert [d for d in found["deviations"] if d["kind"] == "missing"] == [
        {"kind": "missing", "step": "packaging", "count": 0}
    ]


def texts_of(sections: list[Section]) -> Iterator[str]:
    for section in sections:
        yield from (section.title, section.body)
        yield from (finding.claim for finding in section.findings)
        for table in section.tables:
            yield from (table.title, *table.head)
            yield from (cell for row in table.rows for cell in row.cells)
        for timeline in section.timelines:
            yield timeline.title
            yield from (s.label for lane in timeline.lanes for s in lane.spans)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_sections_say_steps_differences_checklist_and_instruments(language: str) -> None:
    session = session_of(language)
    made = sections(VIDEO, session)
    titles = {
        "en": [
            "Procedure",
            "Steps",
            "Differences from the protocol",
            "Safety checklist",
            "Instruments",
        ],
        "zh": ["操作过程", "步骤", "与规程的差异", "安全核查表", "器械"],
    }[language]
    assert [section.title for section in made] == titles
    steps, expected = made[1].tables
    assert len(steps.rows) == len(expected.rows) == 7
    assert all(row.citations for row in (*steps.rows, *expected.rows))
    (timeline,) = made[0].timelines
    assert len(timeline.lanes[0].spans) == len(timeline.lanes[1].spans) == 7
    assert timeline.end_s == VIDEO.duration_s
    checks = made[3].tables[0].rows
    seen = {"en": ("done", "not seen"), "zh": ("已完成", "未看到")}[language]
    assert [row.cells[1] for row in checks] == [seen[1], seen[1], seen[0], seen[1]]
    assert [bool(row.citations) for row in checks] == [False, False, True, False]


def test_a_step_seen_out_of_order_and_an_item_seen_late_stand_in_the_report() -> None:
    notes = [
        Note(0, 50, "ocr", "CLIPPING AND CUTTING"),
        Note(55, 90, "ocr", "CALOT TRIANGLE DISSECTION"),
        Note(60, 62, "speech", "Now we see the critical view."),
    ]
    made = {section.title: section for section in sections(VIDEO, session_of(notes=notes))}
    claims = [f.claim for f in made["Differences from the protocol"].findings if f.citations]
    assert claims == [
        'Calot triangle dissection: recognised out of order, 00:55, against the place of "Clipping '
        'and cutting" in the protocol.'
    ]
    (late,) = made["Safety checklist"].findings
    assert late.verdict == "supported"
    assert "seen at 01:00" in late.claim
    assert 'only after "Clipping and cutting" had begun' in late.claim


def test_where_nothing_is_recognised_the_report_says_why() -> None:
    made = sections(VIDEO, session_of(notes=[]))
    assert "No step was recognised" in made[0].body
    assert [s.title for s in made] == ["Procedure", "Steps", "Safety checklist", "Instruments"]
    assert {row.cells[1] for row in made[1].tables[0].rows} == {
        "not recognised",
        "not recognised (optional)",
    }
    assert step_notes(VIDEO, session_of(notes=[])) == []
    with pytest.raises(UsageError, match="no step was recognised"):
        cholec80(VIDEO, session_of(notes=[]))


def assert_nobody_is_named(text: str) -> None:
    assert [secret for secret in drawn.SECRETS if secret in text.casefold()] == []


def test_the_phase_text_has_a_line_for_each_frame_as_the_dataset_has() -> None:
    lines = cholec80(VIDEO, session_of()).decode().split("\n")
    assert lines[0] == "Frame\tPhase"
    assert lines[1] == "0\tPreparation"
    assert lines[-2] == f"{round(drawn.SECONDS * 25) - 1}\tGallbladderRetraction"
    assert [int(line.split("\t")[0]) for line in lines[1:-1]] == list(range(2350))
    assert lines[-1] == ""


def test_a_gap_in_the_phase_text_keeps_the_phase_before() -> None:
    one, two = recognised(VIDEO, session_of()).occurrences[:2]
    gap = Recognition(
        load("cholec80"), 4.0, (replace(one, start_s=1, end_s=1.5), replace(two, start_s=2))
    )
    assert labels(gap) == ["Preparation"] * 50 + ["CalotTriangleDissection"] * 50


def test_the_evaluator_reads_the_phase_text_and_finds_it_nearly_right(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.txt", tmp_path / "found.txt"
    rows = [
        f"{frame}\t{load('cholec80').step(drawn.part_at(frame / 25).step).label}"
        for frame in range(round(drawn.SECONDS * 25))
    ]
    truth.write_text("\n".join(["Frame\tPhase", *rows, ""]))
    found.write_bytes(cholec80(VIDEO, session_of()))
    evaluators: dict[str, Any] = {}
    Domain.load("healthcare").register_evaluators(lambda one: evaluators.setdefault(one.name, one))
    (phases,) = (one for one in evaluators.values() if one.name == "phases")
    metrics = phases.evaluate(found, truth).metrics
    assert metrics["edit"] == metrics["f1@50"] == metrics["relaxed_accuracy"] == 1.0
    assert metrics["accuracy"] > 0.9


def test_the_table_of_steps_is_read_back() -> None:
    rows = list(csv.DictReader(io.StringIO(steps_csv(VIDEO, session_of()).decode())))
    assert [row["step"] for row in rows] == [step for step, _, _ in drawn.spans()]
    assert rows[5]["evidence"] == "SUCTION OF FLUID | IRRIGATOR"
    assert rows[0]["start_s"] == "0.000"


def test_no_cell_is_a_formula() -> None:
    notes = [Note(0, 9, "ocr", "=PREPARATION")]
    (row,) = csv.DictReader(io.StringIO(steps_csv(VIDEO, session_of(notes=notes)).decode()))
    assert row["evidence"] == "'=PREPARATION"


def test_files_tools_and_sections_name_nobody() -> None:
    """What carries a step here holds the patient's name: it is told without it."""
    bad = [Note(0, 9, "ocr", "PREPARATION PATIENT: JOHANNA WEBER 14.03.1962 hook"), *NOTES]
    session = session_of(notes=bad)
    out = [cholec80(VIDEO, session).decode(), steps_csv(VIDEO, session).decode()]
    out += [json.dumps(tool(VIDEO.video_id)) for tool in session.domain.register_tools(session)]
    redactor = Redactor(Redaction(session.domain, session), {VIDEO.video_id: VIDEO})
    shown = [redactor.section(section, VIDEO.video_id) for section in sections(VIDEO, session)]
    out += list(texts_of(shown))
    assert any("PREPARATION PATIENT: [name]" in text for text in out)
    for text in out:
        assert_nobody_is_named(text)


class Terminal:
    """The options of a run, with a recorded session in place of a store."""

    domain = "general"

    def __init__(self, session: RecordedSession) -> None:
        self._session = session

    def open_session(self) -> "Terminal":
        assert self.domain == "healthcare"
        return self

    def __enter__(self) -> RecordedSession:
        return self._session

    def __exit__(self, *error: object) -> None: ...


def run(*arguments: str) -> str:
    cli = typer.Typer()
    Domain.load("healthcare").register_commands(cli)
    result = CliRunner().invoke(cli, ["healthcare", *arguments], obj=Terminal(session_of()))
    assert result.exception is None
    return result.output


def test_the_command_prints_steps_and_checklist_with_the_notice() -> None:
    steps = run("steps", VIDEO.video_id)
    assert steps.splitlines()[0].startswith("00:00\u201300:09  Preparation")
    checks = run("checklist", VIDEO.video_id)
    assert "done: Critical view of safety before anything is clipped  00:27" in checks
    assert "not seen: Sponges" in checks
    for text in (steps, checks):
        assert "no medical device" in text
        assert_nobody_is_named(text)


def test_the_commands_json_is_the_tools_values() -> None:
    session = session_of()
    for name, tell in (("steps", telling.steps), ("checklist", telling.checklist)):
        printed = json.loads(run(name, VIDEO.video_id, "--json"))
        assert "no medical device" in printed.pop("notice")
        assert printed == json.loads(json.dumps(tell(VIDEO, session)))
    protocols = json.loads(run("protocols", "--json"))["protocols"]
    assert [one["protocol"] for one in protocols] == ["cholec80", "knee_arthroscopy"]
    assert "7. Gallbladder retraction" in run("protocols")


def test_notices_say_that_it_is_no_medical_device_in_both_languages() -> None:
    domain = Domain.load("healthcare")
    english, chinese = domain.notices("en"), domain.notices("zh")
    assert "no medical device" in english[0]
    assert "不是医疗器械" in chinese[0]
    for word in ("diagnosis", "IMDRF", "FD&C", "2017/745"):
        assert word in english[0]


def test_steps_are_the_segments_and_shots_where_there_is_none() -> None:
    session = session_of()
    notes = session.domain.segments(VIDEO, session)
    assert [note.text for note in notes][:2] == ["Preparation", "Calot triangle dissection"]
    bare = session_of(notes=[])
    assert [note.kind for note in bare.domain.segments(VIDEO, bare)] == ["shot"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00"), (59.9, "00:59"), (125, "02:05"), (3725, "1:02:05")]
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert clock(seconds) == text
    assert span(seconds, seconds) == f"{text}\u2013{text}"
