"""Where a moving box will be: a constant-velocity Kalman filter. Knows no picture, no identity.

The state is that of SORT (Bewley et al., 2016) without its coupling: each of centre x, centre y,
width and height has a place and a velocity of its own, so a box is four filters of two numbers.
Noise grows with the box's height as in ByteTrack (Zhang et al., 2022); time is in seconds, so a
rate that varies is no special case.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# ByteTrack's values at 30 frames/s, as heights and seconds; its acceleration would be 1.0, which
# lets the hidden drift: people walk more steadily than that.
PLACE_STD = 1 / 20  # of a measured place, in heights
FIRST_VELOCITY_STD = 1.0  # of a velocity nobody has seen yet, in heights/s
ACCELERATION = 0.3  # spectral density of what velocity does unforeseen, in heights²/s³


@dataclass(slots=True)
class Motion:
    """A box's four places and velocities with their covariances, each [4]."""

    place: Floats  # centre x, centre y, width, height
    velocity: Floats  # per second
    place_var: Floats
    covar: Floats
    velocity_var: Floats

    @classmethod
    def of(cls, corners: Floats) -> Self:
        """Start at a box [4] (left, top, right, bottom) that was seen once."""
        place, zero = _centred(corners), np.zeros(4)
        height = place[3]
        return cls(
            place,
            zero,
            np.full(4, (2 * PLACE_STD * height) ** 2),
            zero.copy(),
            np.full(4, (FIRST_VELOCITY_STD * height) ** 2),
        )

    @property
    def corners(self) -> Floats:
        """The box as left, top, right, bottom, [4]."""
        half = np.maximum(self.place[2:], 1e-6) / 2
        return np.concatenate([self.place[:2] - half, self.place[:2] + half])

    def predict(self, step_s: float) -> None:
        """Move on by `step_s` with white-noise acceleration."""
        density = ACCELERATION * max(float(self.place[3]), 1e-6) ** 2
        self.place = self.place + self.velocity * step_s
        self.place_var = (
            self.place_var
            + 2 * step_s * self.covar
            + step_s**2 * self.velocity_var
            + density * step_s**3 / 3
        )
        self.covar = self.covar + step_s * self.velocity_var + density * step_s**2 / 2
        self.velocity_var = self.velocity_var + density * step_s

    def update(self, corners: Floats) -> None:
        """Take in a box [4] that was seen now."""
        seen = _centred(corners)
        total = self.place_var + (PLACE_STD * seen[3]) ** 2
        gain, velocity_gain = self.place_var / total, self.covar / total
        surprise = seen - self.place
        self.place = self.place + gain * surprise
        self.velocity = self.velocity + velocity_gain * surprise
        self.velocity_var = self.velocity_var - velocity_gain * self.covar
        self.covar = self.covar * (1 - gain)
        self.place_var = self.place_var * (1 - gain)


def _centred(corners: Floats) -> Floats:
    return np.concatenate([(corners[:2] + corners[2:]) / 2, corners[2:] - corners[:2]])
