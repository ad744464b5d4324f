"""A drawn street seen by two cameras that share no ground: who walks where is known.

People walk through one view, out of it, and after some time on the way through the other, half of
them in each direction; some are seen by one camera only. Clothes come from a small wardrobe, so
that some are alike, and the light on a person is not the same at both cameras. The cameras differ
in exposure, white balance, background and clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.testing import SOUND_RATE_HZ, make_video
from agentkit_security.tracks import Box, Track

Image = NDArray[np.uint8]  # [H, W, 3] RGB

WARDROBE = (  # colours that people wear, some of them near each other
    (40, 40, 45), (60, 60, 70), (35, 40, 70), (50, 60, 110), (150, 150, 150), (200, 195, 185),
    (150, 40, 40), (190, 60, 50), (60, 110, 60), (110, 130, 70), (190, 160, 60), (120, 80, 50),
)  # fmt: skip
SKIN = (205, 160, 130)
LEAST_SHOWN = 0.4  # of a person's width, to be found
TRACK_FPS = 5.0
TINT = 0.1  # standard deviation of the light on a person, for each colour


@dataclass(frozen=True, slots=True)
class Walk:
    """One person through one view, on the shared clock."""

    person: int
    start_s: float  # at one edge
    cross_s: float  # to the other
    to_right: bool


@dataclass(frozen=True, slots=True)
class Person:
    upper: tuple[int, int, int]
    lower: tuple[int, int, int]
    tall: float  # share of the picture's height
    feet: float  # where its feet are, down the picture


@dataclass
class Scene:
    """Two cameras; `offset_s` is added to the second one's times to come to the first one's."""

    seed: int
    people: int = 16  # seen by both
    alone: int = 5  # seen by one, of each camera
    seconds: float = 180.0
    offset_s: float = 7.4
    transit_s: tuple[float, float] = (9.0, 1.5)  # mean, standard deviation
    both_ways: bool = True
    wardrobe: int = len(WARDROBE)  # colours that are worn
    lamps: bool = False  # light that changes for both
    sounds: bool = False
    fps: int = 10
    size_px: tuple[int, int] = (320, 240)
    persons: list[Person] = field(default_factory=list)
    walks: tuple[list[Walk], list[Walk]] = field(default_factory=lambda: ([], []))

    def __post_init__(self) -> None:
        chance = np.random.default_rng(self.seed)
        for number in range(self.people + 2 * self.alone):
            self.persons.append(_person(chance, self.wardrobe))
            self._send(chance, number)
        self._gains = np.stack([np.ones(3), 1 + chance.uniform(-0.18, 0.18, 3)]).astype(np.float32)
        grain = (2, 16, self.size_px[1], self.size_px[0], 1)
        self._grain = chance.normal(0, 4, grain).astype(np.float32)
        self._tints = chance.normal(1, TINT, (2, len(self.persons), 3)).astype(np.float32)
        self._grounds = [_ground(chance, self.size_px) for _ in range(2)]
        self._light = np.cumsum(chance.normal(0, 0.012, int(self.seconds * 4) + 400))
        bangs = (chance.random(int(self.seconds * 50) + 5000) < 0.01).repeat(SOUND_RATE_HZ // 50)
        self._sound = (bangs * chance.normal(0, 0.3, len(bangs))).astype(np.float32)

    def _send(self, chance: np.random.Generator, number: int) -> None:
        """Send one person on its way; the views' spans on the shared clock are not the same."""
        cross_s, later_s = (float(one) for one in chance.uniform(7, 12, 2))
        to_right = not self.both_ways or bool(chance.random() < 0.5)
        start_s = float(chance.uniform(0, self.seconds - 5))
        first = 0 if to_right else 1  # the first camera is on the left
        if number >= self.people:
            where = (number - self.people) % 2
            self.walks[where].append(Walk(number, start_s, cross_s, bool(chance.random() < 0.5)))
            return
        way_s = max(float(chance.normal(*self.transit_s)), 1.0)
        after_s = start_s + cross_s + way_s
        self.walks[first].append(Walk(number, start_s, cross_s, to_right))
        self.walks[1 - first].append(Walk(number, after_s, later_s, to_right))

    def shared_s(self, camera: int, time_s: float) -> float:
        return time_s + (self.offset_s if camera else 0.0)

    def boxes(self, camera: int, time_s: float) -> list[tuple[int, Box]]:
        """Return who is in view at a time of a camera's own clock, the farthest first."""
        found = []
        for walk in self.walks[camera]:
            share = (self.shared_s(camera, time_s) - walk.start_s) / walk.cross_s
            person = self.persons[walk.person]
            wide = person.tall * 0.4 * self.size_px[1] / self.size_px[0]
            place = share if walk.to_right else 1 - share
            left = place * (1 + wide) - wide
            if min(left + wide, 1) - max(left, 0) >= LEAST_SHOWN * wide:
                top = person.feet - person.tall
                found.append((walk.person, (max(left, 0), top, min(left + wide, 1), person.feet)))
        return sorted(found, key=lambda one: self.persons[one[0]].feet)

    def tracks(self, camera: int, video_id: str) -> tuple[list[Track], list[int]]:
        """Return a perfect tracker's tracks with boxes a little off, and whose they are."""
        chance = np.random.default_rng((self.seed, camera))
        seen: dict[int, list[tuple[float, Box]]] = {}
        for time_s in np.arange(0, self.seconds, 1 / TRACK_FPS).round(3).tolist():
            for person, box in self.boxes(camera, time_s):
                left, top, right, bottom = np.clip(box + chance.normal(0, 0.004, 4), 0, 1).tolist()
                seen.setdefault(person, []).append((time_s, (left, top, right, bottom)))
        people = sorted(seen, key=lambda person: seen[person][0][0])
        tracks = [
            Track(
                video_id,
                number,
                "person",
                tuple(time_s for time_s, _ in seen[person]),
                tuple(box for _, box in seen[person]),
                (0.9,) * len(seen[person]),
            )
            for number, person in enumerate(people, start=1)
        ]
        return tracks, people

    def draw(self, camera: int, time_s: float) -> Image:
        """Draw what a camera shows at a time of its own clock."""
        image = self._grounds[camera].copy()  # [H, W, 3], floats
        chance = np.random.default_rng((self.seed, camera, int(time_s * 1000)))
        for person, box in self.boxes(camera, time_s):
            _draw_person(image, self.persons[person], box, self._tints[camera, person], chance)
        image *= self._gains[camera]
        if self.lamps:
            image *= np.exp(self._light[int((self.shared_s(camera, time_s) + 20) * 4)])
        image += self._grain[camera][chance.integers(len(self._grain[camera]))]
        return np.clip(image, 0, 255).astype(np.uint8)

    def sound(self, camera: int) -> NDArray[np.float32]:
        first = round((self.shared_s(camera, 0.0) + 20) * SOUND_RATE_HZ)
        heard = self._sound[first : first + round(self.seconds * SOUND_RATE_HZ)]
        noise = np.random.default_rng((self.seed, camera, 1)).normal(0, 0.003, len(heard))
        return (heard * (0.9 if camera else 0.5) + noise).astype(np.float32)

    def make(self, folder: Path) -> tuple[Path, Path]:
        """Draw both videos."""
        paths = tuple(folder / f"drawn-{self.seed}-{name}.mp4" for name in "ab")
        for camera, path in enumerate(paths):
            make_video(
                path,
                seconds=self.seconds,
                fps=self.fps,
                size_px=self.size_px,
                draw=lambda _, time_s, size, camera=camera: self.draw(camera, time_s),
                sound=self.sound(camera) if self.sounds else None,
            )
        return paths[0], paths[1]

    @cached_property
    def seen_by_both(self) -> int:
        """How many people there are to be linked: tracked long enough by both."""
        people = [
            {
                person
                for track, person in zip(*self.tracks(camera, ""), strict=True)
                if track.end_s - track.start_s >= 1.0
            }
            for camera in range(2)
        ]
        return len(people[0] & people[1])


def _person(chance: np.random.Generator, wardrobe: int) -> Person:
    upper, lower = (
        tuple(int(c) for c in np.clip(WARDROBE[i] + chance.normal(0, 4, 3), 0, 255))
        for i in chance.choice(wardrobe, 2)
    )
    tall = float(chance.uniform(0.28, 0.4))
    return Person(upper, lower, tall, float(chance.uniform(tall + 0.15, 0.97)))  # type: ignore[arg-type]


def _ground(chance: np.random.Generator, size_px: Sequence[int]) -> NDArray[np.float32]:
    width, height = size_px
    coarse = chance.uniform(70, 170, (height // 16 + 1, width // 16 + 1, 1))
    tint = chance.uniform(0.85, 1.1, 3)
    ground = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width] * tint
    return np.asarray(ground, np.float32)


def _draw_person(
    image: NDArray[np.float32],
    person: Person,
    box: Box,
    tint: NDArray[np.float32],
    chance: np.random.Generator,
) -> None:
    """Draw head, upper and lower body; the sides are left out where arms swing."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    columns = slice(round((left + (right - left) * 0.15) * width), round(right * width))
    for low, high, colour in (
        (0.0, 0.14, SKIN),
        (0.14, 0.52, person.upper),
        (0.52, 1.0, person.lower),
    ):
        rows = slice(
            round((top + (bottom - top) * low) * height),
            round((top + (bottom - top) * high) * height),
        )
        part = image[rows, columns]
        part[:] = np.asarray(colour) * tint * chance.normal(1, 0.08, part.shape[:2])[..., None]
