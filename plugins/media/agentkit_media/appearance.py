"""A hint at who looks alike: people's boxes grouped by the colours of what they wear.

A box is cut into three stripes, and each stripe's colours are compared: the way in which cameras
re-find clothing (in the manner of the symmetry-driven features of Farenzena et al., CVPR 2010, with
three stripes and no symmetry). Who changes a coat is another, and two in like coats are one: a hint
where to look, never an identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.types import AgentkitError, Detection, SessionView
from agentkit_media.material import Material

VERSION = 2
PLACES = ("left", "centre", "right")
STRIPES = 3
HUES, SHADES = 12, 5
LEAST_HEIGHT = 0.18  # of the picture: smaller boxes have no stripes worth comparing
LEAST_SCORE = 0.5
ALIKE = 0.62  # mean intersection of the stripes' colours
MAX_PEOPLE = 4  # of a picture, the largest


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes that look alike, in two shots or more."""

    number: int
    times_s: tuple[float, ...]
    places: tuple[str, ...]  # left, centre or right, one for each time
    shots: tuple[int, ...]  # their numbers


def groups_of(material: Material, session: SessionView) -> tuple[list[Group], str]:
    """Return groups of people who look alike, and why none where no one could look."""
    if not material.options.looks:
        return [], "looks = 0"
    if not material.found.exact:
        return [], material.found.reason
    shots = _spread(material)
    version = f"{VERSION} {material.options.of_shots} {material.options.looks}"
    try:
        kept = session.analysis(
            material.video,
            "media/appearance",
            version,
            lambda: _people(material, session, shots),
        )
    except (AgentkitError, OSError) as error:
        return [], str(error)
    return _grouped(kept), ""


def _spread(material: Material) -> list[tuple[int, float]]:
    """Return (number, time of a picture) of shots, evenly over the film, as many as allowed."""
    shots = material.shots
    count = min(len(shots), material.options.looks)
    places = np.linspace(0, len(shots) - 1, count).round().astype(int).tolist() if count else []
    last_s = max(material.video.duration_s - 0.1, 0.0)
    return [(shots[place].number, min(shots[place].middle_s, last_s)) for place in places]


def _people(
    material: Material, session: SessionView, shots: Sequence[tuple[int, float]]
) -> list[Any]:
    found = []
    for done, (number, time_s) in enumerate(shots, start=1):
        (image,) = session.frames(material.video, [time_s])
        (boxes,) = session.detect([image], "objects")
        for box in _large(boxes):
            colours = stripes(image, box).round(4).tolist()
            found.append([number, round(time_s, 3), _place(box), colours])
        session.progress("people", done, len(shots))
    return found


def _large(boxes: Sequence[Detection]) -> list[Detection]:
    people = [
        box
        for box in boxes
        if box.kind == "person"
        and box.score >= LEAST_SCORE
        and box.box[3] - box.box[1] >= LEAST_HEIGHT
    ]
    return sorted(people, key=lambda box: box.box[1] - box.box[3])[:MAX_PEOPLE]


def _place(found: Detection) -> str:
    middle = (found.box[0] + found.box[2]) / 2
    return PLACES[min(int(middle * len(PLACES)), len(PLACES) - 1)]


def stripes(image: NDArray[np.uint8], found: Detection) -> NDArray[np.float64]:
    """Return each stripe's shares of colours, [STRIPES, HUES + SHADES]; the sides are left out."""
    import cv2

    height, width = image.shape[:2]
    left, top, right, bottom = found.box
    aside = (right - left) * 0.2  # mostly background
    first_row, first_column = int(top * height), int((left + aside) * width)
    after_row = max(int(bottom * height), first_row + STRIPES)
    after_column = max(int((right - aside) * width), first_column + 1)
    part = image[first_row:after_row, first_column:after_column]
    hsv = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2HSV)
    return np.stack([_colours(stripe) for stripe in np.array_split(hsv, STRIPES, axis=0)])


def _colours(hsv: NDArray[Any]) -> NDArray[np.float64]:
    hue, saturation, value = (hsv[..., axis].reshape(-1).astype(np.int64) for axis in range(3))
    dull = (saturation < 60) | (value < 50)
    bins = np.where(dull, HUES + value * SHADES // 256, hue * HUES // 180)
    return np.asarray(np.bincount(bins, minlength=HUES + SHADES) / max(len(bins), 1))


def _grouped(people: Sequence[Sequence[Any]]) -> list[Group]:
    """Put each person with the group whose mean is most alike, or into a group of its own."""
    groups: list[tuple[NDArray[np.float64], list[tuple[int, float, str]]]] = []
    for number, time_s, place, colours in people:
        looks = np.asarray(colours)
        # Two in one picture are two, however alike.
        free = [i for i, (_, members) in enumerate(groups) if members[-1][:2] != (number, time_s)]
        best = max(free, key=lambda i: _alike(groups[i][0], looks), default=None)
        if best is not None and _alike(groups[best][0], looks) >= ALIKE:
            mean, members = groups[best]
            groups[best] = (mean * len(members) + looks) / (len(members) + 1), members
            members.append((number, time_s, place))
        else:
            groups.append((looks, [(number, time_s, place)]))
    lasting = [sorted(members) for _, members in groups if len({m[0] for m in members}) > 1]
    ordered = sorted(lasting, key=lambda members: (-len(members), members))
    return [
        Group(
            number,
            tuple(time_s for _, time_s, _ in members),
            tuple(place for _, _, place in members),
            tuple(sorted({shot for shot, _, _ in members})),
        )
        for number, members in enumerate(ordered, start=1)
    ]


def _alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.minimum(one, other).sum(axis=1).mean())
