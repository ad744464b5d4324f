"""Which sentences of a summary the notes carry: by words, and by numbers beside what they count."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.reports.carried import Carriers, same_beginning, terms_in, terms_of
from agentkit.reports.summary import Said, claims, sentences
from agentkit.testing import stored_video
from agentkit.types import Citation, Finding, Note

FILM = stored_video("/films/film.mp4", 60.0)
NOTES = (
    Note(0.0, 4.0, "objects", "5 people across"),
    Note(0.0, 4.0, "motion", "some motion left"),
    Note(4.0, 8.0, "objects", "1 truck right"),
    Note(4.0, 8.0, "colours", "white truck"),
    Note(9.0, 15.0, "speech", "Today we reached a deal with our partners."),
    Note(20.0, 24.0, "ocr", "JULY 14,2015"),
    Note(30.0, 33.0, "speech", "\u4eca\u5929\u6211\u4eec\u8fbe\u6210\u4e86\u534f\u8bae"),
)


@pytest.mark.parametrize(
    ("sentence", "carried_by"),
    [
        ("The video shows 5 people.", [0.0]),
        ("Several people are shown across, with a white truck on the right.", [0.0, 4.0, 4.0]),
        ("A medical procedure where 5 people are across, with a white truck.", []),
        ("5 people are moving.", [0.0, 0.0]),
        ("5 people are sleeping.", []),
        ("A partnership deal was reached.", [9.0]),  # "partners" says so
        ("The video shows 5 trucks.", []),  # 5 is that of the people
        ("The video shows 6 people.", []),
        ("A deal was reached with partners.", [9.0]),
        ("On July 14, 2015, partners reached a deal.", [20.0, 9.0]),
        ("On July 15, 2015, partners reached a deal.", []),
        ("A dog chases a red ball.", []),
        ("It is the video.", []),  # claims nothing that a note could carry
        ("\u6211\u4eec\u8fbe\u6210\u4e86\u534f\u8bae\u3002", [30.0]),
        ("\u4e00\u53ea\u732b\u5728\u7761\u89c9\u3002", []),
    ],
)
def test_what_carries_a_sentence(sentence: str, carried_by: list[float]) -> None:
    found = Carriers(FILM.video_id, (), NOTES).of(sentence)
    assert sorted(cite.start_s for cite in found) == sorted(carried_by)


def test_the_answers_own_citations_come_first() -> None:
    own = Citation(FILM.video_id, 0.0, 16.0, "objects: 5 people across, 1 white truck right")
    assert Carriers(FILM.video_id, (own,), NOTES).of("5 people and a white truck.") == (own,)


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=4))
def test_what_carries_a_sentence_has_all_its_words(sentence: str, texts: Sequence[str]) -> None:
    notes = [Note(float(at), at + 1.0, "speech", text) for at, text in enumerate(texts)]
    found = Carriers(FILM.video_id, (), notes).of(sentence)
    if found:
        cited = {term for cite in found for term in terms_in(texts[int(cite.start_s)])}
        for term in terms_of(sentence):
            assert term in cited or any(same_beginning(term, other) for other in cited)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("On July 14,2015 at 3.5 m. Then", ["On July 14,2015 at 3.5 m."]),
        ("Cut off in the mid", ["Cut off in the mid"]),
        ("Same. Same. Other.", ["Same.", "Other."]),
        ("\u4e00\u53e5\u3002\u4e24\u53e5\u3002", ["\u4e00\u53e5\u3002", "\u4e24\u53e5\u3002"]),
        ('He says "stop." Then goes.', ['He says "stop."', "Then goes."]),
        ("\n\n", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@given(st.text(max_size=400))
def test_any_text_is_cut_into_sentences(text: str) -> None:
    for sentence in sentences(text):
        assert sentence == " ".join(sentence.split()) != ""


def test_what_the_domain_found_against_a_sentence_counts() -> None:
    against = Citation(FILM.video_id, 9.0, 15.0, "speech: no truck")
    said = Said(
        "5 people are across. A white truck is right. The deal is reached.",
        True,
        (),
        (
            Finding("white truck", "contradicted", (against,)),
            Finding("deal reached", "unsupported"),
            Finding("70 g of salt are used", "unsupported"),
            Finding("people across", "supported"),
        ),
    )
    assert [(one.claim, one.verdict) for one in claims(said, FILM, NOTES)] == [
        ("5 people are across.", "supported"),
        ("A white truck is right.", "contradicted"),
        ("The deal is reached.", "unsupported"),
        ("70 g of salt are used", "unsupported"),
    ]
    assert claims(said, FILM, NOTES)[1].citations == (against,)


def test_an_answer_without_support_gives_no_claim() -> None:
    assert claims(Said("5 people are across.", False, (), ()), FILM, NOTES) == ()


def test_a_sentence_that_says_that_nothing_is_said_is_no_claim() -> None:
    said = Said("The video does not mention a dog. 5 people are across.", True, (), ())
    assert [one.claim for one in claims(said, FILM, NOTES)] == ["5 people are across."]


@pytest.mark.parametrize(
    ("sentence", "is_carried"),
    [
        ("2 cars are left.", True),
        ("There are no cars left.", False),
        ("The car is not left.", False),
        ("A car is left, and no dog.", False),
        ("The patient is not awake.", True),
        ("The patient is awake.", False),
        ("The patient is quiet.", True),
        ("2 cars are left, the patient is not awake.", True),
        ("\u5de6\u8fb9\u6ca1\u6709\u6c7d\u8f66\u3002", False),
    ],
)
def test_what_denies_is_carried_by_what_denies(sentence: str, is_carried: bool) -> None:
    notes = [
        Note(0.0, 4.0, "objects", "2 cars left"),
        Note(0.0, 4.0, "objects", "1 dog right"),
        Note(4.0, 6.0, "speech", "The patient is not awake yet, but the patient is quiet."),
        Note(6.0, 8.0, "speech", "\u5de6\u8fb9\u6709\u6c7d\u8f66\u3002"),
    ]
    assert bool(Carriers("ab" * 32, (), notes).of(sentence)) == is_carried
