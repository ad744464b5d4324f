"""Themes: what comes back, and what marks a part."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentkit.testing import RecordedSession, stored_video
from agentkit.types import Note
from agentkit_media.material import gather
from agentkit_media.themes import PRIOR, Mark, Theme, log_odds, marks_of, parts_of, themes_of

VIDEO = stored_video("/gone/film.mp4", 80.0)
NOTES = [
    Note(1.0, 4.0, "speech", "The nuclear deal holds."),
    Note(12.0, 15.0, "speech", "Nobody liked the nuclear deal at first."),
    Note(41.0, 44.0, "speech", "Every nuclear deal needs trust."),
    Note(50.0, 53.0, "speech", "Boats sail from the harbour."),
    Note(61.0, 64.0, "speech", "In the harbour the boats wait."),
    Note(70.0, 72.0, "ocr", "WEATHER"),
]


def test_what_comes_back_is_a_theme_with_its_best_moments() -> None:
    material = gather(VIDEO, RecordedSession([VIDEO], {VIDEO.video_id: NOTES}))
    assert themes_of(material) == [
        Theme(("nuclear deal",), 3, 3 / 8, (NOTES[0], NOTES[1], NOTES[2])),
        Theme(("boat", "harbour"), 2, 2 / 8, (NOTES[3], NOTES[4])),
    ]


def test_what_marks_each_half() -> None:
    notes = [
        Note(n.start_s + shift, n.start_s + shift + 0.1, n.kind, n.text)
        for shift in (0.0, 1.0, 2.0, 3.0)
        for n in NOTES
    ]
    material = gather(VIDEO, RecordedSession([VIDEO], {VIDEO.video_id: notes}))
    first, second = marks_of(material, [(0.0, 48.0), (48.0, 80.0)])
    assert isinstance(first, Mark)
    assert first.terms == ("deal", "nuclear")
    assert second.terms[:2] == ("boat", "harbour")
    assert all(moment.end_s <= 48.0 for moment in first.moments)
    assert all(moment.start_s >= 48.0 for moment in second.moments)


def test_log_odds_are_those_of_the_paper() -> None:
    """By hand: 3 of 4 words here, 1 of 4 there; the prior is 10 words of the same shares."""
    here, there = Counter(a=3, b=1), Counter(a=1, b=3)
    prior = PRIOR * 4 / 8
    odds = math.log((3 + prior) / (4 + PRIOR - 3 - prior))
    other = math.log((1 + prior) / (4 + PRIOR - 1 - prior))
    deviation = math.sqrt(1 / (3 + prior) + 1 / (1 + prior))
    assert math.isclose(log_odds(here, there)["a"], (odds - other) / deviation)


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=1))
def test_what_is_said_everywhere_marks_nothing(counts: dict[str, int]) -> None:
    here = Counter(counts)
    assert all(abs(score) < 1e-9 for score in log_odds(here, here).values())


def test_parts_are_the_scenes_where_they_are_neither_one_nor_many() -> None:
    scenes = [(0.0, 30.0), (30.0, 80.0)]
    assert parts_of(80.0, scenes) == scenes
    equal = [(10.0 * i, 10.0 * (i + 1)) for i in range(8)]
    assert parts_of(80.0, [(0.0, 80.0)]) == equal
    assert parts_of(80.0, [(float(i), float(i + 1)) for i in range(80)]) == equal


def test_nothing_said_has_no_theme() -> None:
    material = gather(VIDEO, RecordedSession([VIDEO]))
    assert themes_of(material) == []
    assert marks_of(material, [(0.0, 40.0), (40.0, 80.0)]) == []
