"""From pixels to the basic colour terms of English, and to no word between two of them.

The words are those of Berlin and Kay (Basic Color Terms, 1969); the rule works on lightness, chroma
and hue of Oklab (Ottosson, 2020), where equal steps look about equal. Knows no box and no note.
"""

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]  # [n, 3]
Names = NDArray[np.int64]  # of pixels: indices of NAMES

UNCLEAR = 0
NAMES = (
    "",  # between the names: no word that all would choose
    "black",
    "white",
    "grey",
    "red",
    "orange",
    "brown",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
)
FIRST_CHROMATIC = NAMES.index("red")


def shares(pixels: Rgb) -> NDArray[np.float64]:
    """Return each name's share of pixels [n, 3], [len(NAMES)]; the unclear ones count in n."""
    counted = np.bincount(names_of(pixels), minlength=len(NAMES)) / max(len(pixels), 1)
    counted[UNCLEAR] = 0
    return counted


def best_name(shares: NDArray[np.float64], least: float) -> tuple[str, float] | None:
    """Return the commonest name with its share, None where it is under `least`."""
    best = int(shares.argmax())
    return (NAMES[best], float(shares[best])) if shares[best] >= least else None


def names_of(pixels: Rgb) -> Names:
    """Return the index in NAMES of each sRGB pixel of [n, 3], UNCLEAR between two names."""
    light, chroma, hue = oklch(pixels)
    rules = {
        "black": ((light < 0.33) & (chroma < 0.035)) | (light < 0.2),
        "white": (light > 0.88) & (chroma < 0.03),
        "grey": (light > 0.42) & (light < 0.75) & (chroma < 0.025),
        "red": (hue > 10) & (hue < 36) & (light < 0.68) & (chroma > 0.12),
        "orange": (hue > 45) & (hue < 76) & (light > 0.62) & (chroma > 0.13),
        "brown": (hue > 30) & (hue < 85) & (light > 0.25) & (light < 0.52) & (chroma > 0.05),
        "yellow": (hue > 84) & (hue < 112) & (light > 0.72) & (chroma > 0.1),
        "green": (hue > 114) & (hue < 172) & (light > 0.25) & (chroma > 0.05),
        "blue": (hue > 220) & (hue < 278) & (light > 0.25) & (chroma > 0.06),
        "purple": (hue > 290) & (hue < 335) & (light > 0.25) & (light < 0.7) & (chroma > 0.07),
        "pink": ((hue > 340) | (hue < 20)) & (light > 0.7) & (chroma > 0.05),
    }
    # What two rules claim lies between two names, and so does what none claims.
    claims = np.array([rules[name] for name in NAMES[1:]])
    return np.where(claims.sum(axis=0) == 1, claims.argmax(axis=0) + 1, UNCLEAR)


# From sRGB to linear light: the curve of IEC 61966-2-1.
_LINEAR = np.where(
    np.arange(256) <= 0.04045 * 255,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
)
# Oklab's two matrices (Ottosson, A perceptual color space for image processing, 2020).
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklch(pixels: Rgb) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return lightness 0..1, chroma 0..0.33 and hue in degrees, each [n]."""
    lab = np.cbrt(_LINEAR[pixels] @ _TO_CONES.T) @ _TO_LAB.T
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    return lab[:, 0], np.hypot(lab[:, 1], lab[:, 2]), hue
