"""What colour things and pictures have, in the few words that everybody shares; silent in doubt.

Knows no detector: it reads the boxes in the notes of the objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments import objects
from agentkit.instruments.colour_names import (
    FIRST_CHROMATIC,
    NAMES,
    best_name,
    oklch,
    shares,
)
from agentkit.instruments.objects import shots_of
from agentkit.instruments.pictures import Rgb
from agentkit.instruments.words import ObjectCount
from agentkit.types import FrameBatch, Note, VideoInfo

KIND = "colours"
Named = tuple[str, float]  # a colour's name and its share
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the frame
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class ColourConfig:
    """When a colour is worth a word; shares are of pixels, most of which must be of clear colour.

    On the example clips and the pictures of opencv-doc right names of things have 0.7 (a white
    van, a grey rabbit) to 1.0; white keys on a grey board have 0.53, a printed box 0.25. A box
    beside its thing (a post in a street) is told by the same grey around it. A lawn over almost
    half of the picture has 0.44, a pale tree 0.3.
    """

    middle: float = 0.6  # of a box's width and height is looked at
    thing: float = 0.6
    around: float = 0.5  # of the thing's share: a colour that is around it too is the background's
    darker: float = 0.15  # than its surroundings, in lightness: else black is want of light
    picture: float = 0.4
    steady: float = 0.75  # of a shot's frames agree, and no frame names another colour
    samples: int = 24  # pixels a side
    min_side_px: int = 12  # of the middle of a box
    coloured: float = 0.01  # of the frame's pixels; with fewer it is a film without colours


class Colours:
    """Notes of kind "colours": "white truck" of a thing that is alone of its kind, and of the whole
    picture "largely green picture".

    The box of a count says not in which frame of the shot it was found, so the frames must agree.
    People are left out: a box of one has skin, hair and several clothes.
    """

    name = "colours"
    reads_notes = True

    def __init__(self, config: ColourConfig | None = None) -> None:
        self._config = config or ColourConfig()
        self.version = f"1 {self._config}"

    def start(self, video: VideoInfo) -> None:
        """Nothing is remembered between groups."""

    def observe(
        self, batch: FrameBatch, first_of_chunk: bool, notes: Sequence[Note] = ()
    ) -> list[Note]:
        found = []
        for first, after, end_s in shots_of(batch, notes):
            images, start_s = batch.images[first:after], float(batch.times_s[first])
            here = [note for note in notes if (note.start_s, note.end_s) == (start_s, end_s)]
            found += [*self._of_things(images, here), *self._of_picture(images, start_s, end_s)]
        return found

    def _of_things(self, images: NDArray[np.uint8], notes: Sequence[Note]) -> Iterator[Note]:
        for note in notes:
            thing = ObjectCount.parse(note.text) if note.kind == objects.KIND else None
            if thing is None or thing.count != 1 or thing.name == "person" or note.box is None:
                continue
            named = self._agreed([self._of_box(image, note.box) for image in images])
            if named is not None and named[0] != thing.name:  # an orange may be green
                text = f"{named[0]} {thing.name}"
                yield Note(note.start_s, note.end_s, KIND, text, named[1], note.box)

    def _of_picture(
        self, images: NDArray[np.uint8], start_s: float, end_s: float
    ) -> Iterator[Note]:
        named = self._agreed([self._of_frame(image) for image in images])
        if named is not None:
            yield Note(start_s, end_s, KIND, f"largely {named[0]} picture", named[1])

    def _of_frame(self, image: Rgb) -> Named | None:
        """Return the chromatic colour of a whole frame: greys and black are light, not colour."""
        found = shares(sampled(image, WHOLE, self._config.samples))
        found[:FIRST_CHROMATIC] = 0
        return best_name(found, self._config.picture)

    def _of_box(self, image: Rgb, box: Box) -> Named | None:
        """Return the colour of a box's middle, None where it is small or in any doubt."""
        config = self._config
        middle = scaled(box, config.middle)
        height_px, width_px = image.shape[:2]
        sides_px = (middle[2] - middle[0]) * width_px, (middle[3] - middle[1]) * height_px
        if min(sides_px) < config.min_side_px:
            return None
        inside, outside = sampled(image, middle, config.samples), around(image, box, config.samples)
        found, beside = shares(inside), shares(outside)
        named = best_name(np.where(beside <= config.around * found, found, 0.0), config.thing)
        if named is None or (named[0] == "black" and not self._is_darker(inside, outside)):
            return None
        is_grey = NAMES.index(named[0]) < FIRST_CHROMATIC
        return None if is_grey and self._is_colourless(image) else named

    def _is_darker(self, inside: Rgb, outside: Rgb) -> bool:
        if not len(outside):
            return False
        differ = np.median(oklch(outside)[0]) - np.median(oklch(inside)[0])
        return bool(differ >= self._config.darker)

    def _is_colourless(self, image: Rgb) -> bool:
        chroma = oklch(sampled(image, WHOLE, self._config.samples))[1]
        return bool((chroma > 0.04).mean() < self._config.coloured)

    def _agreed(self, named: Sequence[Named | None]) -> Named | None:
        """Return what the frames of a shot agree on, with the mean share."""
        certain = [one for one in named if one is not None]
        names = {name for name, _ in certain}
        if len(names) != 1 or len(certain) < self._config.steady * len(named):
            return None
        return names.pop(), round(float(np.mean([share for _, share in certain])), 3)


def load_colours(threads: int) -> Colours:
    """Return the instrument; it needs no weights and one thread."""
    return Colours()


def scaled(box: Box, factor: float) -> Box:
    """Return the box with the same middle and its sides times `factor`, inside the frame."""
    left, top, right, bottom = box
    x, y = (left + right) / 2, (top + bottom) / 2
    half_width, half_height = factor * (right - left) / 2, factor * (bottom - top) / 2
    return (
        max(x - half_width, 0.0),
        max(y - half_height, 0.0),
        min(x + half_width, 1.0),
        min(y + half_height, 1.0),
    )


def sampled(image: Rgb, box: Box, samples: int) -> Rgb:
    """Return up to `samples` by `samples` evenly spread pixels of a box, [n, 3]."""
    height_px, width_px = image.shape[:2]
    rows = _spread(box[1] * height_px, box[3] * height_px, height_px, samples)
    columns = _spread(box[0] * width_px, box[2] * width_px, width_px, samples)
    return image[rows[:, None], columns].reshape(-1, 3)


def around(image: Rgb, box: Box, samples: int) -> Rgb:
    """Return pixels of the frame just outside a box, [n, 3]; none where it fills the frame."""
    left, top, right, bottom = box
    outer = scaled(box, 1.3)
    sides = (
        (outer[0], outer[1], outer[2], top),
        (outer[0], bottom, outer[2], outer[3]),
        (outer[0], top, left, bottom),
        (right, top, outer[2], bottom),
    )
    seen = [sampled(image, side, samples // 2) for side in sides]
    return np.concatenate(seen)


def _spread(start_px: float, end_px: float, size_px: int, samples: int) -> NDArray[np.int64]:
    """Return the indices of up to `samples` pixels evenly inside a stretch, none if empty."""
    first, after = round(start_px), min(round(end_px), size_px)
    count = min(samples, max(after - first, 0))
    return (first + (np.arange(count) + 0.5) * (after - first) / max(count, 1)).astype(np.int64)
