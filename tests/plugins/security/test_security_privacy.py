"""No face and no head leaves the store, and nothing else is changed."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit.errors import PluginError
from agentkit.plugin_manager import Domain
from agentkit.testing import RecordedSession, stored_video
from agentkit.types import Box, Detection, UsageError
from agentkit_security.privacy import head_of, to_hide

Image = NDArray[np.uint8]
VIDEO = stored_video()


def picture() -> Image:
    """Noise: a smear of it hardly ever meets the old value."""
    return np.random.default_rng(5).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def seeing(*found: tuple[str, float, Box], **options: object) -> RecordedSession:
    def see(image: Image, what: str) -> list[Detection]:
        kinds = ("face",) if what == "faces" else ("person", "car")
        return [Detection(*one) for one in found if one[0] in kinds]

    domain = Domain.load("security")
    return RecordedSession([VIDEO], domain=domain, see=see, options=options)


def shown(session: RecordedSession, image: Image) -> Image:
    (out,) = session.domain.redact_frames([image], VIDEO, session)
    return out


def changed(image: Image, out: Image) -> NDArray[np.bool_]:
    return np.asarray((image != out).any(axis=2))


def inside(boxes: Sequence[Box], margin: float) -> NDArray[np.bool_]:
    """The pixels of boxes of a 320 x 240 picture, widened by a share of each."""
    mask = np.zeros((240, 320), bool)
    for left, top, right, bottom in boxes:
        across, down = (right - left) * margin * 320, (bottom - top) * margin * 240
        first, last = max(left * 320 - across, 0), right * 320 + across
        upper, lower = max(top * 240 - down, 0), bottom * 240 + down
        mask[int(upper) : int(np.ceil(lower)), int(first) : int(np.ceil(last))] = True
    return mask


FACE: Box = (0.2, 0.2, 0.3, 0.35)
PERSON: Box = (0.6, 0.3, 0.7, 0.8)
HEAD: Box = (0.6, 0.3, 0.7, 0.425)


def held_to(image: Image, out: Image, hidden: Sequence[Box]) -> None:
    """Everything hidden is unrecognisable, and what is far from it untouched."""
    mask = changed(image, out)
    assert not mask[~inside(hidden, 0.25)].any()
    for box in hidden:
        of_box = mask[inside([box], 0.0)]
        assert of_box.all()


def test_a_face_and_the_head_of_one_without_a_face_are_hidden() -> None:
    session = seeing(("face", 0.9, FACE), ("person", 0.8, PERSON), ("car", 0.9, (0.8, 0.8, 1, 1)))
    image = picture()
    before = image.copy()
    held_to(image, shown(session, image), [FACE, HEAD])
    assert (image == before).all()


def test_a_person_with_a_sure_face_keeps_the_rest_of_the_head() -> None:
    face: Box = (0.63, 0.32, 0.67, 0.38)
    image = picture()
    held_to(image, shown(seeing(("face", 0.9, face), ("person", 0.8, PERSON)), image), [face])


@pytest.mark.parametrize(
    "face", [("face", 0.4, (0.63, 0.32, 0.67, 0.38)), ("face", 0.9, (0.63, 0.7, 0.67, 0.76))]
)
def test_an_unsure_face_or_one_at_the_knees_does_not_spare_the_head(
    face: tuple[str, float, Box],
) -> None:
    image = picture()
    held_to(image, shown(seeing(face, ("person", 0.8, PERSON)), image), [face[2], HEAD])


def test_whole_persons_are_hidden_where_that_is_asked() -> None:
    image = picture()
    face: Box = (0.63, 0.32, 0.67, 0.38)
    session = seeing(("face", 0.9, face), ("person", 0.8, PERSON), heads="whole-person")
    held_to(image, shown(session, image), [PERSON])


def test_heads_may_be_left_to_the_face_detector_alone() -> None:
    image = picture()
    assert (shown(seeing(("person", 0.8, PERSON), heads="off"), image) == image).all()


def test_nothing_is_changed_where_nobody_is_or_the_user_says_so() -> None:
    image = picture()
    assert (shown(seeing(("car", 0.9, PERSON)), image) == image).all()
    assert (shown(seeing(("face", 0.9, FACE), blur=False), image) == image).all()


@pytest.mark.parametrize("what", ["faces", "objects"])
def test_where_a_detector_fails_nothing_is_shown(what: str) -> None:
    def see(image: Image, asked: str) -> list[Detection]:
        if asked == what:
            raise RuntimeError("no weights")
        return []

    session = RecordedSession([VIDEO], domain=Domain.load("security"), see=see)
    with pytest.raises(PluginError, match="redact_frames: RuntimeError: no weights"):
        shown(session, picture())


def test_a_wrong_setting_shows_nothing_either() -> None:
    with pytest.raises(UsageError, match="unknown setting 'blurr'; did you mean 'blur'"):
        shown(seeing(blurr=False), picture())


side = st.floats(0.02, 0.5)
place = st.floats(0, 0.5)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), place, place, side, side)


@given(boxes, st.floats(0.1, 1.0))
def test_a_head_is_the_top_of_its_box_and_never_more_than_it(box: Box, share: float) -> None:
    left, top, right, bottom = head_of(box, share, (240, 320))
    assert (left, top, right) == box[:3]
    assert bottom <= box[3] + 1e-9
    assert bottom - top >= min(share * (box[3] - box[1]), box[3] - box[1]) - 1e-9


def test_the_head_of_a_bust_is_more_of_the_box() -> None:
    """A box as broad as high shows head and shoulders: 0.6 of its height is head."""
    assert head_of((0.0, 0.0, 0.3, 0.4), 0.25, (240, 320)) == (0.0, 0.0, 0.3, pytest.approx(0.24))


@given(st.lists(boxes, max_size=4), st.lists(boxes, max_size=4))
def test_every_face_is_hidden_and_everyone_has_a_hidden_head_or_face(
    faces: list[Box], people: list[Box]
) -> None:
    found = [Detection("face", 0.9, box) for box in faces]
    persons = [Detection("person", 0.9, box) for box in people]
    hidden = to_hide(picture(), found, persons, 0.25)
    assert set(faces) <= set(hidden)
    for person in people:
        left, top, right, _ = person
        assert any(
            (h[0], h[1], h[2]) == (left, top, right)
            or (left <= (h[0] + h[2]) / 2 <= right and top <= (h[1] + h[3]) / 2)
            for h in hidden
        )
