"""Detectors for plugins: faces by CenterFace's maps, texts by a reader's boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from agentkit import models
from agentkit.blurring import blur
from agentkit.detecting import Detectors, detection
from agentkit.errors import UnknownNameError
from agentkit.instruments.faces import ROUND_PX, FaceConfig, decode, input_size
from agentkit.instruments.onnx_shapes import fields_of, without_shapes
from agentkit.paths import home
from agentkit.types import Detection
from agentkit.video import frames_at, probe


def maps(
    cells: dict[tuple[int, int], tuple[float, tuple[float, float], tuple[float, float]]],
) -> tuple[NDArray[np.float32], ...]:
    """Draw maps of 6 x 8 cells: (row, column) to (score, (height, width), (down, across))."""
    heat = np.zeros((6, 8), np.float32)
    size, offset = np.zeros((2, 6, 8), np.float32), np.zeros((2, 6, 8), np.float32)
    for (row, column), (score, (high, wide), (down, across)) in cells.items():
        heat[row, column] = score
        size[:, row, column] = np.log([high, wide])
        offset[:, row, column] = down, across
    return heat, size, offset


def test_a_face_lies_where_its_cell_says() -> None:
    found = decode(*maps({(2, 3): (0.9, (4.0, 2.0), (0.25, -0.5))}), 0.3)
    # middle: down (2 + 0.25 + 0.5) x 4 = 11, across (3 - 0.5 + 0.5) x 4 = 12; 16 high, 8 wide
    assert found.corners.tolist() == [[8.0, 3.0, 16.0, 19.0]]
    assert found.scores.tolist() == pytest.approx([0.9])


def test_faces_come_best_first_and_none_below_the_threshold() -> None:
    cells = {(0, 0): (0.4, (1, 1), (0, 0)), (5, 7): (0.8, (1, 1), (0, 0))}
    cells[3, 3] = (0.29, (1, 1), (0, 0))
    found = decode(*maps(cells), 0.3)
    assert found.scores.tolist() == pytest.approx([0.8, 0.4])
    assert found.corners[0].tolist() == [28.0, 20.0, 32.0, 24.0]


def test_an_empty_picture_has_no_face() -> None:
    assert len(decode(*maps({}), 0.3)) == 0


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_a_picture_is_brought_to_whole_cells(height_px: int, width_px: int) -> None:
    config = FaceConfig()
    size = input_size(height_px, width_px, config)
    assert all(side > 0 and side % ROUND_PX == 0 for side in size)
    assert config.shortest_px <= max(size) <= config.longest_px


def field(number: int, value: bytes | int) -> bytes:
    """Write one protobuf field; numbers and lengths under 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def described(name: bytes, shape: bytes = b"") -> bytes:
    """Write a value's description: its name, and its tensor type with a shape."""
    tensor = field(1, 1) + (field(2, shape) if shape else b"")
    return field(1, name) + field(2, field(1, tensor))


def test_only_shapes_of_pictures_and_outputs_are_opened() -> None:
    shape = field(1, field(1, 32))

    def network(picture: bytes, output: bytes, between: bytes) -> bytes:
        graph = field(2, b"graph") + field(11, picture) + field(11, described(b"w", shape))
        return field(1, 7) + field(7, graph + field(12, output) + between) + field(2, b"torch")

    fixed = network(
        described(b"in", shape), described(b"out", shape), field(13, described(b"x", shape))
    )
    free = network(described(b"in"), described(b"out"), b"")
    assert without_shapes(fixed, ("in",)) == free


@given(st.binary(max_size=60))
def test_bytes_are_read_as_fields_or_refused(message: bytes) -> None:
    try:
        total = sum(len(value) for _, _, value in fields_of(message))
    except ValueError:
        return
    assert total <= len(message)


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'faces'"):
        Detectors(1)([], "facez")  # type: ignore[arg-type]


def test_corners_outside_the_picture_are_cut() -> None:
    assert detection("face", 0.51234, (-0.1, 0.2, 1.2, 0.7)) == Detection(
        "face", 0.5123, (0.0, 0.2, 1.0, 0.7)
    )


@pytest.mark.real
def test_two_faces_are_found_and_no_more_once_they_are_blurred() -> None:
    if not models.available("centerface"):
        pytest.skip("weights centerface are not there")
    path = home() / "clips" / "obama_speech.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not there; python examples/clips.py obama_speech.mp4")
    (image,) = frames_at(probe(path), [8.0])
    detectors = Detectors(1)
    (found,) = detectors([image], "faces")
    middles = sorted(
        ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2) for face in found
    )
    # the one who is told and the one who speaks, as seen in the picture
    assert np.abs(np.array(middles) - [[0.27, 0.32], [0.61, 0.22]]).max() < 0.03
    assert min(face.score for face in found) > 0.8
    (left,) = detectors([blur(image, [face.box for face in found])], "faces")
    assert left == []


@pytest.mark.real
def test_a_line_of_text_is_found_where_it_stands() -> None:
    pytest.importorskip("rapidocr", reason="extra 'ocr' is not installed")
    canvas = Image.new("RGB", (640, 360), (20, 60, 30))
    ImageDraw.Draw(canvas).text((200, 150), "Patient 0815", (255, 255, 255), font_size=40)
    shown = ImageChops.difference(canvas, Image.new("RGB", canvas.size, (20, 60, 30))).getbbox()
    assert shown is not None
    (found,) = Detectors(1)([np.asarray(canvas)], "texts")
    assert [text.kind for text in found] == ["text"]
    corners = np.array(found[0].box) * [640, 360, 640, 360]
    assert np.abs(corners - shown).max() < 16
