"""Highlights of drawn films and given notes, and scores read from the screen."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.testing import RecordedSession, make_video, stored_video, tone
from agentkit.types import Note, StoredVideo
from agentkit_media.breakdown import break_down
from agentkit_media.highlights import Highlight, Highlights, Reason, emphasised, suppressed
from agentkit_media.scoreboard import Change, changes, score_in
from agentkit_media.sound import ROOM_DB, rises

SIZE = (128, 72)


@pytest.fixture(scope="module")
def match(tmp_path_factory: pytest.TempPathFactory) -> StoredVideo:
    """A still picture of 60 s; at 20 s all moves for three seconds, at 40 s it roars."""

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> np.ndarray:
        image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        if 20 <= time_s < 23:
            across = (np.arange(SIZE[0]) // 8 + number) % 2
            image[:] = (60 + 60 * across)[None, :, None].astype(np.uint8)
        return image

    quiet = tone(300, 60.0) * 0.02
    roar = tone(200, 43.0, start_s=40.0)
    quiet[: len(roar)] += roar * 0.9
    folder = tmp_path_factory.mktemp("match")
    path = make_video(folder / "m.mp4", seconds=60, fps=10, size_px=SIZE, draw=draw, sound=quiet)
    return stored_video(path)


KEPT: dict[tuple[str, str, str], str] = {}  # what was seen in the frames does not change


def found(video: StoredVideo, notes: list[Note], **options: object) -> Highlights:
    session = RecordedSession([video], {video.video_id: notes}, options=options, _kept=KEPT)
    return break_down(video, session).highlights


def test_motion_and_sound_stand_out(match: StoredVideo) -> None:
    moving, loud = found(match, []).moments
    assert moving.start_s <= 20.5 <= moving.peak_s <= 23.0 <= moving.end_s + 0.5
    assert [reason.sign for reason in moving.reasons] == ["motion"]
    assert loud.start_s <= 40.5 <= loud.peak_s <= 43.0 <= loud.end_s + 0.5
    assert [reason.sign for reason in loud.reasons] == ["sound"]
    assert loud.reasons[0].detail.endswith(" dB")


def test_the_best_are_kept_and_in_order(match: StoredVideo) -> None:
    best = found(match, [], highlights=1).moments
    both = found(match, []).moments
    assert best == (max(both, key=lambda moment: moment.score),)
    assert list(both) == sorted(both, key=lambda moment: moment.start_s)


def test_a_score_counts_only_in_sport(match: StoredVideo) -> None:
    notes = [
        Note(0.0, 52.0, "ocr", "ARS 1-0 CHE", 0.98),
        Note(52.0, 60.0, "ocr", "ARS 2-0 CHE", 0.98),
    ]
    assert found(match, notes) == found(match, [])
    goal = found(match, notes, sport=True).moments[-1]
    assert goal.start_s == pytest.approx(42.0, abs=2.0)
    assert 50.0 <= goal.end_s <= 54.0
    assert goal.reasons[0] == Reason("score", goal.reasons[0].share, "1-0 → 2-0")
    assert goal.reasons[0].share > 0.8


def test_words_and_people_stand_out_too(match: StoredVideo) -> None:
    notes = [
        Note(0.0, 60.0, "objects", "1 person centre"),
        Note(8.0, 12.0, "objects", "4 people across"),
        Note(8.0, 11.0, "speech", "Unbelievable! What a goal!"),
    ]
    moment = found(match, notes).moments[0]
    assert moment.start_s <= 9.0 <= moment.end_s <= 13.0
    assert {(r.sign, r.detail) for r in moment.reasons} == {
        ("words", "unbelievable, goal"),
        ("people", "4"),
    }


def test_a_video_of_nothing_has_no_highlight(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "v.mp4",
        seconds=10,
        size_px=SIZE,
        draw=lambda n, t, s: np.full((SIZE[1], SIZE[0], 3), 90, np.uint8),
    )
    assert found(stored_video(path), []) == Highlights((), (0.0,) * 20)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("2-1", (2, 1)),
        ("2 : 1", (2, 1)),
        ("ARS 2 \u2013 1 CHE", (2, 1)),
        ("ARS 2 CHE 1", (2, 1)),
        ("102:98 LAL", (102, 98)),
        ("45:12", None),
        ("12:30:10", None),
        ("14-07-2015", None),
        ("Hello", None),
        ("1-2-3", None),
        ("50-50%", None),
        ("", None),
    ],
)
def test_scores_are_told_from_clocks_and_dates(text: str, score: tuple[int, int] | None) -> None:
    assert score_in(text) == score


def test_only_a_score_that_grows_and_stays_is_a_change() -> None:
    notes = [
        Note(0.0, 4.0, "ocr", "0-0"),
        Note(4.0, 8.0, "ocr", "8-0"),  # misread
        Note(8.0, 12.0, "ocr", "0-0"),
        Note(12.0, 16.0, "ocr", "1-0"),  # for a moment only
        Note(16.0, 20.0, "ocr", "0-0"),
        Note(20.0, 40.0, "ocr", "1-0"),
        Note(40.0, 44.0, "ocr", "0-0"),  # the replay
        Note(40.0, 52.0, "ocr", "9-0"),  # misread for long
        Note(44.0, 46.0, "ocr", "1-1"),
        Note(50.0, 52.0, "ocr", "1-1"),
    ]
    assert changes(notes) == [
        Change((0, 0), (1, 0), notes[5]),
        Change((1, 0), (1, 1), notes[8]),
    ]


def test_of_moments_that_overlap_the_better_stays() -> None:
    best, over, apart = (
        Highlight(start_s, start_s + 5.0, start_s + 2, score, ())
        for start_s, score in ((10.0, 9.0), (12.0, 8.0), (15.0, 3.0))
    )
    assert suppressed([best, over, apart]) == [best, apart]


def test_words_of_emphasis() -> None:
    assert emphasised("Wow, what a goal! 太棒了") == ["wow", "goal", "太棒"]
    assert emphasised("A quiet day") == []


LEVELS = st.lists(st.floats(-70, 0), min_size=1, max_size=80)


@settings(max_examples=40)
@given(LEVELS, st.floats(1, 40))
def test_a_rise_is_over_the_median_around(levels: list[float], window_s: float) -> None:
    reach = round(window_s / 0.5 / 2)
    slow = []
    for place in range(len(levels)):
        around = sorted(levels[i] for i in range(len(levels)) if abs(i - place) <= reach)
        half = len(around) // 2
        middle = around[half] if len(around) % 2 else (around[half - 1] + around[half]) / 2
        slow.append(levels[place] - max(middle, ROOM_DB))
    assert rises(levels, window_s) == slow


NOTE = st.builds(
    lambda start, length, kind, text: Note(start, start + length, kind, text),
    st.floats(0, 60),
    st.floats(0, 9),
    st.sampled_from(["speech", "objects", "ocr", "shot"]),
    st.sampled_from(["Wow!", "3 people across", "2-1", "3-1", "cut", ""]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(NOTE, max_size=15), st.integers(1, 5))
def test_highlights_are_few_inside_and_apart(notes: list[Note], count: int) -> None:
    video = stored_video("/gone/film.mp4", 64.0)
    given = found(video, notes, highlights=count, sport=True)
    assert len(given.moments) <= count
    assert len(given.curve) == 128
    assert all(0 <= value <= 10 for value in given.curve)
    assert all(0 <= m.start_s < m.end_s <= 64.0 for m in given.moments)
    assert all(a.end_s <= b.start_s for a, b in pairwise(given.moments))
