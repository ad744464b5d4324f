"""Citations come from passages alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.citing import CitingConfig, abstains, cite
from agentkit.retrieval import Passage


def passage(text: str, start_s: float, end_s: float, near: float = 0.3, chunk: int = 0) -> Passage:
    return Passage("v", chunk, start_s, end_s, "objects", text, near)


def test_the_passage_with_the_words_of_question_and_answer_is_cited_first() -> None:
    passages = [passage("2 cars", 0, 16, 0.4), passage("1 red car by the gate", 16, 32)]
    first = cite("Where is the car?", "By the gate.", passages, CitingConfig())[0]
    assert (first.start_s, first.end_s, first.why) == (16, 32, "objects: 1 red car by the gate")
    assert first.frame_s == 24


def test_much_weaker_passages_and_the_same_place_twice_are_left_out() -> None:
    config = CitingConfig()
    weak = [passage("a red car", 0, 16, 0.6), passage("a dog", 16, 32, 0.3)]
    assert len(cite("the red car", "a red car", weak, config)) == 1
    twice = [passage("a red car", 0, 16), passage("a red car here", 2, 15)]
    assert len(cite("the red car", "a red car", twice, config)) == 1


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 500), st.text(max_size=20)), max_size=12),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_at_most_three_short_distinct_citations(
    drawn: list[tuple[float, float, str]], question: str, answer: str
) -> None:
    passages = [passage(text, start, start + length) for start, length, text in drawn]
    cited = cite(question, answer, passages, CitingConfig())
    assert len(cited) <= 3
    assert bool(cited) == bool(passages)
    starts = {round(p.start_s, 3) for p in passages}
    for each in cited:
        assert each.start_s in starts
        assert -1e-2 <= each.end_s - each.start_s <= 32 + 1e-2


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        ("", True),
        ("The notes do not mention a dog.", True),
        ("There is no information about that.", True),
        ("It cannot be determined.", True),
        ("Two cars, not three.", False),
        ("The banner reads NO PARKING.", False),
        ("A man says hello.", False),
    ],
)
def test_an_answer_that_says_it_found_nothing(text: str, silent: bool) -> None:
    assert abstains(text) is silent
