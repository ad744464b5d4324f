"""Checks of what a plugin says to the model, and of how it reads what the model wrote."""

import json
import re
import string
from dataclasses import replace
from itertools import product
from unittest import SkipTest

from hypothesis import strategies as st

from agentkit.testing.contract import drawing
from agentkit.testing.contract.drawing import RUBBISH, for_all, shown
from agentkit.testing.contract.subject import Subject, assert_cites
from agentkit.types import Answer, Evidence, Finding, Prompts, Question

ENCODERS = ("notes", "videoxl2")
# Control words of the chat formats in use, and the marker that stands for a video.
CONTROL = re.compile(
    r"<\|[^|<>]*\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:image|video)>"
)


def prompts(subject: Subject) -> str:
    """Hold the files of prompts to be the same in each language, and to hold plain text."""
    texts = _prompts(subject)
    assert "en" in texts.languages, "prompts/en.toml is missing: English is the fallback"
    for language, (name, text) in _each(texts):
        where = f"prompts/{language}.toml, {name}"
        assert text, f"{where}: empty"
        found = CONTROL.search(text)
        assert not found, f"{where}: {found and found[0]!r} is a control word of a chat format"
        assert name in texts.texts["en"], f"{where}: prompts/en.toml has no such text"
        _check_placeholders(texts, name, language, where)
    for language, name in product(texts.languages, texts.texts["en"]):
        there = name in texts.texts[language]
        assert there, f"prompts/{language}.toml: no text {name!r}, which prompts/en.toml has"
    return f"{len(texts.texts['en'])} texts in {', '.join(texts.languages)}"


def _prompts(subject: Subject) -> Prompts:
    try:
        texts = subject.prompts
    except (ValueError, OSError) as error:
        raise AssertionError(f"its prompts cannot be read: {error}") from error
    if texts is None:
        raise SkipTest("it has no folder prompts/")
    return texts


def _each(texts: Prompts) -> list[tuple[str, tuple[str, str]]]:
    return [
        (language, item) for language in texts.languages for item in texts.texts[language].items()
    ]


def _check_placeholders(texts: Prompts, name: str, language: str, where: str) -> None:
    try:
        parsed = list(string.Formatter().parse(texts.texts[language][name]))
    except ValueError as error:
        raise AssertionError(f"{where}: {error}; write {{{{ and }}}} for braces") from error
    for _, field, form, conversion in parsed:
        plain = field is None or (field.isidentifier() and not form and not conversion)
        assert plain, f"{where}: {{{field}}} is no plain name"
    here, english = texts.placeholders(name, language), texts.placeholders(name, "en")
    assert here == english, f"{where}: has {_braced(here)}, prompts/en.toml has {_braced(english)}"


def _braced(names: frozenset[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "no placeholder"


def rendering(subject: Subject) -> str:
    """Fill every placeholder with drawn texts, braces and control words among them."""
    texts = _prompts(subject)
    filled = [one for one in _each(texts) if texts.placeholders(one[1][0], one[0])]

    def check(value: str) -> None:
        for language, (name, _) in filled:
            given = dict.fromkeys(texts.placeholders(name, language), value)
            made = texts(name, language, **given)
            assert value in made, f"prompts/{language}.toml, {name}: loses {shown(value)}"

    for_all(check, drawing.ODD_TEXTS)
    return f"{len(filled)} texts with placeholders take any value"


def questions(subject: Subject) -> str:
    """Ask for the user's prompt of every task, language and encoder, and of drawn questions."""
    subject.needs("user_prompt")
    film = drawing.film()
    cases = list(product(subject.tasks, subject.languages, ENCODERS))
    for task, language, encoder in cases:
        question = Question("What is shown?", ("a dog", "a cat"), task, language)
        made = subject.ask("user_prompt", film, question, encoder, of=f"task {task!r}, {language}")
        added = CONTROL.search(made)
        assert not added, f"user_prompt: {added and added[0]!r} is a control word of a chat format"
        _check_asks(made, question)

    def check(title: str, text: str, options: list[str], case: tuple[str, str, str]) -> None:
        task, language, encoder = case
        video, question = replace(film, title=title), Question(text, tuple(options), task, language)
        subject.ask("user_prompt", video, question, encoder, of=f"question {shown(text)}")

    odd = drawing.ODD_TEXTS
    for_all(check, odd, odd, st.lists(odd, max_size=30), st.sampled_from(cases))
    return f"{len(subject.tasks)} kinds of question in {', '.join(subject.languages)}"


def _check_asks(made: str, question: Question) -> None:
    """Hold the prompt to what a person asked: the question and each of its options."""
    for text in () if question.task else (question.text, *question.options):
        assert text in made, f"user_prompt: {text!r} of the question is not in it: {shown(made)}"


def answers(subject: Subject) -> str:
    """Let the plugin read rubbish: it may find nothing in it, and must not raise."""
    subject.needs("parse_answer", "check_answer")
    cases = list(product(subject.tasks, subject.languages, subject.evidence))
    for text, case in product(RUBBISH, cases):
        _check_answer(subject, text, case)

    def check(text: str, case: tuple[str, str, Evidence]) -> None:
        _check_answer(subject, text, case)

    for_all(check, drawing.TEXTS, st.sampled_from(cases))
    return f"{len(RUBBISH)} kinds of rubbish and drawn texts, for {len(subject.tasks)} tasks"


def _check_answer(subject: Subject, text: str, case: tuple[str, str, Evidence]) -> None:
    task, language, evidence = case
    question = Question("What is shown?", ("a dog", "a cat"), task, language)
    where = f"task {task!r}, {language}, the model wrote {shown(text)}"
    answer = subject.ask("parse_answer", question, text, evidence, of=where)
    assert answer.question == question, f"parse_answer: gives another question ({where})"
    assert answer.coverage == evidence.coverage, f"parse_answer: gives other coverage ({where})"
    _check_fields(answer, where)
    _check_carried(answer, evidence, where)
    for finding in subject.ask("check_answer", answer, evidence, of=where):
        _check_carried(finding, evidence, f"check_answer, {where}")


def _check_fields(answer: Answer, where: str) -> None:
    try:
        json.dumps(dict(answer.fields), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise AssertionError(f"parse_answer: fields are no JSON: {error} ({where})") from error
    keys = all(isinstance(key, str) for key in answer.fields)
    assert keys, f"parse_answer: keys of fields are texts ({where})"


def _check_carried(said: Answer | Finding, evidence: Evidence, where: str) -> None:
    """Citations come from the evidence: inside its spans, or from one's start to one's end."""
    assert_cites(said.citations, [drawing.film()], where)
    known = [(cite.start_s, cite.end_s) for cite in evidence.citations]
    known += [(note.start_s, note.end_s) for note in evidence.notes]
    known += [(hit.start_s, hit.end_s) for hit in evidence.hits]
    starts_s, ends_s = {start_s for start_s, _ in known}, {end_s for _, end_s in known}
    for cite in said.citations:
        inside = any(start_s <= cite.start_s and cite.end_s <= end_s for start_s, end_s in known)
        span = f"{cite.start_s:g} s to {cite.end_s:g} s"
        joined = cite.start_s in starts_s and cite.end_s in ends_s
        assert inside or joined, f"a citation of {span} is not in the evidence ({where})"
