"""A drawn film of several shots with given notes: scenes, moods, links."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import Note, StoredVideo
from agentkit_media.breakdown import break_down, segments_of
from agentkit_media.counts import most_of_each, people_in
from agentkit_media.mood import MOODS, NEUTRAL, SPEAKS_FOR, Mood
from agentkit_media.words import pairs_of, phrases_of, words_of

SIZE = (128, 72)
BEACH, ROOM, NIGHT = (60, 140, 230), (200, 150, 90), (14, 14, 26)


def picture(colour: tuple[int, int, int], variant: int) -> np.ndarray:
    """Return a picture of one place: its colour, the left or the right of it in shadow."""
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    image[:] = colour
    image[5:67, 4 + 64 * variant : 60 + 64 * variant] = [c * 6 // 10 for c in colour]
    return image


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> StoredVideo:
    """Two shots of a beach, the first again; two of a room; a night after a fade."""
    plan = [(BEACH, 0), (BEACH, 1), (BEACH, 0), (ROOM, 0), (ROOM, 1)]

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> np.ndarray:
        shot = number // 50
        if shot < len(plan):
            light = np.interp(number, [225, 250], [1.0, 0.0])
            return (picture(*plan[shot]) * light).round().astype(np.uint8)
        light = np.interp(number, [255, 275], [0.0, 1.0])
        return (picture(NIGHT, 0) * light).round().astype(np.uint8)

    folder = tmp_path_factory.mktemp("film")
    return stored_video(make_video(folder / "f.mp4", seconds=14, fps=25, size_px=SIZE, draw=draw))


def session_of(film: StoredVideo, notes: list[Note]) -> RecordedSession:
    return RecordedSession([film], {film.video_id: notes})


NOTES = [
    Note(0.0, 4.0, "scene", "beach", 0.6),
    Note(4.0, 6.0, "scene", "beach", 0.6),
    Note(0.0, 4.0, "objects", "2 people left and centre", 0.8),
    Note(4.0, 6.0, "objects", "3 people across", 0.8),
    Note(0.0, 4.0, "objects", "1 dog right", 0.8),
    Note(6.0, 10.0, "scene", "library", 0.5),
    Note(6.0, 10.0, "scene", "desk", 0.5),
    Note(6.5, 7.5, "speech", "My name is Ann Lee and I love this library.", 0.9),
    Note(7.6, 8.6, "speech", "What a wonderful day!", 0.9),
    Note(7.0, 8.0, "ocr", "READING ROOM", 0.99),
    Note(8.0, 10.0, "ocr", "READING ROOM", 0.99),
]


def test_scenes_of_the_film(film: StoredVideo) -> None:
    found = break_down(film, session_of(film, NOTES))
    assert [shot.begins for shot in found.material.shots] == ["start", *["cut"] * 4, "fade"]
    beach, room, night = found.scenes
    assert [len(scene.shots) for scene in found.scenes] == [3, 2, 1]
    assert [scene.start_s for scene in found.scenes] == [0.0, 6.0, pytest.approx(10.2, abs=0.3)]
    assert (beach.place, beach.doors, beach.people, beach.things) == (
        "beach",
        "EXT.",
        3,
        ("1 dog",),
    )
    assert (room.place, room.doors, room.tags) == ("library", "INT.", ("desk",))
    assert room.names == ("Ann Lee",)
    assert [note.text for note in room.dialogue] == [NOTES[7].text, NOTES[8].text]
    assert [(note.text, note.end_s) for note in room.written] == [("READING ROOM", 10.0)]
    assert room.mood == Mood("cheerful", ("warm", "colourful", "glad_words"))
    assert (night.place, night.people, night.motion) == ("", 0, "still")
    assert night.mood == Mood("sombre", ("dark", "still"))
    assert beach.motion == "still"


def test_one_thing_alone_makes_no_mood() -> None:
    video = stored_video("/gone/film.mp4", 20.0)
    glad = Note(1.0, 3.0, "speech", "A wonderful day, my love.")
    (scene,) = break_down(video, session_of(video, [glad])).scenes
    assert scene.mood == Mood("neutral", ())


def test_segments_are_the_scenes_and_fill_the_film(film: StoredVideo) -> None:
    parts = segments_of(film, session_of(film, NOTES))
    assert [part.text for part in parts] == [
        "Scene 1: beach, 3 people",
        "Scene 2: library, Ann Lee",
        "Scene 3",
    ]
    assert parts[0].start_s == 0.0
    assert parts[-1].end_s == film.duration_s
    assert [part.end_s for part in parts[:-1]] == [part.start_s for part in parts[1:]]


def test_a_sentence_over_a_cut_links_its_sides(film: StoredVideo) -> None:
    over = Note(5.0, 7.5, "speech", "And so we went from the sea into the house.")
    linked = break_down(film, session_of(film, [over])).scenes
    apart = break_down(film, session_of(film, [])).scenes
    assert [len(scene.shots) for scene in linked] == [5, 1]
    assert [len(scene.shots) for scene in apart] == [3, 2, 1]


def test_a_note_of_several_sentences_links_nothing(film: StoredVideo) -> None:
    over = Note(0.5, 11.0, "speech", "All of it, and more. " * 8)
    assert [len(s.shots) for s in break_down(film, session_of(film, [over])).scenes] == [3, 2, 1]


def test_no_link_passes_a_fade(film: StoredVideo) -> None:
    over = Note(8.0, 13.0, "speech", "This goes on and on.")
    assert len(break_down(film, session_of(film, [over])).scenes[-1].shots) == 1


def test_likeness_decides(film: StoredVideo) -> None:
    session = session_of(film, [])
    session.options = {"scene_likeness": 1.0}
    assert [len(scene.shots) for scene in break_down(film, session).scenes] == [3, 1, 1, 1]
    session.options = {"scene_likeness": 0.0}
    assert [len(scene.shots) for scene in break_down(film, session).scenes] == [5, 1]


def test_nothing_is_made_twice(film: StoredVideo) -> None:
    session = session_of(film, NOTES)
    assert break_down(film, session) == break_down(film, session)
    assert set(session.made.values()) == {1}


def test_counts_are_read_back() -> None:
    notes = [
        Note(0, 4, "objects", text)
        for text in (
            "2 people left and centre",
            "1 person right",
            "3 buses",
            "1 bus",
            "2 wine glasses",
        )
    ]
    assert most_of_each(notes) == {
        "person": (2, "2 people"),
        "bus": (3, "3 buses"),
        "wine glass": (2, "2 wine glasses"),
    }
    assert people_in(notes) == 2
    assert people_in([Note(0, 4, "speech", "2 people")]) == 0


def test_words() -> None:
    text = "The cities' best Negotiations, and the wolves' city!"
    assert words_of(text) == ["city", "best", "negotiation", "wolve", "city"]
    assert words_of("我们讨论核武器问题") == ["讨论", "论核", "核武", "武器", "器问", "问题"]
    assert pairs_of("的核武器") == ["核武", "武器"]
    assert phrases_of("A nuclear deal, the nuclear deals") == ["nuclear deal", "nuclear deal"]


def test_every_fact_speaks_for_a_known_mood() -> None:
    assert {mood for moods in SPEAKS_FOR.values() for mood in moods} == set(MOODS)
    assert NEUTRAL not in MOODS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from(["cut"])), max_size=12))
def test_scenes_fill_any_video_without_a_gap(cuts: list[tuple[float, str]]) -> None:
    video = stored_video("/gone/film.mp4", 64.0)
    notes = [Note(at_s, at_s, "shot", text) for at_s, text in cuts]
    scenes = break_down(video, session_of(video, notes)).scenes
    assert scenes[0].start_s == 0.0
    assert scenes[-1].end_s == 64.0
    assert all(a.end_s == b.start_s for a, b in pairwise(scenes))


def test_the_path_is_only_for_pictures(tmp_path: Path) -> None:
    """Without its file a video still has scenes, and says why they are not exact."""
    video = stored_video(tmp_path / "gone.mp4", 20.0)
    found = break_down(video, session_of(video, [Note(9.0, 9.0, "shot", "cut"), *NOTES]))
    assert not found.material.found.exact
    assert [(scene.start_s, scene.end_s) for scene in found.scenes] == [(0.0, 9.0), (9.0, 20.0)]
