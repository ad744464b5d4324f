"""Colours by name: focal colours, drawn things, and silence wherever there is doubt."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit import models
from agentkit.instruments import Instruments
from agentkit.instruments.colour_names import NAMES, names_of, oklch
from agentkit.instruments.colours import WHOLE, Colours, sampled, scaled
from agentkit.instruments.objects import Objects
from agentkit.instruments.shots import Shots
from agentkit.instruments.words import COCO_NAMES
from agentkit.instruments.yolox import Boxes
from agentkit.paths import home
from agentkit.types import FrameBatch, Note, SamplingPlan, VideoInfo
from agentkit.video import probe, sample

Image = NDArray[np.uint8]
Rgb = tuple[int, int, int]

VIDEO = VideoInfo("0" * 64, Path("drawn.mp4"), 60.0, (96, 64), 0, Fraction(1), 60, 1.0, False, "")
GREY, GREEN, SAND = (120, 120, 120), (60, 140, 50), (194, 178, 148)
BOX = (0.25, 0.25, 0.75, 0.75)


def name_of(colour: Rgb) -> str:
    return NAMES[names_of(np.array([colour], np.uint8))[0]]


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((15, 15, 15), "black"),
        ((250, 250, 248), "white"),
        ((128, 128, 128), "grey"),
        ((200, 20, 25), "red"),
        ((250, 140, 20), "orange"),
        ((110, 65, 35), "brown"),
        ((250, 215, 30), "yellow"),
        ((80, 120, 45), "green"),  # grass in shade
        ((60, 180, 75), "green"),
        ((30, 80, 200), "blue"),
        ((110, 180, 240), "blue"),  # the sky
        ((120, 40, 150), "purple"),
        ((250, 170, 190), "pink"),
    ],
)
def test_focal_colours_have_their_basic_term(colour: Rgb, name: str) -> None:
    assert name_of(colour) == name


@pytest.mark.parametrize(
    "colour",
    [(0, 130, 130), SAND, (225, 180, 155), (65, 65, 75), (210, 212, 215), (225, 75, 30)],
    ids=["teal", "sand", "skin", "dark", "light", "red or orange"],
)
def test_between_the_terms_there_is_no_name(colour: Rgb) -> None:
    assert name_of(colour) == ""


def test_oklab_is_that_of_its_author() -> None:
    # The three primaries of sRGB, as in CSS Color 4's samples.
    primaries = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    light, chroma, hue = oklch(primaries)
    np.testing.assert_allclose(light, [0.628, 0.866, 0.452], atol=1e-3)
    np.testing.assert_allclose(chroma, [0.258, 0.295, 0.313], atol=1e-3)
    np.testing.assert_allclose(hue, [29.23, 142.50, 264.05], atol=0.05)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_enough_samples_are_all_pixels(height_px: int, width_px: int, more: int) -> None:
    image = np.arange(height_px * width_px * 3).reshape(height_px, width_px, 3).astype(np.uint8)
    assert (sampled(image, WHOLE, 40 + more) == image.reshape(-1, 3)).all()
    assert len(sampled(image, WHOLE, more)) <= more * more


def test_a_box_is_scaled_about_its_middle_and_stays_inside() -> None:
    assert scaled((0.2, 0.4, 0.6, 0.8), 0.5) == pytest.approx((0.3, 0.5, 0.5, 0.7))
    assert scaled((0.0, 0.5, 1.0, 1.0), 2.0) == pytest.approx((0.0, 0.25, 1.0, 1.0))


def drawn(thing: Rgb, ground: Rgb, left: float = BOX[0]) -> Image:
    """A thing in the middle half of 96 x 64 pixels; a corner has a colour: no grey film."""
    image = np.full((64, 96, 3), ground, np.uint8)
    image[16:48, round(left * 96) : round(left * 96) + 48] = thing
    image[:4, :24] = (200, 20, 25)
    return image


def told(images: Sequence[Image], notes: Sequence[Note]) -> list[str]:
    batch = FrameBatch(0, np.stack(images), np.arange(float(len(images))), float(len(images)))
    return [note.text for note in Colours().observe(batch, True, notes)]


def seen(text: str = "1 car centre", end_s: float = 4.0, box: object = BOX) -> Note:
    return Note(0.0, end_s, "objects", text, 0.9, box)  # type: ignore[arg-type] # a box or None


BLUE = (30, 80, 200)


def test_a_thing_alone_of_its_kind_has_its_colour_time_and_box() -> None:
    batch = FrameBatch(0, np.stack([drawn(BLUE, SAND)] * 4), np.arange(4.0), 4.0)
    [note] = Colours().observe(batch, False, [seen()])
    assert note == Note(0.0, 4.0, "colours", "blue car", 1.0, BOX)


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (seen("1 person centre"), "clothes are several"),
        (seen("2 cars centre"), "the box is around both"),
        (seen("a car"), "no count"),
        (seen(box=None), "no box"),
        (seen(box=(0.4, 0.4, 0.5, 0.6)), "a few pixels"),
        (Note(0.0, 4.0, "goal", "1 car centre", 0.9, BOX), "no object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_notes_have_no_colour(note: Note, why: str) -> None:
    assert told([drawn(BLUE, SAND)] * 4, [note]) == []


def test_a_colour_that_is_around_the_thing_too_is_the_background() -> None:
    assert told([drawn(GREY, GREY)] * 4, [seen()]) == []
    assert told([drawn(GREY, SAND)] * 4, [seen()]) == ["grey car"]


def test_a_thing_that_leaves_its_box_or_changes_has_no_colour() -> None:
    moving = [drawn(BLUE, SAND, left) for left in (0.0, 0.25, 0.5, 0.5)]
    assert told(moving, [seen()]) == []
    assert told([drawn(BLUE, SAND)] * 3 + [drawn((200, 20, 25), SAND)], [seen()]) == []
    assert told([drawn(BLUE, SAND)] * 3 + [drawn(SAND, SAND)], [seen()]) == ["blue car"]


def test_a_thing_of_two_colours_has_none() -> None:
    image = drawn(BLUE, SAND)
    image[16:48, 24:48] = (250, 215, 30)
    assert told([image] * 4, [seen()]) == []


def test_what_is_black_for_want_of_light_is_not_black() -> None:
    assert told([drawn((15, 15, 15), (45, 45, 60))] * 4, [seen()]) == []
    assert told([drawn((15, 15, 15), SAND)] * 4, [seen()]) == ["black car"]
    assert told([np.full((64, 96, 3), 5, np.uint8)] * 4, [seen(box=WHOLE)]) == []


def test_a_film_without_colours_tells_no_grey() -> None:
    coloured = drawn((250, 250, 250), GREY)
    film = coloured.mean(axis=-1, keepdims=True).repeat(3, axis=-1).astype(np.uint8)
    assert told([coloured] * 4, [seen()]) == ["white car"]
    assert told([film] * 4, [seen()]) == []


def test_a_picture_has_a_colour_where_one_clearly_dominates() -> None:
    lawn = drawn(GREEN, GREEN)
    assert told([lawn] * 4, []) == ["largely green picture"]
    assert told([drawn(GREEN, SAND)] * 4, []) == []  # a quarter
    assert told([drawn(GREY, GREY)] * 4, []) == []


def test_each_shot_has_its_own_colours() -> None:
    images = [drawn(BLUE, SAND)] * 2 + [drawn((200, 20, 25), SAND)] * 2
    first, cut = seen(end_s=2.0), Note(2.0, 2.0, "shot", "cut")
    second = Note(2.0, 4.0, "objects", "1 car centre", 0.9, BOX)
    assert told(images, [cut, first, second]) == ["blue car", "red car"]
    assert told(images, [first, second]) == []  # without the cut neither is of this shot


def car_detector(image: Image) -> Boxes:
    """A detector that finds whatever is not sand in the middle row, as a car."""
    columns = np.flatnonzero((image[32] != SAND).any(axis=-1))
    corners = np.array([[columns[0] / 96, 0.25, (columns[-1] + 1) / 96, 0.75]], np.float32)
    return Boxes(corners, np.array([0.9], np.float32), np.array([COCO_NAMES.index("car")]))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from([BLUE, GREY, GREEN]), st.sampled_from([0.0, 0.25])),
        min_size=5,
        max_size=20,
    ),
    st.integers(1, 3),
)
def test_resumed_at_any_chunk_the_notes_are_the_same(
    frames: list[tuple[Rgb, float]], chunk_groups: int
) -> None:
    images = [drawn(colour, SAND, left) for colour, left in frames]
    groups = [
        FrameBatch(i // 2, np.stack(images[i : i + 2]), np.arange(i, i + len(images[i : i + 2])), i)
        for i in range(0, len(images), 2)
    ]

    def observed(batches: Sequence[FrameBatch]) -> list[list[Note]]:
        instruments = Instruments([Shots(), Objects(car_detector), Colours()])
        instruments.start(VIDEO)
        notes = [instruments.observe(b, b.index % chunk_groups == 0) for b in batches]
        assert instruments.missing == ()
        return notes

    whole = observed(groups)
    for first in range(chunk_groups, len(groups), chunk_groups):
        assert observed(groups[first - 1 :])[1:] == whole[first:]


@pytest.mark.real
@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("vtest.avi", {"white truck", "largely green picture"}),  # a white van before a lawn
        ("cup.mp4", {"black cell phone"}),  # a black cup, whatever the detector calls it
        ("bigbuckbunny.mp4", {"grey bird"}),  # a grey rabbit, likewise
        ("bikes.mp4", set()),  # a post and a fence in a grey street
        ("box.mp4", set()),  # a printed box
        ("tree.avi", set()),
    ],
)
def test_real_clips_have_these_colours_and_no_others(clip: str, expected: set[str]) -> None:
    if not models.available("yolox-nano"):
        pytest.skip(f"weights yolox-nano are not in {home() / 'models'}")
    path = home() / "clips" / clip
    if not path.exists():
        pytest.skip(f"{path} is not there; python examples/clips.py {clip}")
    info = probe(path)
    instruments = Instruments.load(["shots", "objects", "colours"])
    instruments.start(info)
    batches = (batch for batch in sample(info, SamplingPlan()) if batch.times_s[0] < 32)
    notes = [n for batch in batches for n in instruments.observe(batch, batch.index % 4 == 0)]
    assert instruments.missing == ()
    assert {note.text for note in notes if note.kind == "colours"} == expected
