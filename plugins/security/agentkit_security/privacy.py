"""Faces and heads in frames that leave the store. Knows boxes; how they are blurred is not its own.

Faces are looked for; where a person shows none (turned away, or too far off), the part of the
person's box where the head is goes instead. Where looking fails, so does this: nothing is shown.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Box, Detection, SessionView
from agentkit_security.options import PEOPLE, options_of

Image = NDArray[np.uint8]  # [H, W, 3] RGB

SURE = 0.6  # a face with less may be a crease of a jacket: the head is hidden too
HEAD_WIDTHS = 0.6  # of a box's width: so high is the head where shoulders fill the box


def redacted(images: Sequence[Image], session: SessionView) -> list[Image]:
    """Return frames with faces and heads unrecognisable; as they are with `blur = false`.

    Raises:
        InstrumentMissingError: the weights of a detector are not here.
    """
    options = options_of(session)
    if not options.blur or not images:
        return list(images)
    faces = session.detect(images, "faces")
    people: list[list[Detection]] = [[] for _ in images]
    if options.heads != "off":
        people = [_people(found) for found in session.detect(images, "objects")]
    share = 1.0 if options.heads == "whole-person" else options.head_share
    boxes = [
        to_hide(image, of_faces, of_people, share)
        for image, of_faces, of_people in zip(images, faces, people, strict=True)
    ]
    return session.blur(images, boxes)


def _people(found: Sequence[Detection]) -> list[Detection]:
    return [one for one in found if one.kind in PEOPLE]


def to_hide(
    image: Image, faces: Sequence[Detection], people: Sequence[Detection], share: float
) -> list[Box]:
    """Return the boxes of all faces, and of the heads of people who show none.

    With a share of 1 people are hidden from head to foot, face or not.
    """
    shape = image.shape[0], image.shape[1]
    sure = [face.box for face in faces if face.score >= SURE]
    without = [one for one in people if share >= 1 or not any(_has(one.box, at) for at in sure)]
    return [face.box for face in faces] + [head_of(one.box, share, shape) for one in without]


def _has(person: Box, face: Box) -> bool:
    """Say whether a face can be this person's: its middle is in the upper 40 % of the box."""
    left, top, right, bottom = person
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return left <= x <= right and top <= y <= top + 0.4 * (bottom - top)


def head_of(person: Box, share: float, shape: tuple[int, int]) -> Box:
    """Return where the head of a person's box is: its upper `share`, more where it is broad.

    A box that shows head and shoulders alone, or one who bends or lies, is as broad as it is
    high, and the head takes more of it. `shape` is the picture's (height, width) in pixels.
    """
    left, top, right, bottom = person
    width_px, height_px = (right - left) * shape[1], (bottom - top) * shape[0]
    head_px = min(max(share * height_px, HEAD_WIDTHS * width_px), height_px)
    return left, top, right, top + head_px / shape[0]
