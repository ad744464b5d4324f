"""Report, files, tools and commands of a drawn film with given notes."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agentkit.plugin_manager import Domain
from agentkit.testing import RecordedSession, make_video, scenes, stored_video
from agentkit.types import Detection, Note, Question, StoredVideo
from agentkit_media import files
from agentkit_media.breakdown import break_down
from agentkit_media.wording import clock, short, span

SIZE = (128, 72)
NOTES = [
    Note(0.0, 4.0, "objects", "2 people left and centre", 0.8),
    Note(0.0, 4.0, "scene", "beach", 0.6),
    Note(0.5, 2.5, "speech", "My name is Ann Lee. The harbour is open.", 0.9),
    Note(4.0, 8.0, "objects", "1 car right", 0.8),
    Note(4.5, 6.5, "speech", "The harbour is closed.", 0.9),
    Note(5.0, 8.0, "ocr", "BEN OKRI, HARBOUR MASTER", 0.98),
]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> StoredVideo:
    """Three shots, a bright one, a dark one, the bright one again; cuts at 4 and 8 s."""
    red, blue = np.zeros((SIZE[1], SIZE[0], 3), np.uint8), np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    red[:], blue[:] = (200, 60, 40), (40, 80, 180)
    red[20:50, 40:80] = (250, 250, 120)
    blue[10:60, 60:120] = (20, 30, 60)
    folder = tmp_path_factory.mktemp("film")
    draw = scenes([(4.0, red), (4.0, blue), (2.0, red)])
    return stored_video(make_video(folder / "f.mp4", seconds=10, fps=25, size_px=SIZE, draw=draw))


def session_of(film: StoredVideo, **changes: object) -> RecordedSession:
    notes = {film.video_id: NOTES}
    return RecordedSession([film], notes, Domain.load("media"), **changes)  # type: ignore[arg-type]


def test_the_sections_and_what_they_cite(film: StoredVideo) -> None:
    session = session_of(film, options={"scene_gap_s": 1.0, "looks": 0})
    sections = session.domain.report_sections(film, session)
    assert session.domain.broken == ()
    assert [section.title for section in sections] == [
        "Scene breakdown",
        "The film over time",
        "Characters",
        "Themes",
        "Highlights",
        "Script",
    ]
    breakdown = sections[0].tables[0]
    assert breakdown.head == (
        *("#", "Time", "Shots", "Place", "People", "Action", "Said", "On screen", "Mood (guess)"),
    )
    assert [row.cells[:7] for row in breakdown.rows] == [
        (
            "1",
            "00:00.0\u201300:04.0",
            "1",
            "EXT. beach",
            "2, Ann Lee",
            "still",
            f"\u201c{NOTES[2].text}\u201d",
        ),
        (
            "2",
            "00:04.0\u201300:08.0",
            "1",
            "",
            "Ben Okri",
            "1 car, still",
            f"\u201c{NOTES[4].text}\u201d",
        ),
        ("3", "00:08.0\u201300:10.0", "1", "", "", "still", ""),
    ]
    assert [(c.start_s, c.end_s, c.frame_s) for c in sections[0].figures] == [
        (0.0, 4.0, 2.0),
        (4.0, 8.0, 6.0),
        (8.0, 10.0, 9.0),
    ]
    cited = [row.citations for s in sections for t in s.tables for row in t.rows]
    assert all(cited)
    for citation in (citation for citations in cited for citation in citations):
        assert citation.video_id == film.video_id
        assert 0 <= citation.start_s < citation.end_s <= film.duration_s
        assert citation.frame_s is not None
        assert citation.start_s <= citation.frame_s <= citation.end_s


def test_characters_and_themes_cite_where_they_are_named(film: StoredVideo) -> None:
    session = session_of(film, options={"looks": 0})
    sections = {s.title: s for s in session.domain.report_sections(film, session)}
    ann, ben = sections["Characters"].tables[0].rows
    assert ann.cells == ("Ann Lee", "person; introduced", "1", "00:00", "00:02")
    assert [(c.start_s, c.end_s) for c in ann.citations] == [(0.5, 2.5)]
    assert ben.cells == ("Ben Okri", "person; in a caption", "1", "00:05", "00:08")
    themes = sections["Themes"].tables[0].rows
    assert themes[0].cells[0] == "harbour"
    assert [c.start_s for c in themes[0].citations] == [0.5, 4.5, 5.0]


def test_the_script_names_who_is_known(film: StoredVideo) -> None:
    session = session_of(film, options={"scene_gap_s": 1.0, "looks": 0})
    assert files.script(film, session).decode() == (
        "Title: f.mp4\n"
        "Notes: Action lines are from what was noted; who speaks is not known unless named.\n\n"
        "EXT. BEACH #1#\n\n"
        "!2 people, still [[00:00]]\n\n"
        "@ANN LEE\nMy name is Ann Lee. The harbour is open. [[00:00]]\n\n"
        ".PLACE NOT KNOWN #2#\n\n"
        "!1 car, still [[00:04]]\n\n"
        "@BEN OKRI (IN A CAPTION)\nThe harbour is closed. [[00:04]]\n\n"
        "!On screen: BEN OKRI, HARBOUR MASTER [[00:05]]\n\n"
        ".PLACE NOT KNOWN #3#\n\n"
        "!still [[00:08]]\n"
    )


def test_a_chinese_report_speaks_chinese(film: StoredVideo) -> None:
    session = session_of(film, language="zh", options={"looks": 0})
    sections = session.domain.report_sections(film, session)
    assert [s.title for s in sections] == [
        "场景分解",
        "影片进程",
        "人物",
        "主题",
        "精彩片段",
        "剧本",
    ]
    assert session.domain.broken == ()
    assert (
        session.domain.notices("zh")[0]
        == "气氛是根据光线、色彩、运动、声音和用词按规则作出的猜测。"
    )


def test_the_timeline_has_its_lanes(film: StoredVideo) -> None:
    session = session_of(film, options={"looks": 0})
    (timeline,) = session.domain.report_sections(film, session)[1].timelines
    assert [lane.name for lane in timeline.lanes] == [
        *("Scenes", "Shots", "Speech", "On screen", "Named: Ann Lee", "Named: Ben Okri"),
    ]
    shots = timeline.lanes[1].spans
    assert [(s.start_s, s.end_s, s.label) for s in shots] == [
        (0.0, 4.0, "Shot 1"),
        (4.0, 8.0, "Shot 2"),
        (8.0, 10.0, "Shot 3"),
    ]
    assert timeline.end_s == film.duration_s


def test_the_model_is_asked_only_where_that_is_wanted(film: StoredVideo) -> None:
    quiet = session_of(film, options={"looks": 0})
    quiet.domain.report_sections(film, quiet)
    assert quiet.asked == []

    def say(question: Question, video: StoredVideo, chunks: tuple[int, ...]) -> str:
        return "Place: a quay\nPeople: two women\nAction: they talk\nMood: calm"

    session = session_of(film, options={"looks": 0, "judge": 1, "scene_gap_s": 1.0}, say=say)
    rows = session.domain.report_sections(film, session)[0].tables[0].rows
    assert [(q.task, q.text) for q in session.asked] == [
        ("scene", "What happens from 00:00 to 00:04?")
    ]
    assert rows[0].cells[5] == "still; they talk, by the model"
    assert rows[0].cells[-1].endswith("calm, by the model")
    session.domain.report_sections(film, session)
    assert len(session.asked) == 1


def test_people_who_look_alike_are_a_hint(film: StoredVideo) -> None:
    def see(image: np.ndarray, what: str) -> list[Detection]:
        return [Detection("person", 0.9, (0.3, 0.2, 0.6, 0.9))]

    session = session_of(film, see=see)
    (_, looks) = session.domain.report_sections(film, session)[2].tables
    assert looks.title == "Who looks alike"
    assert [row.cells for row in looks.rows] == [("Look 1", "00:02 (centre), 00:09 (centre)")]


def test_two_in_one_picture_are_two_however_alike(film: StoredVideo) -> None:
    def see(image: np.ndarray, what: str) -> list[Detection]:
        left, right = (0.02, 0.2, 0.14, 0.9), (0.84, 0.2, 0.98, 0.9)
        return [Detection("person", 0.9, left), Detection("person", 0.8, right)]

    session = session_of(film, see=see)
    (_, looks) = session.domain.report_sections(film, session)[2].tables
    for row in looks.rows:
        times = [cite.start_s for cite in row.citations]
        assert len(times) == len(set(times))


def test_without_a_detector_that_is_said(film: StoredVideo) -> None:
    from agentkit.types import UsageError

    def see(image: np.ndarray, what: str) -> list[Detection]:
        raise UsageError("no weights here")

    session = session_of(film, see=see)
    section = session.domain.report_sections(film, session)[2]
    assert section.body == "No one looked for people (no weights here)."


def test_shots_as_csv(film: StoredVideo) -> None:
    session = session_of(film)
    rows = list(csv.DictReader(io.StringIO(files.shots(film, session).decode())))
    assert [(r["first_frame"], r["last_frame"], r["begins"]) for r in rows] == [
        ("0", "99", "start"),
        ("100", "199", "cut"),
        ("200", "249", "cut"),
    ]
    assert [float(row["start_s"]) for row in rows] == [0.0, 4.0, 8.0]
    assert files.shot_frames(film, session) == b"0 99\n100 199\n200 249\n"


def test_the_shots_are_perfect_by_the_evaluator(film: StoredVideo, tmp_path: Path) -> None:
    from agentkit_media.evaluators import EVALUATORS

    (shot_f1,) = (each for each in EVALUATORS if each.name == "shot-f1")
    found, true = tmp_path / "found.txt", tmp_path / "true.txt"
    found.write_bytes(files.shot_frames(film, session_of(film)))
    true.write_text("0 99\n100 199\n200 249\n", encoding="utf-8")
    assert shot_f1.evaluate(found, true).metrics["f1@0"] == 1.0


def test_qvhighlights_lines(film: StoredVideo) -> None:
    session = session_of(film)
    (line,) = files.qvhighlights(film, session).decode().splitlines()
    row = json.loads(line)
    moments = break_down(film, session).highlights.moments
    assert row.keys() == {
        *("qid", "query", "vid", "pred_relevant_windows", "pred_saliency_scores"),
    }
    assert row["vid"] == film.video_id
    assert len(row["pred_saliency_scores"]) == 5
    expected = [[m.start_s, m.end_s, m.score / 10] for m in moments] or [[0.0, 10.0, 0.0]]
    assert sorted(row["pred_relevant_windows"]) == [pytest.approx(w, abs=1e-3) for w in expected]


def test_the_registered_names(film: StoredVideo) -> None:
    domain = Domain.load("media")
    exporters: list[str] = []
    domain.register_exporters(lambda name, exporter: exporters.append(name))
    assert exporters == ["qvhighlights", "script", "shots", "shot-frames"]
    session = session_of(film)
    tools = {tool.__name__: tool for tool in domain.register_tools(session)}
    assert list(tools) == ["scenes", "highlights", "characters"]
    assert tools["scenes"](film.video_id)[0]["place"] == "beach"
    assert tools["highlights"](film.video_id, 0) == []
    assert [c["name"] for c in tools["characters"](film.video_id)] == ["Ann Lee", "Ben Okri"]


@pytest.mark.parametrize("name", ["scenes", "characters", "themes", "highlights", "script"])
@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_the_commands_print_text_and_json(film: StoredVideo, name: str, flag: list[str]) -> None:
    import typer

    class Given:
        domain: str | None = "general"

        def open_session(self) -> "Given":
            return self

        def __enter__(self) -> RecordedSession:
            assert self.domain == "media"
            return session_of(film)

        def __exit__(self, *error: object) -> None: ...

    cli = typer.Typer()
    Domain.load("media").register_commands(cli)
    cli.command("other")(lambda: None)  # a lone group would be the command itself
    result = CliRunner().invoke(cli, ["media", name, film.video_id, *flag], obj=Given())
    assert result.exit_code == 0, result.output
    if flag:
        assert isinstance(json.loads(result.output), list)
    else:
        assert result.output.strip()


def test_times_as_people_read_them() -> None:
    assert [clock(75.4), clock(3675)] == ["01:15", "1:01:15"]
    assert span(3.04, 5.48) == "00:03.0\u201300:05.5"
    assert span(0, 75) == "00:00\u201301:15"
    assert short("a" * 90) == "a" * 79 + "\u2026"
