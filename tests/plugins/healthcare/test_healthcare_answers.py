"""Raw answers become typed fields: those recorded of the installed small model, and rubbish."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.plugin_manager import Domain
from agentkit.testing import stored_video
from agentkit.types import Answer, Citation, Coverage, Evidence, Finding, Note, Question
from agentkit_healthcare.answers import TASKS, fields_of
from agentkit_healthcare.protocol import load

RECORDED = Path(__file__).parent / "recorded"
DOMAIN = Domain.load("healthcare")
STEPS = (*(step.name("en") for step in load("cholec80").steps), "None of these")
COVERAGE = Coverage("recorded", 94, 470, 1.0, (), 6, 0, ())
CITE = Citation("ab" * 32, 31.0, 32.0, "CLIP APPLIER")
EVIDENCE = Evidence((), (Note(31.0, 32.0, "ocr", "CLIP APPLIER"),), (CITE,), COVERAGE, True)


def parsed(task: str, text: str, options=STEPS) -> Answer:
    return DOMAIN.parse_answer(Question("?", options, task), text, EVIDENCE)


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("step", {"step": "Clipping and cutting", "number": 2, "confidence": 0.8}),
        ("instruments", {"instruments": []}),
        ("checklist", {"done": True}),
        ("summary", {"summary": (RECORDED / "summary.txt").read_text("utf-8")}),
        ("question", {}),
    ],
)
def test_what_the_small_model_wrote_of_the_drawn_clip(task: str, fields: dict) -> None:
    text = (RECORDED / f"{task}.txt").read_text("utf-8")
    question = Question("?", STEPS if task == "step" else (), "" if task == "question" else task)
    answer = DOMAIN.parse_answer(question, text, EVIDENCE)
    assert answer == Answer(question, text, (CITE,), COVERAGE, fields, supported=True)


NONE = {"step": None, "number": None, "confidence": 0.0}


def picked(number: int, confidence: float) -> dict:
    return {"step": STEPS[number], "number": number, "confidence": confidence}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("C", picked(2, 0.8)),
        ("c)", picked(2, 0.8)),
        ("3", picked(2, 0.8)),
        ("3. Clipping and cutting", picked(2, 1.0)),
        ("The answer is (B).", picked(1, 0.8)),
        ("答案是C。", picked(2, 0.8)),
        ("Step: D", picked(3, 0.8)),
        ("This part shows gallbladder packaging, with a bag.", picked(4, 1.0)),
        ("CALOTTRIANGLEDISSECTION", picked(1, 1.0)),
        ("Gallbladder disection", picked(3, 0.5)),
        ("Clipping and cutting or Preparation", NONE),  # two are named
        ("None of these", NONE | {"confidence": 1.0}),
        ("H", NONE | {"confidence": 0.8}),
        ("Z", NONE),
        ("99", NONE),
        ("A grasper is seen.", NONE),  # no letter of an option, an article
        ("I think so", NONE),
        ("12.5 s", NONE),
        ("", NONE),
    ],
)
def test_a_step_is_read_by_letter_number_name_or_near_name(text: str, fields: dict) -> None:
    assert parsed("step", text).fields == fields


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("Yes.", True), ("yes, it says so", True), ("No, not yet", False), ("Not done", False),
        ("是", True), ("否", False), ("没有", False), ("It says nothing", None), ("", None),
        ("Yesterday", None), ("Nothing", None),
    ],
)  # fmt: skip
def test_a_judgement_is_yes_no_or_neither(text: str, done: bool | None) -> None:
    assert parsed("checklist", text).fields == {"done": done}


def test_instruments_are_read_by_the_lexicon() -> None:
    text = "Hook, CLIP APPLIERS, harmonic scalpel; 抓钳 and a spoon"
    found = ["grasper", "hook", "clip-applier", "ultrasonic-shears"]
    assert parsed("instruments", text).fields == {"instruments": found}


CUT_JSON = '{"step": '
RUBBISH = ("", "\x00\xff\ud800", "{" * 9000, CUT_JSON, "步" * 5000, "A" * 100_000, "9" * 500)


@pytest.mark.parametrize("task", [*TASKS, "unheard-of", ""])
@pytest.mark.parametrize("text", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_raises_nothing(task: str, text: str) -> None:
    for options in ((), ("one",), STEPS):
        fields = parsed(task, text, options).fields
        assert fields.get("step") is None
        assert not fields.get("instruments")
        assert fields.get("done") is None


@given(st.sampled_from(TASKS), st.text(), st.lists(st.text(max_size=20), max_size=30))
def test_any_text_gives_fields_of_the_same_kinds(task: str, text: str, options: list[str]) -> None:
    fields = fields_of(task, text, options)
    kinds = {
        "step": {"step": (str, type(None)), "number": (int, type(None)), "confidence": float},
        "instruments": {"instruments": list},
        "checklist": {"done": (bool, type(None))},
        "summary": {"summary": str},
    }[task]
    assert set(fields) == set(kinds)
    assert all(isinstance(fields[name], kind) for name, kind in kinds.items())


def test_an_answer_is_held_against_the_notes() -> None:
    evidence = Evidence((), (Note(5, 9, "speech", "the hook"),), (CITE,), COVERAGE, True)
    answer = DOMAIN.parse_answer(Question("?", (), "instruments"), "hook and grasper", evidence)
    cite = Citation(CITE.video_id, 5, 9, "the hook")
    assert DOMAIN.check_answer(answer, evidence) == [
        Finding("grasper", "unsupported"),
        Finding("hook", "supported", (cite,)),
    ]
    step = DOMAIN.parse_answer(Question("?", STEPS, "step"), "C", EVIDENCE)
    assert DOMAIN.check_answer(step, EVIDENCE) == [
        Finding("The step is Clipping and cutting", "supported", (CITE,))
    ]
    assert DOMAIN.check_answer(parsed("", "hook"), EVIDENCE) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_prompt_ends_with_the_question_and_lettered_options(language: str) -> None:
    question = Question("Which?", ("One", "Two"), "step", language)
    prompt = DOMAIN.user_prompt(stored_video(), question)
    asked = {"en": "Question: Which?", "zh": "问题\uff1aWhich?"}[language]
    assert prompt.endswith(f"\n{asked}\nA. One\nB. Two")
    of_a_person = Question("Which?", ("One", "Two"), "", language)
    assert prompt != DOMAIN.user_prompt(stored_video(), of_a_person)
    seen = DOMAIN.user_prompt(stored_video(), question, "videoxl2")
    assert seen == "Which?\nA. One\nB. Two"
