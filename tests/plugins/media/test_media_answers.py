"""Raw answers of a model to typed fields: real ones, rubbish, and what is held against the notes.

`recorded/TASK.txt` holds a question on its first line and, from its second, what the installed 0.5B
model wrote to it on an example clip, as it wrote it.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.plugin_manager import Domain
from agentkit.types import Citation, Coverage, Evidence, Finding, Note, Question
from agentkit_media.answers import MAX_NAMES, MAX_THEMES, PARSERS
from agentkit_media.claims import plain, quotations
from agentkit_media.mood import MOODS, NEUTRAL

RECORDED = Path(__file__).parent / "recorded"
NOTES = (
    Note(0.7, 8.7, "speech", "Today, after two years of negotiations, we have achieved some..."),
    Note(3.0, 8.7, "ocr", "PRESIDENT OBAMA STATEMENT ON IRAN"),
)
CITES = (Citation("ab" * 32, 0.7, 8.7, "speech"),)
COVERAGE = Coverage("recorded", 9, 105, 1.0, (0,), 1, 0, ())
EVIDENCE = Evidence((), NOTES, CITES, COVERAGE, True)
NO_SCENE = {"place": None, "people": [], "action": None, "mood": None}
EMPTY: dict[str, dict[str, object]] = {
    "summary": {"summary": None},
    "scene": NO_SCENE,
    "highlight": {"score": None, "reason": None},
    "theme": {"themes": []},
    "character": {"names": []},
}


def fields(task: str, text: str) -> dict[str, object]:
    domain = Domain.load("media")
    answer = domain.parse_answer(Question("What?", (), task), text, EVIDENCE)
    assert domain.broken == ()
    assert answer.citations == CITES
    return dict(answer.fields)


REAL: dict[str, dict[str, object]] = {
    "summary": {
        "summary": "This video is about the presidential election of President Obama and the "
        "international cooperation of the United States with international partners."
    },
    "scene": {
        "place": None,  # it wrote a time
        "people": ["2 cars left and right", "1 bicycle right", "3 cars centre and right"],
        "action": "cut",
        "mood": "calm",
    },
    "highlight": {"score": 10, "reason": None},
    "theme": {"themes": ["President Obama", "Iran", "July 14, 2015"]},
    "character": {"names": ["President Obama", "Windsor", "United States"]},
    "scene-zh": {
        "place": "中国",
        "people": ["王立军", "李克强"],
        "action": "王立军和李克强在中央电视台上讲话",
        "mood": None,  # it wrote all six
    },
    "theme-zh": {"themes": ["President Obama", "international partners", "motion"]},
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_answer_comes_to_these_fields(name: str) -> None:
    _, _, raw = (RECORDED / f"{name}.txt").read_text("utf-8").partition("\n")
    assert fields(name.removesuffix("-zh"), raw) == REAL[name]


def test_each_task_has_a_real_answer() -> None:
    assert {path.stem.removesuffix("-zh") for path in RECORDED.iterdir()} == set(PARSERS)


def test_the_answers_that_were_asked_for() -> None:
    form = (
        "**Place:** a street in Oslo.\n- People: 2 cyclists, a driver and a dog\nAction: they ride"
    )
    assert fields("scene", form + "\nMood: rather tense") == {
        "place": "a street in Oslo",
        "people": ["2 cyclists", "a driver", "a dog"],
        "action": "they ride",
        "mood": "tense",
    }
    assert fields("scene", "地点：海边\n人物：两个人、一条狗\n动作：散步\n气氛：平静") == {
        "place": "海边",
        "people": ["两个人", "一条狗"],
        "action": "散步",
        "mood": "calm",
    }
    assert fields("highlight", "Score: 7\nReason: a car comes close.") == {
        "score": 7,
        "reason": "a car comes close",
    }
    assert fields("theme", "- war\n- peace talks\n- War\n- 2015") == {
        "themes": ["war", "peace talks"]
    }
    assert fields("character", "1. Barack Obama (president)\n2. none\n3. 王小明") == {
        "names": ["Barack Obama", "王小明"]
    }


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Score: 8/10", 8),
        ("Score: 3 out of 5", 6),
        ("7", 7),
        (" 8/10. ", 8),
        ("With 4 cuts, it moves.", None),
        ("分数：9", 9),
        ("Score: 11", None),
        ("Score: -3", None),
        ("Score: ten", None),
        ("In 2015", None),
        ("Score: 7/0", None),
    ],
)
def test_scores(text: str, score: int | None) -> None:
    assert fields("highlight", text)["score"] == score


def test_the_form_with_nothing_in_it_is_empty() -> None:
    form = "Place: where it is\nPeople: who is there\nAction: unknown\nMood: calm, lively or tense"
    assert fields("scene", form) == NO_SCENE


RUBBISH = (
    "",
    " \n\t\n",
    "\x00\x01\x02\ufffd\x1b[31m",
    '{"place": "str',
    '{"score": }',
    "}{" * 50_000,
    "<|im_end|><|im_start|>",
    "---",
    "???",
    "\u202e\u200b\ufeff",
    "\ud800".encode("utf-8", "replace").decode(),
    "....................",
)


@pytest.mark.parametrize("task", PARSERS)
@pytest.mark.parametrize("text", RUBBISH)
def test_rubbish_is_no_field(task: str, text: str) -> None:
    expected = dict(EMPTY[task])
    if task == "summary" and any(c.isalnum() for c in text):
        assert isinstance(fields(task, text)["summary"], str)  # a summary is any text with words
        return
    assert fields(task, text) == expected


TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(
            [
                "Place:",
                "Mood: ",
                "calm",
                "Score: ",
                "7",
                "/",
                "0",
                "- ",
                "1. ",
                "\n",
                "人物：",
                "“",
                "x",
            ]
        ),
        max_size=40,
    ).map("".join),
)


@settings(max_examples=150)
@given(st.sampled_from(sorted(PARSERS)), TEXTS)
def test_any_text_gives_fields_of_their_kinds(task: str, text: str) -> None:
    found = fields(task, text)
    assert found.keys() == EMPTY[task].keys()
    for name, value in found.items():
        if name in ("people", "themes", "names"):
            assert isinstance(value, list)
            assert all(isinstance(item, str) and item for item in value)
            assert len(value) <= {"themes": MAX_THEMES, "names": MAX_NAMES}.get(name, 200)
        elif name == "score":
            assert value is None or value in range(11)
        elif name == "mood":
            assert value in (*MOODS, NEUTRAL, None)
        else:
            assert value is None or (isinstance(value, str) and value)


def test_a_persons_question_is_left_to_the_defaults() -> None:
    answer = Domain.load("media").parse_answer(Question("Who?"), " Obama. ", EVIDENCE)
    assert (answer.text, dict(answer.fields)) == ("Obama.", {})


def checked(text: str, task: str = "", language: str = "en") -> list[Finding]:
    domain = Domain.load("media")
    answer = domain.parse_answer(Question("Who?", (), task, language), text, EVIDENCE)
    found = domain.check_answer(answer, EVIDENCE)
    assert domain.broken == ()
    return found


def test_a_quotation_must_stand_in_the_notes() -> None:
    text = 'He says "after two years of negotiations" and "we come in peace".'
    assert checked(text) == [
        Finding(
            "“after two years of negotiations” is said or written",
            "supported",
            (Citation("ab" * 32, 0.7, 8.7, NOTES[0].text),),
        ),
        Finding("“we come in peace” is said or written", "unsupported"),
    ]
    assert checked("“president obama, statement”", language="zh")[0].claim == (
        "“president obama, statement”出现在对白或画面文字中"
    )
    assert checked("No quotation at all.") == []


def test_a_part_of_a_word_is_no_quotation_of_it() -> None:
    assert [finding.verdict for finding in checked('"years of nego"')] == ["unsupported"]


def test_a_quotation_over_two_notes_is_carried_by_both() -> None:
    notes = (
        Note(1.0, 2.0, "speech", "We shall never"),
        Note(2.0, 3.0, "speech", "surrender, my friends."),
    )
    evidence = Evidence((), notes, CITES, COVERAGE, True)
    domain = Domain.load("media")
    answer = domain.parse_answer(Question("Who?"), '"shall never surrender"', evidence)
    (finding,) = domain.check_answer(answer, evidence)
    assert finding.verdict == "supported"
    assert [cite.start_s for cite in finding.citations] == [1.0, 2.0]


def test_a_name_must_stand_in_the_notes() -> None:
    assert [
        (f.claim, f.verdict) for f in checked("- President Obama\n- Joe Biden", "character")
    ] == [
        ("“President Obama” is said or written", "supported"),
        ("“Joe Biden” is said or written", "unsupported"),
    ]


def test_quotations_of_all_marks() -> None:
    assert quotations('"one two" “three” 「四五」 『六七』 "x" "one two"') == [
        *("one two", "three", "四五", "六七"),
    ]
    assert plain("It's  JULY 14,2015!") == "its july 14 2015"


@given(st.text(max_size=80))
def test_plain_is_plain_already(text: str) -> None:
    assert plain(plain(text)) == plain(text)
