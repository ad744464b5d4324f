"""What is blurred stays blurred: a box keeps a few means, everything else keeps its pixels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit.blurring import BLOCKS, Box, block_means, blur, edges, pixels_of
from agentkit.testing import RecordedSession

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
SHARES = st.floats(-0.3, 1.3)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted((draw(SHARES), draw(SHARES)))
    top, bottom = sorted((draw(SHARES), draw(SHARES)))
    return left, top, right, bottom


def picture(size_px: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size_px, 3), dtype=np.uint8)


def shuffled_in_blocks(part: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Return another part with the same means: the pixels of each block in another order."""
    rng, other = np.random.default_rng(seed), part.copy()
    across, down = edges(part.shape[1], part.shape[0])
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            block = part[top:bottom, left:right].reshape(-1, 3)
            other[top:bottom, left:right] = rng.permutation(block).reshape(
                bottom - top, right - left, 3
            )
    return other


@given(SIZES, boxes(), st.integers(0, 99), st.floats(0, 0.5))
def test_a_box_depends_on_its_means_alone_and_outside_nothing_changes(
    size_px: tuple[int, int], box: Box, seed: int, margin: float
) -> None:
    image = picture(size_px, seed)
    left, top, right, bottom = pixels_of(box, size_px[1], size_px[0], margin)
    inside = np.zeros(size_px, bool)
    inside[top:bottom, left:right] = True
    blurred = blur(image, [box], margin)
    assert (blurred[~inside] == image[~inside]).all()
    if inside.any():
        other = image.copy()
        other[top:bottom, left:right] = shuffled_in_blocks(image[top:bottom, left:right], seed)
        assert (blur(other, [box], margin) == blurred).all()


@given(st.integers(1, 500), st.integers(1, 500))
def test_no_more_blocks_than_promised(width_px: int, height_px: int) -> None:
    across, down = edges(width_px, height_px)
    assert max(len(across), len(down)) - 1 <= BLOCKS
    assert (across[0], across[-1], down[0], down[-1]) == (0, width_px, 0, height_px)
    assert (np.diff(across) > 0).all()
    assert (np.diff(down) > 0).all()


def test_means_are_those_of_the_slow_way() -> None:
    part = picture((37, 61), 3)
    across, down = edges(61, 37)
    slow = [
        [
            part[top:bottom, left:right].reshape(-1, 3).mean(axis=0)
            for left, right in pairwise(across)
        ]
        for top, bottom in pairwise(down)
    ]
    assert np.abs(block_means(part) - np.array(slow)).max() <= 0.5


def test_a_line_of_text_keeps_one_row_of_colours() -> None:
    across, down = edges(600, 40)
    assert (len(across) - 1, len(down) - 1) == (BLOCKS, 1)


def test_the_picture_given_is_left_as_it_was() -> None:
    image = picture((40, 40), 1)
    before = image.copy()
    assert (blur(image, [(0.2, 0.2, 0.8, 0.8)]) != before).any()
    assert (image == before).all()


def test_plugins_blur_through_the_session() -> None:
    images, boxes = [picture((30, 40), 1), picture((20, 20), 2)], [[(0.1, 0.1, 0.6, 0.6)], []]
    session = RecordedSession([])
    blurred = session.blur(images, boxes)
    assert (blurred[0] == blur(images[0], boxes[0])).all()
    assert (blurred[1] == images[1]).all()
    with pytest.raises(ValueError, match="shorter"):
        session.blur(images, boxes[:1])


@pytest.mark.parametrize(
    "box", [(0.5, 0.1, 0.4, 0.2), (0.1, 0.5, 0.2, 0.4), (float("nan"), 0, 1, 1), (0, 0, np.inf, 1)]
)
def test_what_is_no_box_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="is no box"):
        blur(picture((9, 9), 0), [box])


def test_a_margin_is_no_less_than_nothing() -> None:
    with pytest.raises(ValueError, match="margin"):
        blur(picture((9, 9), 0), [(0, 0, 1, 1)], -0.1)
