"""Two views cut from one clip of pedestrians: whose tracks belong together is known from the clip.

A view is a part of the picture, at another size, exposure and compression, with grain of its own,
and begins at another time. Who is who comes from tracks through the whole clip: a view's track is
of the one that its boxes, put back into the clip, lie on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agentkit.detecting import Detectors
from agentkit.testing import RecordedSession, make_video
from agentkit.types import StoredVideo
from agentkit_security.tracking import tracks_of
from agentkit_security.tracks import Box, Track

FPS = 10
GRAIN = 3.0
ON = 0.4  # least IoU of a view's box with the clip's
MOSTLY = 0.5  # share of a track's boxes that must lie on one


@dataclass(frozen=True, slots=True)
class View:
    """A part of the clip: `left`..`right` of its width, `start`..`stop` of its frames."""

    name: str
    left: float
    right: float
    start: int
    stop: int
    size_px: tuple[int, int]
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crf: int = 20

    def make(self, clip: Path, folder: Path) -> Path:
        """Cut the view out, if it is not there."""
        path = folder / f"view-{self.name}.mp4"
        if not path.exists():
            frames = self._frames(clip)
            part = make_video(
                folder / f"part-{self.name}.mp4",
                seconds=(self.stop - self.start) / FPS,
                fps=FPS,
                size_px=self.size_px,
                draw=lambda *_: next(frames),
                options={"preset": "veryfast", "crf": str(self.crf)},
            )
            part.replace(path)
        return path

    def _frames(self, clip: Path) -> Iterator[NDArray[np.uint8]]:
        chance = np.random.default_rng([ord(letter) for letter in self.name])
        size = (16, self.size_px[1], self.size_px[0], 3)
        grain = GRAIN * chance.standard_normal(size, np.float32)
        gain = np.array(self.gain, np.float32)
        with av.open(str(clip)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if self.start <= number < self.stop:
                    whole = frame.to_image()
                    edges = (self.left * whole.width, 0, self.right * whole.width, whole.height)
                    cut = whole.crop(tuple(round(edge) for edge in edges))
                    cut = np.asarray(cut.resize(self.size_px, Image.Resampling.BILINEAR))
                    seen = cut * gain + grain[chance.integers(len(grain))]
                    yield np.clip(seen, 0, 255).astype(np.uint8)

    def in_clip(self, box: Box) -> Box:
        wide = self.right - self.left
        return self.left + box[0] * wide, box[1], self.left + box[2] * wide, box[3]

    def owners(self, tracks: Sequence[Track], whole: Sequence[Track]) -> dict[int, int]:
        """Return which of the clip's tracks each of the view's tracks is of, where it is clear."""
        shown = [{_tick(t): box for t, box in zip(w.times_s, w.boxes, strict=True)} for w in whole]
        found = {}
        for track in tracks:
            votes: Counter[int] = Counter()
            for time_s, box in zip(track.times_s, track.boxes, strict=True):
                tick = _tick(time_s + self.start / FPS)
                on = [(self._iou(boxes, tick, box), w) for w, boxes in enumerate(shown)]
                best, owner = max(on)
                votes[owner] += best >= ON
            owner, count = votes.most_common(1)[0]
            if count >= MOSTLY * len(track.boxes):
                found[track.number] = whole[owner].number
        return found

    def _iou(self, boxes: dict[int, Box], tick: int, box: Box) -> float:
        # The clip and the view are looked at every second frame, not always the same ones.
        near = next((boxes[t] for t in (tick, tick - 1, tick + 1) if t in boxes), None)
        if near is None:
            return 0.0
        cut = max(near[0], self.left), near[1], min(near[2], self.right), near[3]
        return iou(cut, self.in_clip(box))


# Pairs of views: what they share, and the second one's later start.
LATE = 74  # frames
OVERLAP = (
    View("left-60", 0.0, 0.6, 0, 700, (460, 576)),
    View("right-60", 0.4, 1.0, LATE, 795, (400, 500), (1.1, 1.0, 0.88), 28),
)
WHOLE = (
    View("whole", 0.0, 1.0, 0, 700, (768, 576)),
    View("small", 0.0, 1.0, LATE, 795, (480, 360), (1.1, 1.0, 0.88), 32),
)
APART = (
    View("left-44", 0.0, 0.44, 0, 700, (338, 576)),
    View("right-44", 0.56, 1.0, LATE, 795, (300, 512), (1.1, 1.0, 0.88), 28),
)


def iou(a: Box, b: Box) -> float:
    wide = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
    tall = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    areas = [max(c[2] - c[0], 0.0) * (c[3] - c[1]) for c in (a, b)]
    return wide * tall / max(sum(areas) - wide * tall, 1e-9)


def _tick(time_s: float) -> int:
    return round(time_s * FPS)


def session_of(videos: Sequence[StoredVideo]) -> RecordedSession:
    """Return a session that looks with the embedded detector."""
    detectors = Detectors(threads=1)
    return RecordedSession(list(videos), see=lambda image, what: detectors([image], what)[0])


def whole_tracks(session: RecordedSession, video: StoredVideo) -> list[Track]:
    return tracks_of(session, video)
