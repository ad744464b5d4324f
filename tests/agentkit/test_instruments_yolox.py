"""The detector's arithmetic against its slow twin and its own inverse."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentkit.instruments import yolox
from agentkit.instruments.yolox import Boxes

CORNER = st.floats(0, 100, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    count = draw(st.integers(0, 12))
    rows = draw(st.lists(st.tuples(CORNER, CORNER, CORNER, CORNER), min_size=count, max_size=count))
    corners = np.array(rows, dtype=np.float32).reshape(-1, 4)
    corners[:, 2:] = corners[:, :2] + corners[:, 2:] + 1
    classes = np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), int)
    scores = np.linspace(0.9, 0.3, count, dtype=np.float32)
    return Boxes(corners, scores, classes)


def slow_iou(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = float(max(width, 0) * max(height, 0))
    areas = [float((b[2] - b[0]) * (b[3] - b[1])) for b in (one, other)]
    return shared / (sum(areas) - shared)


def slow_suppress(found: Boxes, same: float, others: float) -> list[int]:
    """Take the best box, strike those too near to it, and again."""
    left, kept = list(range(len(found))), []
    while left:
        best, *rest = left
        kept.append(best)
        left = [
            i
            for i in rest
            if slow_iou(found.corners[best], found.corners[i])
            <= (same if found.classes[i] == found.classes[best] else others) + 1e-6
        ]
    return kept


@given(boxes(), st.sampled_from([0.2, 0.45, 0.7]), st.sampled_from([0.8, 1.0]))
def test_suppression_equals_the_slow_way(found: Boxes, same: float, others: float) -> None:
    kept = yolox.suppress(found, same, others)
    expected = found[np.array(slow_suppress(found, same, others), dtype=int)]
    np.testing.assert_array_equal(kept.corners, expected.corners)
    np.testing.assert_array_equal(kept.classes, expected.classes)


@given(st.integers(20, 900), st.integers(20, 900), st.data())
def test_a_box_comes_back_from_the_letterbox(width: int, height: int, data: st.DataObject) -> None:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    pixels, scale = yolox.letterbox(image)
    assert pixels.shape == (1, 3, 416, 416)
    shares = np.sort(
        np.array([data.draw(st.floats(0, 1, width=32)) for _ in range(4)]).reshape(2, 2), axis=0
    ).reshape(1, 4)
    corners = shares * np.array([width, height, width, height]) * scale
    back = yolox.shares_of_frame(corners.astype(np.float32), scale, image)
    np.testing.assert_allclose(back, shares, atol=1e-5)


def test_the_letterbox_is_bgr_with_grey_to_the_right_and_below() -> None:
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    image[:] = (250, 100, 50)
    pixels, scale = yolox.letterbox(image)
    assert scale == 416 / 200
    assert pixels[0, :, 100, 100].tolist() == [50, 100, 250]
    assert pixels[0, :, 300, 100].tolist() == [114, 114, 114]


def test_a_box_is_decoded_from_its_cell() -> None:
    cells = yolox.grid()
    assert cells.shape == (52 * 52 + 26 * 26 + 13 * 13, 3)
    raw = np.zeros((len(cells), 85), dtype=np.float32)
    # In the grid of stride 16: column 5, row 3; the middle 1/2 and 1/4 of a cell further.
    place = 52 * 52 + 3 * 26 + 5
    raw[place, :5] = (0.5, 0.25, np.log(4), np.log(2), 0.9)
    raw[place, 5 + 2] = 0.8
    found = yolox.decode(raw, cells, threshold=0.5)
    np.testing.assert_allclose(found.corners, [[56, 36, 120, 68]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.72], rtol=1e-5)
    assert found.classes.tolist() == [2]


def test_the_best_box_comes_first_and_the_weak_ones_stay_out() -> None:
    cells = yolox.grid()
    raw = np.zeros((len(cells), 85), dtype=np.float32)
    for place, score in ((10, 0.6), (500, 0.9), (900, 0.3)):
        raw[place, 4], raw[place, 5] = score, 1.0
    np.testing.assert_allclose(yolox.decode(raw, cells, 0.5).scores, [0.9, 0.6], rtol=1e-6)
