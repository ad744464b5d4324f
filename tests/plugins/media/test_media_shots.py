"""Shots of drawn videos whose cuts are known, to the frame."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import Note
from agentkit_media.frames import Seen, seen
from agentkit_media.options import Options
from agentkit_media.shots import Shot, fades, shots_of, starts_of

Picture = np.ndarray
SIZE = (128, 72)
NTSC_FILM = Fraction(24000, 1001)


def picture(seed: int) -> Picture:
    """Return a picture unlike those of other seeds: blocks of colours of its own."""
    blocks = np.random.default_rng(seed).integers(30, 230, (6, 8, 3), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, SIZE[1] // 6, axis=0), SIZE[0] // 8, axis=1)


def drawn(level_of: Callable[[int], tuple[int, float]]) -> Callable[..., Picture]:
    """Draw picture `seed` at `light`, 0..1 dark to plain, 1..2 to white; moved a little."""

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> Picture:
        seed, light = level_of(number)
        shown = np.roll(picture(seed), number % 3, axis=1).astype(np.float64)
        lit = shown * light if light <= 1 else shown + (255 - shown) * (light - 1)
        return lit.round().astype(np.uint8)

    return draw


def cuts_at(frames: Sequence[int]) -> Callable[[int], tuple[int, float]]:
    return lambda number: (sum(number >= frame for frame in frames) + 1, 1.0)


def found(
    path: Path, options: Options | None = None, piece_s: float = 60.0
) -> list[tuple[int, str]]:
    video = stored_video(path)
    made = shots_of(video, RecordedSession([video]), options or Options(), piece_s)
    assert made.exact
    return [(shot.first_frame, shot.begins) for shot in made.shots]


@pytest.mark.parametrize("fps", [NTSC_FILM, 25, 30, 60])
def test_cuts_are_found_to_the_frame(tmp_path: Path, fps: int | Fraction) -> None:
    cuts = [31, 52, 90, 119]
    path = make_video(
        tmp_path / "cuts.mp4",
        seconds=float(150 / fps),
        fps=fps,
        size_px=SIZE,
        draw=drawn(cuts_at(cuts)),
    )
    assert found(path) == [(0, "start"), *((cut, "cut") for cut in cuts)]
    video = stored_video(path)
    shots = shots_of(video, RecordedSession([video]), Options()).shots
    assert [s.start_s for s in shots] == pytest.approx([float(c / fps) for c in (0, *cuts)])
    assert [s.after_frame for s in shots] == [*cuts, 150]


def test_shots_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "v.mp4", seconds=4, fps=25, size_px=SIZE, draw=drawn(cuts_at([30, 60]))
    )
    video = stored_video(path)
    assert shots_of(video, RecordedSession([video]), Options()).shots == (
        Shot(1, 0.0, 1.2, 0, 30, "start"),
        Shot(2, 1.2, 2.4, 30, 60, "cut"),
        Shot(3, 2.4, video.duration_s, 60, 100, "cut"),
    )


@pytest.mark.parametrize("end", [0.0, 2.0], ids=["black", "white"])
@pytest.mark.parametrize("fps", [25, 60])
def test_a_fade_is_one_change_in_the_middle_of_its_dark(
    tmp_path: Path, end: float, fps: int
) -> None:
    def level(number: int) -> tuple[int, float]:
        """Frames 30 to 50 go, 50 to 60 are gone, 60 to 80 come back."""
        share = np.interp(number, [30, 50, 60, 80], [1.0, end, end, 1.0])
        return (1 if number < 55 else 2, float(share))

    path = make_video(
        tmp_path / "fade.mp4", seconds=120 / fps, fps=fps, size_px=SIZE, draw=drawn(level)
    )
    (start, middle) = found(path)
    assert start == (0, "start")
    assert middle[1] == "fade"
    assert abs(middle[0] - 55) <= 1


def test_a_cut_to_black_and_back_is_no_fade(tmp_path: Path) -> None:
    def level(number: int) -> tuple[int, float]:
        return (1, 1.0) if number < 40 else (2, 0.0) if number < 60 else (3, 1.0)

    path = make_video(tmp_path / "v.mp4", seconds=4, fps=25, size_px=SIZE, draw=drawn(level))
    assert found(path) == [(0, "start"), (40, "cut"), (60, "cut")]


def test_a_film_that_begins_dark_begins_with_one_shot(tmp_path: Path) -> None:
    def level(number: int) -> tuple[int, float]:
        return 1, float(np.interp(number, [20, 40], [0.0, 1.0]))

    path = make_video(tmp_path / "v.mp4", seconds=4, fps=25, size_px=SIZE, draw=drawn(level))
    assert found(path) == [(0, "start")]


def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    def level(number: int) -> tuple[int, float]:
        return (1 if number < 70 else 2), 1.9 if number in (30, 31, 32) else 1.0

    path = make_video(tmp_path / "v.mp4", seconds=4, fps=25, size_px=SIZE, draw=drawn(level))
    assert found(path) == [(0, "start"), (70, "cut")]
    assert len(found(path, Options(flash_s=0.0, min_shot_s=0.0))) > 2


def test_a_moving_picture_is_one_shot(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", seconds=4, fps=25, size_px=SIZE)
    assert found(path) == [(0, "start")]


def test_pieces_make_what_one_pass_makes(tmp_path: Path) -> None:
    """Cuts and a flash on and around the borders of pieces of one second."""
    cuts = [24, 50, 76, 101, 127]

    def level(number: int) -> tuple[int, float]:
        seed, light = cuts_at(cuts)(number)
        return seed, 1.9 if number in (149, 150) else light

    path = make_video(tmp_path / "v.mp4", seconds=8, fps=25, size_px=SIZE, draw=drawn(level))
    video = stored_video(path)
    session = RecordedSession([video])
    whole, pieces = (seen(video, session, Options(), piece_s) for piece_s in (60.0, 1.0))
    assert session.made == {
        "media/frames/60/0": 1,
        **{f"media/frames/1/{number}": 1 for number in range(8)},
    }
    assert len(whole.times_s) == 200
    assert whole.cuts == tuple(cuts)
    assert pieces == whole
    assert len(whole.looks) == 16 + 6  # two a second, and at each cut and the flash


def test_a_killed_pass_goes_on_where_it_was(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "v.mp4", seconds=4, fps=25, size_px=SIZE, draw=drawn(cuts_at([30]))
    )
    video = stored_video(path)
    session = RecordedSession([video])
    seen(video, session, Options(), 2.0)
    again = RecordedSession([video], _kept={k: v for k, v in session._kept.items() if "/0" in k[1]})
    assert seen(video, again, Options(), 2.0) == seen(video, session, Options(), 2.0)
    assert again.made == {"media/frames/2/1": 1}


def test_without_the_file_the_noted_changes_stand_in() -> None:
    video = stored_video("/gone/film.mp4", 20.0)
    notes = [Note(5.0, 5.0, "shot", "cut"), Note(12.0, 12.0, "shot", "cut")]
    made = shots_of(video, RecordedSession([video], {video.video_id: notes}), Options())
    assert made.shots == (
        Shot(1, 0.0, 5.0, 0, 125, "start"),
        Shot(2, 5.0, 12.0, 125, 300, "noted"),
        Shot(3, 12.0, 20.0, 300, 500, "noted"),
    )
    assert not made.exact
    assert "/gone/film.mp4" in made.reason


LEVELS = st.lists(st.sampled_from([0.0, 3.0, 8.0, 11.9, 12.0, 40.0, 120.0, 255.0]), max_size=60)


@settings(max_examples=60)
@given(LEVELS)
@example([255.0, 120.0, 40.0, 3.0])
@example([3.0, 40.0, 120.0, 255.0, 120.0, 40.0, 3.0, 40.0, 120.0, 255.0])
def test_fades_lie_in_order_and_inside(levels: list[float]) -> None:
    last = -1
    for begin, middle, end in fades(levels, 12.0):
        assert last <= begin <= end < len(levels)
        assert middle == 0 or begin <= middle <= end + 1
        last = begin


@settings(max_examples=60)
@given(LEVELS, st.sets(st.integers(1, 59), max_size=8), st.sampled_from([0.0, 0.1, 0.5]))
def test_no_shot_is_shorter_than_allowed(
    levels: list[float], cuts: set[int], shortest_s: float
) -> None:
    times_s = tuple(n / 25 for n in range(len(levels)))
    inside = tuple(sorted(cut for cut in cuts if cut < len(levels)))
    starts = starts_of(Seen(0, times_s, tuple(levels), inside, ()), Options(min_shot_s=shortest_s))
    frames = [frame for frame, _, _ in starts]
    assert frames == sorted(set(frames))
    assert all(b - a >= shortest_s * 25 - 1e-6 for a, b in pairwise(frames))
