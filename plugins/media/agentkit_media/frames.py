"""Every frame of a video, looked at once: cuts, brightness, a closer look twice a second.

What is seen of a stretch depends on that stretch and a second or two around it alone, so it is kept
in pieces, and pieces make what one pass makes. Cuts are PySceneDetect's (`AdaptiveDetector`: the
change of a frame in hue, saturation and value against the mean change of the frames around it).
Knows no shot and no scene.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.types import SamplingPlan, SessionView, StoredVideo
from agentkit_media.options import Options

Rgb = NDArray[np.uint8]  # [H, W, 3]

VERSION = 1
PIECE_S = 60.0
MARGIN_S = 1.0  # and as long as a flash may last, and MARGIN_FRAMES
MARGIN_FRAMES = 8
LOOK_S = 0.5
SIDE_PX = 160  # the longer side of the small picture
SAME_LOOK = 14.0  # of 255: below this mean difference a picture is back after a flash
WINDOW = 2  # frames before and after that AdaptiveDetector compares with
GRID = (4, 3)  # across, down
HUES, GREYS = 12, 6
DULL = 40  # of 255: below this saturation or value a hue is noise
CHANGED = 14.0  # of 255


@dataclass(frozen=True, slots=True)
class Look:
    """One picture in a few numbers; shares are 0..1."""

    time_s: float
    brightness: float
    warmth: float  # red less blue, -1..1
    colour: float  # mean saturation
    change: float  # share of pixels that changed since the look before
    histogram: tuple[float, ...]  # HUES and GREYS
    layout: tuple[int, ...]  # GRID of RGB, 0..255


@dataclass(frozen=True, slots=True)
class Seen:
    """What a whole video, or a piece of it, shows."""

    first_frame: int
    times_s: tuple[float, ...]
    levels: tuple[float, ...]  # mean brightness of each frame, 0..255
    cuts: tuple[int, ...]  # numbers of the frames that begin a shot
    looks: tuple[Look, ...]


def seen(
    video: StoredVideo, session: SessionView, options: Options, piece_s: float = PIECE_S
) -> Seen:
    """Return what every frame of the file shows; made in pieces that survive a kill.

    Raises:
        AgentkitError: the file is gone, changed or damaged.
    """
    count = max(int(np.ceil(video.duration_s / piece_s - 1e-9)), 1)
    pieces = []
    for number in range(count):
        start_s = number * piece_s
        end_s = start_s + piece_s if number + 1 < count else video.duration_s + 1.0
        version = f"{VERSION} {options.of_cuts}"
        key = f"media/frames/{piece_s:g}/{number}"
        make = partial(_made, video, session, options, start_s, end_s)
        pieces.append(session.analysis(video, key, version, make))
        session.progress("shots", number + 1, count)
    return _joined(pieces)


def _joined(pieces: Sequence[dict[str, Any]]) -> Seen:
    return Seen(
        first_frame=next((piece["first"] for piece in pieces if piece["times"]), 0),
        times_s=tuple(time for piece in pieces for time in piece["times"]),
        levels=tuple(level for piece in pieces for level in piece["levels"]),
        cuts=tuple(cut for piece in pieces for cut in piece["cuts"]),
        looks=tuple(_look_of(look) for piece in pieces for look in piece["looks"]),
    )


def _look_of(values: list[Any]) -> Look:
    time_s, brightness, warmth, colour, change, histogram, layout = values
    return Look(time_s, brightness, warmth, colour, change, tuple(histogram), tuple(layout))


def _made(
    video: StoredVideo, session: SessionView, options: Options, start_s: float, end_s: float
) -> dict[str, Any]:
    """Return one piece as JSON."""
    watcher = _Watcher(options)
    frames_per_s = video.frames_in_file / max(video.duration_s, 1e-3)
    margin_s = MARGIN_S + options.flash_s + MARGIN_FRAMES / max(frames_per_s, 0.1)
    for number, time_s, image in _every_frame(
        video, session, max(start_s - margin_s, 0.0), min(end_s + margin_s, video.duration_s)
    ):
        watcher.take(number, time_s, image)
    inside = [i for i, time_s in enumerate(watcher.times_s) if start_s <= time_s < end_s]
    first, after = (inside[0], inside[-1] + 1) if inside else (0, 0)
    return {
        "first": watcher.first + first,
        "times": watcher.times_s[first:after],
        "levels": watcher.levels[first:after],
        "cuts": [n for n in watcher.cuts() if first <= n - watcher.first < after],
        "looks": sorted(look for look in watcher.looks if start_s <= look[0] < end_s),
    }


def _every_frame(
    video: StoredVideo, session: SessionView, start_s: float, end_s: float
) -> Iterator[tuple[int, float, Rgb]]:
    """Yield every frame between two times: its number in the file, its time, and it, small."""
    plan = SamplingPlan("uniform", max_frames=max(video.frames_in_file, 1) * 2)  # none is left out
    for batch in session.sample(video, plan, start_s, end_s):
        for place, (image, time_s) in enumerate(
            zip(batch.images, batch.times_s.tolist(), strict=True)
        ):
            if start_s <= time_s < end_s + 1e-9:
                yield batch.index * plan.frames_per_group + place, time_s, small(image)


def small(image: Rgb) -> Rgb:
    """Return the picture with its longer side SIDE_PX, each pixel a mean."""
    import cv2

    height, width = image.shape[:2]
    scale = SIDE_PX / max(height, width)
    if scale >= 1:
        return image
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(slots=True)
class _Candidate:
    number: int
    time_s: float
    before: Rgb  # the picture that was left
    is_flash: bool = False


class _Watcher:
    """Takes frames in order; remembers numbers, and pictures for as long as a flash may last."""

    def __init__(self, options: Options) -> None:
        from scenedetect.detectors import AdaptiveDetector

        self._detector = AdaptiveDetector(
            adaptive_threshold=options.cut_ratio,
            min_scene_len=0,
            window_width=WINDOW,
            min_content_val=options.cut_content,
        )
        self._flash_s = options.flash_s
        self._recent: deque[tuple[int, float, Rgb]] = deque()
        self._candidates: list[_Candidate] = []
        self._slot = -1
        self._before: Rgb | None = None  # the look before
        self.first = 0
        self.times_s: list[float] = []
        self.levels: list[float] = []
        self.looks: list[list[Any]] = []

    def take(self, number: int, time_s: float, image: Rgb) -> None:
        from scenedetect import FrameTimecode

        if not self.times_s:
            self.first = number
        self.times_s.append(round(time_s, 6))
        self.levels.append(round(float(image.mean()), 2))
        self._keep(number, time_s, image)
        # The rate only names the numbers here: the detector compares frame with frame.
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        for cut in self._detector.process_frame(FrameTimecode(number, 25.0), bgr):
            self._remember(cut.frame_num)
        for candidate in reversed(self._candidates):
            if time_s - candidate.time_s > self._flash_s:
                break
            candidate.is_flash |= _difference(candidate.before, image) < SAME_LOOK
        if int(time_s / LOOK_S + 1e-6) > self._slot:
            self._slot = int(time_s / LOOK_S + 1e-6)
            self._look(time_s, image, self._before)
            self._before = image

    def _keep(self, number: int, time_s: float, image: Rgb) -> None:
        self._recent.append((number, time_s, image))
        oldest_s = self.times_s[-WINDOW - 2 :][0] - self._flash_s
        while self._recent[0][1] < oldest_s:
            self._recent.popleft()

    def _remember(self, number: int) -> None:
        """Note a cut, which is WINDOW frames ago, and whether its picture was here just before."""
        place = next((i for i, kept in enumerate(self._recent) if kept[0] == number), 0)
        if place == 0:
            return
        (_, _, before), (_, time_s, after) = self._recent[place - 1], self._recent[place]
        candidate = _Candidate(number, time_s, before)
        for _, earlier_s, earlier in list(self._recent)[:place]:
            if time_s - earlier_s <= self._flash_s:
                candidate.is_flash |= _difference(earlier, after) < SAME_LOOK
        for _, later_s, later in list(self._recent)[place:]:
            if later_s - time_s <= self._flash_s:
                candidate.is_flash |= _difference(before, later) < SAME_LOOK
        self._candidates.append(candidate)
        self._look(time_s, after, after)  # so that the shortest shot has one

    def cuts(self) -> list[int]:
        """Return the cuts that are no edge of a flash: a light on a picture that comes back."""
        return [cut.number for cut in self._candidates if not cut.is_flash]

    def _look(self, time_s: float, image: Rgb, before: Rgb | None) -> None:
        import cv2

        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        change = 0.0 if before is None else _changed(before, image)
        means = image.reshape(-1, 3).mean(axis=0) / 255
        layout = cv2.resize(image, GRID, interpolation=cv2.INTER_AREA).reshape(-1)
        shares = [
            float(means.mean()),
            float(means[0] - means[2]),
            float(hsv[..., 1].mean() / 255),
            change,
        ]
        rounded = [round(share, 4) for share in shares]
        self.looks.append([round(time_s, 6), *rounded, _histogram(hsv), layout.tolist()])


def _difference(first: Rgb, second: Rgb) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())


def _changed(before: Rgb, now: Rgb) -> float:
    """Return the share of pixels that changed, after the change of the whole light is taken off."""
    difference = now.mean(axis=2, dtype=np.float32) - before.mean(axis=2, dtype=np.float32)
    difference -= np.median(difference)
    return float((np.abs(difference) > CHANGED).mean())


def _histogram(hsv: NDArray[Any]) -> list[float]:
    """Return the pixels' shares of hues, then of greys; sums to 1."""
    hue, saturation, value = (hsv[..., axis].reshape(-1).astype(np.int64) for axis in range(3))
    dull = (saturation < DULL) | (value < DULL)
    bins = np.where(dull, HUES + value * GREYS // 256, hue * HUES // 180)
    counted = np.bincount(bins, minlength=HUES + GREYS) / max(len(bins), 1)
    return [round(share, 4) for share in counted.tolist()]
