"""What is asked of the model, and what becomes of its words: recorded ones, and rubbish."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import defaults
from agentkit.plugin_manager import Domain
from agentkit.testing import stored_video
from agentkit.types import (
    Answer,
    Chunk,
    ChunkHit,
    Citation,
    Coverage,
    Evidence,
    Finding,
    Note,
    Question,
)
from agentkit_security.claims import counts_in
from agentkit_security.fields import anomaly_fields, event_fields
from agentkit_security.wording import texts

RECORDED = Path(__file__).parent / "recorded"  # what the small model wrote, of people on a walkway
VIDEO = stored_video()
COVERAGE = Coverage("recorded", 80, 795, 1.0, (3,), 5, 318, ("objects",))
NOTED = Note(48.0, 64.0, "objects", "5 to 7 people across the picture, 1 car on the right")
CITED = Citation(VIDEO.video_id, 48.0, 64.0, NOTED.text)


def evidence(*notes: Note) -> Evidence:
    chunk = Chunk(VIDEO.video_id, 3, 48.0, 64.0, 12, 4)
    return Evidence((ChunkHit(chunk, 0.9, NOTED.text),), notes, (CITED,), COVERAGE, True)


def parsed(task: str, text: str, language: str = "en") -> Answer:
    question = Question("?", task=task, language=language)
    return Domain.load("security").parse_answer(question, text, evidence(NOTED))


EXPECTED: dict[str, dict[str, object]] = {
    "event": {
        "event": "some motion right, 5 people across, 1 car right, 1 truck right, some motion"
        " centre and right, 7 people across",
        "who": [],  # it only said the instruction again
        "severity": 3,
    },
    "event_zh": {"event": None, "who": [], "severity": None},
    "anomaly": {
        "unusual": False,
        "reason": "the recording does not show any unusual motion or movement centre or right.",
    },
    "anomaly_zh": {"unusual": True, "reason": ""},
    "summary": {},
    "question": {},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_answer_becomes_its_fields(name: str) -> None:
    raw = (RECORDED / f"{name}.txt").read_text("utf-8")
    task, _, language = name.partition("_")
    answer = parsed("" if task == "question" else task, raw, language or "en")
    assert answer == Answer(
        answer.question, raw.strip(), (CITED,), COVERAGE, fields=EXPECTED[name], supported=True
    )


GOOD = {
    "event: a man enters\nwho: man in red, woman\nseverity: 2": (
        "a man enters", ["man in red", "woman"], 2,
    ),
    "**Event:** a man enters\n**Who:** a man\n**Severity:** 2 (worth a look)": (
        "a man enters", ["a man"], 2,
    ),
    '{"event": "a man enters", "who": ["a man"], "severity": 0}': ("a man enters", ["a man"], 0),
    'Sure! ```json\n{"Event": "x", "WHO": "a, b", "severity": "high"}\n```': ("x", ["a", "b"], 3),
    "事件：有人进入\n涉及：男子、女子\n严重程度：1": ("有人进入", ["男子", "女子"], 1),
    "event: none\nwho: none\nseverity: 0": (None, [], 0),
    "event: x\nseverity: 7": ("x", [], None),
    "event: x; who: a dog; severity: low": ("x", ["a dog"], 1),
    "event: first\nevent: second": ("first", [], None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "want"), GOOD.items())
def test_events_are_read_as_people_and_models_write_them(
    text: str, want: tuple[object, object, object]
) -> None:
    assert tuple(event_fields(text).values()) == want


@pytest.mark.parametrize(
    ("text", "unusual", "reason"),
    [
        ("unusual: yes\nreason: a crowd", True, "a crowd"),
        ("Unusual: No, it is not\nReason: as before", False, "as before"),
        ("Yes.", True, ""),
        ("no\nreason: the same people", False, "the same people"),
        ('{"unusual": true, "reason": "a run"}', True, "a run"),
        ("反常：否\n原因：与之前一样", False, "与之前一样"),
        ("unusual: maybe", None, ""),
        ("The recording shows five people.", None, ""),
        ("unusual: yes or no\nreason: a few words", None, ""),
    ],
)
def test_judgements_are_read_and_no_word_is_no_judgement(
    text: str, unusual: bool | None, reason: str
) -> None:
    assert anomaly_fields(text) == {"unusual": unusual, "reason": reason}


RUBBISH = [
    "", " \n\t", "\x00\xff\ufffe", '{"event": "cut', "{" * 5000, "[" * 5000, "event:" * 5000,
    '{"event": 3, "who": {"a": 1}, "severity": [1]}', '{"unusual": "\\ud800"}', "null", "🙈" * 999,
    "unusual" * 10_000, '{"severity": 1e999}', "severity: ٣", "severity: ²", "who: " + "," * 9999,
]  # fmt: skip


@pytest.mark.parametrize("text", RUBBISH)
@pytest.mark.parametrize("task", ["event", "anomaly", "summary", "", "no such task"])
def test_rubbish_never_raises(task: str, text: str) -> None:
    domain = Domain.load("security")
    answer = domain.parse_answer(Question("?", task=task), text, evidence(NOTED))
    domain.check_answer(answer, evidence(NOTED))
    assert domain.broken == ()


@given(st.text() | st.text(alphabet='{}[]":,eventwhoseverity 0123\n：'))
def test_fields_are_of_their_types_whatever_was_written(text: str) -> None:
    event, anomaly = event_fields(text), anomaly_fields(text)
    assert list(event) == ["event", "who", "severity"]
    assert event["event"] is None or isinstance(event["event"], str)
    assert isinstance(event["who"], list)
    assert event["severity"] in (None, 0, 1, 2, 3)
    assert anomaly["unusual"] in (None, True, False)
    assert isinstance(anomaly["reason"], str)
    json.dumps(event | anomaly)


# Prompts.


def test_a_persons_question_stands_last_and_lines_are_spoken_of_where_there_are_some() -> None:
    domain, question = Domain.load("security"), Question("Who enters?", ("a man", "a dog"))
    prompt = domain.user_prompt(VIDEO, question)
    assert prompt.startswith("The lines above are a timeline of a recording from a camera")
    assert "Never say who somebody is." in prompt
    assert prompt.endswith("Question: Who enters?\nA. a man\nB. a dog")
    assert domain.user_prompt(VIDEO, question, "videoxl2") == "Who enters?\nA. a man\nB. a dog"


@pytest.mark.parametrize("task", ["summary", "anomaly", "event"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_wanted_of_a_task_stands_last(task: str, language: str) -> None:
    question = Question("Q-Q-Q", task=task, language=language)
    notes, pictures = (
        Domain.load("security").user_prompt(VIDEO, question, encoder)
        for encoder in ("notes", "videoxl2")
    )
    assert notes.endswith(texts()(f"task.{task}.instruction", language))
    assert "Q-Q-Q" in notes
    assert notes.endswith(pictures)  # where the model sees, no lines are spoken of
    assert texts()("prompt.context", language) not in pictures


def test_one_cache_serves_this_domain_and_all_others() -> None:
    security, general = Domain.load("security"), Domain.load("general")
    assert security.system_prompt(VIDEO) == general.system_prompt(VIDEO) == defaults.SYSTEM_PROMPT
    assert security.fingerprint == general.fingerprint


# Claims.


def checked(text: str, *notes: Note, language: str = "en") -> list[Finding]:
    answer = Answer(Question("?", language=language), text, (CITED,), COVERAGE)
    return Domain.load("security").check_answer(answer, evidence(*notes))


def test_counts_are_held_against_what_was_noted() -> None:
    carried = (Citation(VIDEO.video_id, 48.0, 64.0, NOTED.text),)
    assert checked("Six people and a red car; two dogs, 9 men, 3 persons.", NOTED) == [
        Finding("6 people", "supported", carried),
        Finding("2 dogs", "unsupported"),
        Finding("9 people", "contradicted"),
        Finding("3 people", "unsupported"),
    ]
    assert checked("有六个行人和两辆汽车", NOTED, language="zh") == [
        Finding("6 个人员", "supported", carried),
        Finding("2 个轿车", "contradicted"),
    ]


def test_what_nothing_here_sees_is_said_to_be_unseen() -> None:
    (finding,) = checked("A man with a gun walks by.", NOTED)
    assert (finding.verdict, finding.citations) == ("unsupported", ())
    assert "gun" in finding.claim
    assert checked("He walks fast.", NOTED) == []
    seen = Note(50, 51, "action", "a fight")
    assert checked("There is a fight.", NOTED, seen) == []


def test_counts_are_found_once_each() -> None:
    assert counts_in("Two people, 2 people, one white van; 12 black cars and 2.5 people") == [
        (2, "person"), (1, "truck"), (12, "car"),
    ]  # fmt: skip
    assert counts_in("两名男人和3辆车，十个人") == [(2, "person"), (10, "person")]
