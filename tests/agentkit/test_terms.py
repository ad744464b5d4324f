"""Words that carry meaning, and what a question points at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import cues
from agentkit.terms import content_terms, overlap, stem, words


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("cars", "car"),
        ("buses", "bus"),
        ("bus", "bus"),
        ("people", "person"),
        ("women", "woman"),
        ("stopped", "stop"),
        ("running", "run"),
        ("parties", "party"),
        ("grass", "grass"),
        ("two", "2"),
        ("Obama's", "obama"),
        ("bikes", "bicycle"),
    ],
)
def test_stems_that_questions_and_notes_share(word: str, root: str) -> None:
    assert stem(word) == root


@given(st.text())
def test_any_text_has_terms_and_they_are_among_its_words(text: str) -> None:
    terms = content_terms(text)
    assert len(set(terms)) == len(terms)
    assert set(terms) <= set(words(text))
    assert overlap(terms, text) == (1.0 if terms else 0.0)


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("What happens in the video?", []),
        ("Describe what is shown at the beginning.", []),
        ("How many people are there?", ["person"]),
        ("What does the dog catch?", ["dog", "catch"]),
    ],
)
def test_a_question_about_the_whole_has_no_terms(question: str, terms: list[str]) -> None:
    assert content_terms(question) == terms


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("What does the caption read?", {"ocr"}),
        ("What does she say?", {"speech"}),
        ("How many cars are there?", set()),
    ],
)
def test_kinds_that_a_question_asks_for(question: str, kinds: set[str]) -> None:
    assert cues.kinds(content_terms(question)) == kinds


def test_a_wider_word_proves_a_narrower_one_does_not() -> None:
    assert cues.share(["vehicle"], "2 cars on the left") == 1.0
    assert cues.share(["taxi"], "2 cars on the left") == 0.0
    assert cues.may_show(["taxi"], "2 cars on the left")
    assert not cues.may_show(["elephant"], "2 cars on the left")
    assert cues.things(["taxi", "harvest", "elephant"]) == ["taxi", "elephant"]


@pytest.mark.parametrize(
    ("question", "spans_s"),
    [
        ("What is seen at 1:05?", [(61.0, 69.0)]),
        ("What is seen at 0:00:02?", [(0.0, 6.0)]),
        ("Who speaks after 12.5 seconds?", [(8.5, 16.5)]),
        ("Who is there at the beginning?", [(0.0, 10.0)]),
        ("Who is there at the end?", [(90.0, 100.0)]),
        ("Who is there at 5:00?", []),
        ("What is seen in minute 1?", []),
        ("What is seen after 1 minute?", [(56.0, 64.0)]),
        ("What was built in the 1990s?", []),
        ("When does the train start moving?", []),
        ("Who closes the door?", []),
        ("Who is there?", []),
    ],
)
def test_times_that_a_question_names(question: str, spans_s: list[tuple[float, float]]) -> None:
    assert cues.spans_s(question, 100.0) == spans_s


@given(st.text(), st.floats(1.0, 1e5))
def test_named_times_lie_in_the_video(question: str, duration_s: float) -> None:
    for start_s, end_s in cues.spans_s(question, duration_s):
        assert 0 <= start_s <= end_s <= duration_s
