"""Which boxes of successive frames are one thing: ByteTrack's association. Knows no video.

Zhang et al., ByteTrack, 2022: certain boxes are matched first, to all tracks; what is still
without a box is then matched to the uncertain ones, which are mostly the half-hidden. The cost is
1 - IoU to where the filter expects the box, solved whole (Hungarian). A track counts from its
second box on.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentkit.types import Detection
from agentkit_security.kalman import Motion
from agentkit_security.tracks import Track

Floats = NDArray[np.float64]
Frame = tuple[float, Sequence[Detection]]  # time in s, what was found

# What the detector takes for one another from frame to frame is followed as one thing; its name
# is that of most of its boxes.
_ALIKE = (
    ("car", "truck", "bus", "train"),
    ("bicycle", "motorcycle"),
    ("backpack", "handbag", "suitcase"),
)
_FAMILY = {kind: family[0] for family in _ALIKE for kind in family}


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """The published limits, but for a detector that gives no score under 0.4, and few frames."""

    certain: float = 0.5  # a box of the first matching
    new: float = 0.5  # what a track begins with
    overlap: float = 0.1  # least IoU of the first matching: ByteTrack has 0.2 at 30 frames/s
    overlap_uncertain: float = 0.5  # of the second
    overlap_unconfirmed: float = 0.3  # of a track that has one box
    lost_s: float = 2.0  # how long a track without a box is waited for
    min_boxes: int = 3  # fewer are taken for a slip of the detector


@dataclass(slots=True)
class _Live:
    """A track that may still go on."""

    motion: Motion
    times_s: list[float]
    found: list[Detection]

    @property
    def is_confirmed(self) -> bool:
        return len(self.found) > 1


@dataclass(slots=True)
class _Family:
    """The tracks of things that are alike; boxes are in picture heights."""

    config: TrackerConfig
    aspect: float
    live: list[_Live] = field(default_factory=list)
    ended: list[_Live] = field(default_factory=list)
    now_s: float | None = None

    def step(self, time_s: float, found: Sequence[Detection]) -> None:
        config = self.config
        before_s = self._move_on(time_s)
        certain = [one for one in found if one.score >= config.certain]
        unsure = [one for one in found if one.score < config.certain]
        confirmed = [track for track in self.live if track.is_confirmed]
        missed, certain = self._match(confirmed, certain, config.overlap, time_s)
        steady = [track for track in missed if track.times_s[-1] == before_s]
        self._match(steady, unsure, config.overlap_uncertain, time_s)
        unconfirmed = [track for track in self.live if len(track.found) == 1]
        failed, certain = self._match(unconfirmed, certain, config.overlap_unconfirmed, time_s)
        self._end(time_s, failed)
        self.live += [
            _Live(Motion.of(self._corners(one)), [time_s], [one])
            for one in certain
            if one.score >= config.new
        ]

    def _move_on(self, time_s: float) -> float:
        """Let the filters expect the boxes of `time_s`; return the time of the frame before."""
        before_s = time_s if self.now_s is None else self.now_s
        for track in self.live:
            track.motion.predict(time_s - before_s)
        self.now_s = time_s
        return before_s

    def _match(
        self, tracks: list[_Live], found: list[Detection], overlap: float, time_s: float
    ) -> tuple[list[_Live], list[Detection]]:
        """Give boxes to tracks; return the tracks and the boxes that are left."""
        boxes = np.array([self._corners(one) for one in found]).reshape(-1, 4)
        expected = np.array([track.motion.corners for track in tracks]).reshape(-1, 4)
        pairs = assigned(iou(expected, boxes), overlap)
        for row, column in pairs:
            track = tracks[row]
            track.motion.update(boxes[column])
            track.times_s.append(time_s)
            track.found.append(found[column])
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for row, track in enumerate(tracks) if row not in rows],
            [one for column, one in enumerate(found) if column not in columns],
        )

    def _end(self, time_s: float, failed: Sequence[_Live]) -> None:
        """Take out what was a single box, and what was waited for long enough."""
        dropped = {id(track) for track in failed}
        old = [t for t in self.live if time_s - t.times_s[-1] > self.config.lost_s]
        gone = dropped | {id(track) for track in old}
        self.ended += [track for track in old if id(track) not in dropped]
        self.live = [track for track in self.live if id(track) not in gone]

    def _corners(self, found: Detection) -> Floats:
        left, top, right, bottom = found.box
        return np.array([left * self.aspect, top, right * self.aspect, bottom])


def track(
    frames: Iterable[Frame], video_id: str, aspect: float, config: TrackerConfig | None = None
) -> list[Track]:
    """Return what was followed through frames in order of time; numbered as they begin.

    `aspect` is the picture's width over its height.
    """
    config = config or TrackerConfig()
    families: dict[str, _Family] = {}
    for time_s, found in frames:
        by_family: dict[str, list[Detection]] = defaultdict(list)
        for one in found:
            by_family[_FAMILY.get(one.kind, one.kind)].append(one)
        for name in by_family.keys() - families.keys():
            families[name] = _Family(config, aspect)
        for name, family in sorted(families.items()):
            family.step(time_s, by_family[name])
    done = [
        one
        for _, family in sorted(families.items())
        for one in [*family.ended, *family.live]
        if len(one.found) >= config.min_boxes
    ]
    done.sort(key=lambda one: (one.times_s[0], one.found[0].box))
    return [_track(one, number, video_id) for number, one in enumerate(done, start=1)]


def _track(live: _Live, number: int, video_id: str) -> Track:
    votes: dict[str, float] = defaultdict(float)
    for one in live.found:
        votes[one.kind] += one.score
    return Track(
        video_id,
        number,
        max(sorted(votes), key=lambda kind: votes[kind]),
        tuple(live.times_s),
        tuple(one.box for one in live.found),
        tuple(one.score for one in live.found),
    )


def iou(ones: Floats, others: Floats) -> Floats:
    """Return each box's intersection over union with each other one, [N, M]."""
    left_top = np.maximum(ones[:, None, :2], others[None, :, :2])
    right_bottom = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (ones, others)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-12))


def assigned(likeness: Floats, least: float) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the best assignment that are alike enough."""
    if not likeness.size:
        return []
    from scipy.optimize import linear_sum_assignment

    # A pair that may not be costs as much as none, or it would push others from their places.
    cost = np.where(likeness >= least, 1 - likeness, 1.0)
    rows, columns = linear_sum_assignment(cost)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if likeness[row, column] >= least]
