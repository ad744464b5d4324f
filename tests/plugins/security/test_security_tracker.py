"""Tracks from boxes: identities are kept, as well as by a second implementation of ByteTrack."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit.types import Detection
from agentkit_security.kalman import ACCELERATION, Motion
from agentkit_security.tracker import Frame, TrackerConfig, assigned, iou, track
from agentkit_security.tracks import Track

Corners = tuple[float, float, float, float]
FPS = 10.0


def person(box: Sequence[float], score: float = 0.9, kind: str = "person") -> Detection:
    left, top, right, bottom = (float(at) for at in box)
    return Detection(kind, score, (left, top, right, bottom))


def walk(start: float, speed: float, top: float, count: int = 60) -> list[Corners]:
    """Someone walking along a row of the picture: 0.04 wide, 0.2 high."""
    lefts = [start + speed * n / FPS for n in range(count)]
    return [(left, top, left + 0.04, top + 0.2) for left in lefts]


def frames_of(*walks: Sequence[Corners | None]) -> list[Frame]:
    """Frames of several things; None where one is not seen."""
    return [
        (n / FPS, [person(box) for box in boxes if box is not None])
        for n, boxes in enumerate(zip(*walks, strict=True))
    ]


def follow(frames: Sequence[Frame], **changes: float) -> list[Track]:
    return track(frames, "v", 1.0, TrackerConfig(**changes))  # type: ignore[arg-type]


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    one, other = walk(0.1, 0.1, 0.3), walk(0.7, -0.1, 0.3)
    found = follow(frames_of(one, other))
    assert [t.boxes for t in found] == [tuple(one), tuple(other)]
    assert [(t.number, t.kind, t.start_s, t.end_s) for t in found] == [
        (1, "person", 0.0, 5.9),
        (2, "person", 0.0, 5.9),
    ]


def test_one_that_is_hidden_for_a_second_is_the_same_one_after() -> None:
    path: list[Corners | None] = [*walk(0.1, 0.1, 0.3)]
    path[20:30] = [None] * 10
    (found,) = follow(frames_of(path))
    assert found.boxes == tuple(box for box in path if box is not None)


def test_one_that_is_away_for_longer_than_is_waited_is_another_one() -> None:
    path: list[Corners | None] = [*walk(0.1, 0.0, 0.3)]
    path[20:45] = [None] * 25
    found = follow(frames_of(path), lost_s=2.0)
    assert [(t.number, t.start_s, t.end_s) for t in found] == [(1, 0.0, 1.9), (2, 4.5, 5.9)]


def test_an_uncertain_box_continues_a_track_and_begins_none() -> None:
    path = walk(0.1, 0.1, 0.3, 30)
    scores = [0.9] * 10 + [0.42] * 10 + [0.9] * 10
    seen = [
        (n / FPS, [person(box, s)]) for n, (box, s) in enumerate(zip(path, scores, strict=True))
    ]
    (found,) = follow(seen)
    assert found.scores == tuple(scores)
    assert follow([(t, [person(d.box, 0.42) for d in ds]) for t, ds in seen]) == []


def test_two_slips_of_the_detector_are_no_track() -> None:
    path = walk(0.1, 0.0, 0.3, 2)
    assert follow(frames_of(path)) == []


def test_a_person_and_a_car_in_one_place_are_two() -> None:
    path = walk(0.1, 0.1, 0.3)
    seen = [(n / FPS, [person(box), person(box, 0.8, "car")]) for n, box in enumerate(path)]
    assert sorted(t.kind for t in follow(seen)) == ["car", "person"]


def test_what_is_called_car_then_truck_is_one_vehicle_with_the_commoner_name() -> None:
    path = walk(0.1, 0.05, 0.3, 30)
    seen = [
        (n / FPS, [person(box, 0.8, "truck" if n % 3 else "car")]) for n, box in enumerate(path)
    ]
    assert [(t.kind, len(t.boxes)) for t in follow(seen)] == [("truck", 30)]


def test_a_rate_that_varies_is_no_other_thing() -> None:
    """Every third frame is missing: the filter knows seconds, not frames."""
    path = walk(0.1, 0.15, 0.3)
    seen = [frame for n, frame in enumerate(frames_of(path)) if n % 3]
    (found,) = follow(seen)
    assert found.times_s == tuple(time_s for time_s, _ in seen)


def test_no_frames_and_no_boxes_are_no_tracks() -> None:
    assert follow([]) == []
    assert follow([(0.0, []), (0.1, [])]) == []


def test_the_filter_learns_a_steady_speed() -> None:
    path = [np.array(box) for box in walk(0.1, 0.2, 0.3)]
    motion = Motion.of(path[0])
    for box in path[1:]:
        motion.predict(1 / FPS)
        motion.update(box)
    assert motion.velocity == pytest.approx([0.2, 0, 0, 0], abs=1e-3)
    motion.predict(1.0)
    assert motion.corners == pytest.approx(path[-1] + [0.2, 0, 0.2, 0], abs=1e-3)


def test_the_filter_is_the_matrix_filter_of_the_books() -> None:
    """The four small filters against one Kalman filter with 8 x 8 matrices."""
    rng = np.random.default_rng(3)
    boxes = [np.array([0.1, 0.2, 0.2, 0.5]) + n * 0.01 + rng.normal(0, 0.004, 4) for n in range(9)]
    ours = Motion.of(boxes[0])
    state = np.concatenate([ours.place, ours.velocity])
    covar = np.diag(np.concatenate([ours.place_var, ours.velocity_var]))
    watch = np.eye(4, 8)
    for n, box in enumerate(boxes[1:]):
        step = 0.1 if n % 2 else 0.3
        move = np.eye(8) + step * np.eye(8, k=4)
        pair = np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        state, covar = (
            move @ state,
            move @ covar @ move.T + ACCELERATION * np.kron(pair, np.eye(4)) * state[3] ** 2,
        )
        seen = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, *(box[2:] - box[:2])])
        gain = (
            covar
            @ watch.T
            @ np.linalg.inv(watch @ covar @ watch.T + np.eye(4) * (seen[3] / 20) ** 2)
        )
        state, covar = state + gain @ (seen - watch @ state), (np.eye(8) - gain @ watch) @ covar
        ours.predict(step)
        ours.update(box)
        assert np.concatenate([ours.place, ours.velocity]) == pytest.approx(state, abs=1e-9)
        assert ours.place_var == pytest.approx(np.diag(covar)[:4], rel=1e-6)


corner = st.floats(0, 0.6)
side = st.floats(0.01, 0.4)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, side, side)


@given(st.lists(boxes, min_size=1, max_size=4), st.lists(boxes, min_size=1, max_size=4))
def test_iou_is_that_of_one_pair_at_a_time(ones: list[Corners], others: list[Corners]) -> None:
    def plain(a: Corners, b: Corners) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0) * max(height, 0)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    want = [[plain(a, b) for b in others] for a in ones]
    assert iou(np.array(ones), np.array(others)) == pytest.approx(np.array(want), abs=1e-9)


@given(st.integers(0, 4), st.integers(0, 4), st.randoms(use_true_random=False))
def test_the_assignment_is_the_best_of_all(rows: int, columns: int, random: object) -> None:
    """Against every possible assignment."""
    likeness = np.array(
        [[random.random() for _ in range(columns)] for _ in range(rows)]  # type: ignore[attr-defined]
    ).reshape(rows, columns)

    def best(row: int, free: frozenset[int]) -> float:
        if row == rows:
            return 0.0
        taken = [
            float(likeness[row, c]) + best(row + 1, free - {c})
            for c in free
            if likeness[row, c] >= 0.3
        ]
        return max([best(row + 1, free), *taken])

    pairs = assigned(likeness, 0.3)
    assert sum(float(likeness[pair]) for pair in pairs) == pytest.approx(
        best(0, frozenset(range(columns)))
    )
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)


# A second implementation, on scenes whose identities are known.


def scene(seed: int) -> tuple[list[dict[int, Corners]], list[Frame]]:
    """Walkers of known identity that cross; the further one of two is hidden, or hardly seen.

    Who stands lower is nearer. A box is uncertain where a third is hidden, gone where two thirds
    are; every box trembles, one in twenty is missed, and there are slips of the detector.
    """
    rng = np.random.default_rng(seed)
    walkers = int(rng.integers(4, 9))
    tops, starts = rng.uniform(0.2, 0.45, walkers), rng.uniform(0.05, 0.9, walkers)
    speeds = rng.choice([-1.0, 1.0], walkers) * rng.uniform(0.03, 0.12, walkers)
    truth, seen = [], []
    for n in range(150):
        lefts = starts + speeds * n / FPS
        true = {
            i: (lefts[i], tops[i], lefts[i] + 0.05, tops[i] + 0.22)
            for i in range(walkers)
            if -0.02 < lefts[i] < 0.97
        }
        found = []
        for i, box in true.items():
            hidden = max(
                (_hidden(box, b) for j, b in true.items() if tops[j] > tops[i]), default=0.0
            )
            if hidden > 0.67 or rng.random() < 0.05:
                continue
            score = 0.43 if hidden > 0.33 else 0.8
            found.append(person(np.array(box) + rng.normal(0, 0.003, 4), score))
        if rng.random() < 0.05:
            left, top = rng.uniform(0, 0.9), rng.uniform(0, 0.7)
            found.append(person((left, top, left + 0.05, top + 0.2), 0.55))
        truth.append(true)
        seen.append((n / FPS, found))
    return truth, seen


def _hidden(box: Corners, by: Corners) -> float:
    width = min(box[2], by[2]) - max(box[0], by[0])
    height = min(box[3], by[3]) - max(box[1], by[1])
    return max(width, 0) * max(height, 0) / ((box[2] - box[0]) * (box[3] - box[1]))


def idf1(truth: list[dict[int, Corners]], found: list[dict[int, Corners]]) -> float:
    import motmetrics

    accumulated = motmetrics.MOTAccumulator(auto_id=True)
    for true, ours in zip(truth, found, strict=True):
        distances = 1 - iou(_rows(true), _rows(ours))
        distances[distances > 0.5] = np.nan
        accumulated.update(list(true), list(ours), distances)
    table = motmetrics.metrics.create().compute(accumulated, metrics=["idf1"])
    return float(table["idf1"].iloc[0])


def _rows(boxes: dict[int, Corners]) -> NDArray[np.float64]:
    return np.array(list(boxes.values())).reshape(-1, 4)


def by_frame(tracks: Sequence[Track], frames: Sequence[Frame]) -> list[dict[int, Corners]]:
    at: dict[float, dict[int, Corners]] = {time_s: {} for time_s, _ in frames}
    for one in tracks:
        for time_s, box in zip(one.times_s, one.boxes, strict=True):
            at[time_s][one.number] = box
    return list(at.values())


def by_supervision(frames: Sequence[Frame]) -> list[dict[int, Corners]]:
    supervision = pytest.importorskip("supervision")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracker = supervision.ByteTrack(
            track_activation_threshold=0.5, lost_track_buffer=60, frame_rate=int(FPS)
        )
    out = []
    for _, found in frames:
        detections = supervision.Detections.empty()
        if found:
            detections = supervision.Detections(
                xyxy=np.array([one.box for one in found]) * 1000,
                confidence=np.array([one.score for one in found]),
                class_id=np.zeros(len(found), int),
            )
        tracked = tracker.update_with_detections(detections)
        ids = [] if tracked.tracker_id is None else tracked.tracker_id.tolist()
        out.append(dict(zip(ids, map(tuple, (tracked.xyxy / 1000).tolist()), strict=True)))
    return out


def test_identities_are_kept_as_well_as_by_supervision() -> None:
    pytest.importorskip("motmetrics")
    ours, theirs = [], []
    for seed in range(8):
        truth, frames = scene(seed)
        ours.append(idf1(truth, by_frame(follow(frames), frames)))
        theirs.append(idf1(truth, by_supervision(frames)))
    print(f"IDF1 ours {np.mean(ours):.3f}, supervision {np.mean(theirs):.3f}")
    assert np.mean(ours) >= np.mean(theirs) - 0.02
    assert np.mean(ours) > 0.8
