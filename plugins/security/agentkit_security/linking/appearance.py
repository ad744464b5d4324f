"""How tracks look: the colours of the upper and of the lower part, over several frames.

Two stripes of a person are mostly two pieces of clothing (as in Farenzena et al. 2010, who weigh
pixels by how near they are to the body's axis). It is a hint: many wear the same, and no face is
looked at. What is kept are a few pixels of each track.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from agentkit.types import SessionView, StoredVideo
from agentkit_security.linking.correlate import Floats
from agentkit_security.tracks import Box, Track

VERSION = "1"
LOOKS = 6  # frames of a track
STRIPES = ((0.15, 0.5), (0.5, 0.9))  # of the box from its top: upper body, lower body
MIDDLE = (0.25, 0.75)  # across the box: beside it is mostly ground
PIXELS = (8, 6)  # down, across, of a stripe
HUES, GREYS, LIGHTS = 12, 6, 2  # bins
EDGE = 0.01  # a box so near to the picture's edge is cut by it
TRACKS_OF_PIECE = 40
FRAMES_AT_ONCE = 24
FEW = 5.0  # tracks; so many of a camera count as much as knowing nothing of its colours

Pixels = NDArray[np.uint8]  # [tracks, LOOKS, stripes, pixels, 3] RGB


@dataclass(frozen=True, slots=True)
class Looks:
    """Colour histograms, each sums to 1: of whole tracks, and of their first and second halves."""

    whole: Floats  # [tracks, stripes, bins]
    early: Floats
    late: Floats


def pixels_of(session: SessionView, video: StoredVideo, tracks: Sequence[Track]) -> Pixels:
    """Return some pixels of each track, from the file or as they were kept."""
    parts = [np.zeros((0, LOOKS, len(STRIPES), PIXELS[0] * PIXELS[1], 3), np.uint8)]
    for first in range(0, len(tracks), TRACKS_OF_PIECE):
        piece = tracks[first : first + TRACKS_OF_PIECE]
        kept = session.analysis(
            video,
            f"security/linking/appearance/{first // TRACKS_OF_PIECE}",
            f"{VERSION}/{digest(piece)}",
            partial(_kept, session, video, piece),
        )
        values = np.frombuffer(base64.b64decode(kept), np.uint8)
        parts.append(values.reshape(-1, *parts[0].shape[1:]))
        session.progress("appearance", min(first + TRACKS_OF_PIECE, len(tracks)), len(tracks))
    return np.concatenate(parts)


def digest(tracks: Sequence[Track]) -> str:
    """Return what the pixels of tracks depend on, in short."""
    text = repr([(track.times_s, track.boxes) for track in tracks])
    return sha256(text.encode()).hexdigest()[:16]


def _kept(session: SessionView, video: StoredVideo, tracks: Sequence[Track]) -> str:
    return base64.b64encode(_look(session, video, tracks).tobytes()).decode()


def _look(session: SessionView, video: StoredVideo, tracks: Sequence[Track]) -> Pixels:
    pixels = np.zeros((len(tracks), LOOKS, len(STRIPES), PIXELS[0] * PIXELS[1], 3), np.uint8)
    wanted = sorted(
        (track.times_s[sight], row, look, track.boxes[sight])
        for row, track in enumerate(tracks)
        for look, sight in enumerate(sights_to_look_at(track))
    )
    for first in range(0, len(wanted), FRAMES_AT_ONCE):
        some = wanted[first : first + FRAMES_AT_ONCE]
        images = session.frames(video, [time_s for time_s, _, _, _ in some])
        for image, (_, row, look, box) in zip(images, some, strict=True):
            pixels[row, look] = stripes(image, box)
    return pixels


def sights_to_look_at(track: Track) -> list[int]:
    """Return `LOOKS` of a track's sights, spread evenly; whole boxes where there are any."""
    whole = [i for i, box in enumerate(track.boxes) if not is_cut(box)]
    sights = whole or list(range(len(track.boxes)))
    places = (np.arange(LOOKS) + 0.5) / LOOKS * len(sights)
    return [sights[int(place)] for place in places]


def is_cut(box: Box) -> bool:
    """Whether a box ends at the picture's edge: there may be more of the thing beyond."""
    return min(box[0], box[1]) < EDGE or max(box[2], box[3]) > 1 - EDGE


def stripes(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return the pixels at even places of each stripe of a box, [stripes, pixels, 3]."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    across = left + (right - left) * np.linspace(*MIDDLE, PIXELS[1])
    columns = np.clip((across * width).astype(int), 0, width - 1)
    taken = []
    for low, high in STRIPES:
        down = top + (bottom - top) * np.linspace(low, high, PIXELS[0])
        rows = np.clip((down * height).astype(int), 0, height - 1)
        taken.append(image[rows[:, None], columns].reshape(-1, 3))
    return np.stack(taken)


def looks_alike(a: Pixels, b: Pixels) -> tuple[Looks, Looks]:
    """Return the looks of two cameras' tracks with the cameras' colours brought together.

    Exposure and white balance scale the three colours. The mean of what people wear is taken to
    be the same at both cameras (a grey-world assumption on the things instead of on the scene),
    the less so the fewer tracks there are.
    """
    means = [_log_mean(pixels) for pixels in (a, b)]
    trust = min(len(a), len(b)) / (min(len(a), len(b)) + FEW)
    shift = trust * (means[1] - means[0]) / 2
    return _looks(a, np.exp(shift)), _looks(b, np.exp(-shift))


def _log_mean(pixels: Pixels) -> Floats:
    if not len(pixels):
        return np.zeros(3)
    return np.asarray(np.log(pixels.reshape(-1, 3).astype(np.float64) + 8).mean(axis=0))


def _looks(pixels: Pixels, gain: Floats) -> Looks:
    each = histograms(np.clip(pixels * gain, 0, 255))  # [tracks, LOOKS, stripes, bins]
    half = LOOKS // 2
    return Looks(_middle(each), _middle(each[:, :half]), _middle(each[:, half:]))


def _middle(each: Floats) -> Floats:
    """Return the median over looks: one frame with somebody in front changes little."""
    median = np.median(each, axis=1) + 1e-6
    return np.asarray(median / median.sum(axis=-1, keepdims=True))


def histograms(rgb: Floats) -> Floats:
    """Return soft histograms [..., bins] of pixels [..., n, 3]: hues that have colour, and greys.

    A pixel counts as colour by its chroma and as grey by the rest, and is shared between the two
    nearest bins, so that a little more light moves little.
    """
    hue, chroma, light = hue_chroma_light(rgb / 255.0)
    colourful = np.clip((chroma - 0.06) / 0.14, 0, 1)
    hues = _shared(hue * HUES, HUES, around=True)  # [..., n, HUES]
    lights = _shared(light * (LIGHTS - 1), LIGHTS, around=False)
    greys = _shared(light * (GREYS - 1), GREYS, around=False)
    colours = np.einsum("...n,...nh,...nl->...hl", colourful, hues, lights)
    rest = np.einsum("...n,...ng->...g", 1 - colourful, greys)
    flat = np.concatenate([colours.reshape(*rest.shape[:-1], HUES * LIGHTS), rest], axis=-1)
    return np.asarray(flat / rgb.shape[-2])


def hue_chroma_light(rgb: Floats) -> tuple[Floats, Floats, Floats]:
    """Return hue (0..1 around), chroma and value of the HSV hexcone (Smith 1978), all 0..1."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    light = rgb.max(axis=-1)
    chroma = light - rgb.min(axis=-1)
    safe = np.where(chroma > 0, chroma, 1.0)
    sector = np.where(
        light == red,
        ((green - blue) / safe) % 6,
        np.where(light == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return np.where(chroma > 0, sector / 6, 0.0), chroma, light


def _shared(place: Floats, bins: int, around: bool) -> Floats:
    """Share each value between the two bins beside it, [..., bins]."""
    low = np.floor(place).astype(int)
    share = place - low
    pick = np.eye(bins)
    first = pick[low % bins] if around else pick[np.clip(low, 0, bins - 1)]
    second = pick[(low + 1) % bins] if around else pick[np.clip(low + 1, 0, bins - 1)]
    return np.asarray(first * (1 - share)[..., None] + second * share[..., None])


def distances(a: Floats, b: Floats) -> Floats:
    """Return Hellinger distances, 0..1, [tracks of a, tracks of b], of the mean over stripes."""
    alike = np.einsum("isk,jsk->ij", np.sqrt(a), np.sqrt(b)) / len(STRIPES)
    return np.asarray(np.sqrt(np.clip(1 - alike, 0, 1)))


def own_distances(looks: Looks) -> Floats:
    """Return how far each track is from itself: its first half from its second."""
    alike = np.einsum("isk,isk->i", np.sqrt(looks.early), np.sqrt(looks.late)) / len(STRIPES)
    return np.asarray(np.sqrt(np.clip(1 - alike, 0, 1)))
