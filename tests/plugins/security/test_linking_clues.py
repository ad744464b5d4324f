"""Clothes, times and places weigh what they should, against the background of all pairs."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit_security.linking import appearance
from agentkit_security.linking.appearance import (
    distances,
    histograms,
    hue_chroma_light,
    is_cut,
    looks_alike,
    pixels_of,
    sights_to_look_at,
    stripes,
)
from agentkit_security.linking.ground import ground_ratios
from agentkit_security.linking.links import clothes_ratios, odds_beforehand, same_kind
from agentkit_security.linking.matching import marginals
from agentkit_security.linking.transit import (
    BACK,
    INSIDE,
    THERE,
    TOGETHER,
    Passages,
    Spans,
    edge_of,
    time_ratios,
)
from agentkit_security.tracks import Track

RGB = st.tuples(*[st.integers(0, 255)] * 3)


def track(video_id: str, number: int, times_s, boxes, kind: str = "person") -> Track:
    boxes = tuple(tuple(float(x) for x in box) for box in boxes)
    times_s = tuple(float(t) for t in times_s)
    return Track(video_id, number, kind, times_s, boxes, (0.9,) * len(times_s))


# Clothes


@given(RGB)
def test_hue_is_that_of_the_standard_library(rgb) -> None:
    values = np.array(rgb) / 255
    hue, chroma, light = (float(one) for one in hue_chroma_light(values))
    want = colorsys.rgb_to_hsv(*values)
    assert light == pytest.approx(want[2])
    assert chroma == pytest.approx(want[1] * want[2])
    assert abs((hue - want[0] + 0.5) % 1 - 0.5) < 1e-9 or chroma == 0


@given(st.lists(RGB, min_size=1, max_size=20))
def test_a_histogram_sums_to_one(pixels) -> None:
    assert histograms(np.array(pixels, float)).sum() == pytest.approx(1.0)


@given(RGB, st.integers(-2, 2))
def test_a_little_more_light_moves_little(rgb, more: int) -> None:
    one = np.clip(np.array([rgb], float), 2, 253)
    moved = np.abs(histograms(one) - histograms(one + more)).sum()
    assert moved <= 0.25 if np.ptp(one) > 25 or np.ptp(one) == 0 else moved <= 2


def painted(colours, noise: float = 4.0, seed: int = 0):
    """Return pixels of tracks with an upper and a lower colour each."""
    chance = np.random.default_rng(seed)
    shape = (len(colours), appearance.LOOKS, 2, 48, 3)
    flat = np.array(colours, float)[:, None, :, None, :]
    return np.clip(flat + chance.normal(0, noise, shape), 0, 255).astype(np.uint8)


CLOTHES = [
    [(150, 40, 40), (40, 40, 45)],
    [(60, 110, 60), (50, 60, 110)],
    [(190, 160, 60), (150, 150, 150)],
    [(200, 195, 185), (60, 60, 70)],
    [(50, 60, 110), (120, 80, 50)],
]


def test_the_same_clothes_are_nearest_under_another_white_balance() -> None:
    a = painted(CLOTHES)
    b = np.clip(painted(CLOTHES, seed=1) * np.array([1.2, 1.0, 0.8]), 0, 255).astype(np.uint8)
    one, other = looks_alike(a, b)
    found = distances(one.whole, other.whole)
    assert found.argmin(axis=1).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found, distances(other.whole, one.whole).T)


def test_distances_are_those_of_the_formula() -> None:
    chance = np.random.default_rng(0)
    a, b = (chance.dirichlet(np.ones(5), (3, 2)) for _ in range(2))
    slow = [
        [np.sqrt(1 - np.mean([np.sqrt(x[s] * y[s]).sum() for s in range(2)])) for y in b] for x in a
    ]
    np.testing.assert_allclose(distances(a, b), slow)


def test_stripes_are_taken_from_the_middle_of_the_box() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[20:50, 39:61] = (200, 0, 0)  # upper half of the box 0.3..0.7 x 0.1..0.9
    image[50:90, 39:61] = (0, 0, 200)
    upper, lower = stripes(image, (0.3, 0.1, 0.7, 0.9))
    assert upper[:, 0].mean() > 170
    assert lower[:, 2].mean() > 170


def test_boxes_cut_by_the_edge_are_not_looked_at_where_others_are() -> None:
    boxes = [(0.0, 0.2, 0.1, 0.6)] * 5 + [(0.3, 0.2, 0.4, 0.6)] * 5
    assert is_cut(boxes[0])
    assert set(sights_to_look_at(track("a", 1, range(10), boxes))) <= {5, 6, 7, 8, 9}
    assert len(sights_to_look_at(track("a", 1, range(5), boxes[:5]))) == appearance.LOOKS


def test_pixels_are_kept_in_pieces(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(appearance, "TRACKS_OF_PIECE", 2)
    video = stored_video(make_video(tmp_path / "film.mp4", seconds=2.0))
    tracks = [track(video.video_id, n, (0.1, 1.0), [(0.1, 0.1, 0.4, 0.9)] * 2) for n in (1, 2, 3)]
    session = RecordedSession([video])
    first = pixels_of(session, video, tracks)
    again = pixels_of(session, video, tracks)
    assert first.shape == (3, appearance.LOOKS, 2, 48, 3)
    assert (first == again).all()
    keys = {f"security/linking/appearance/{piece}": 1 for piece in (0, 1)}
    assert session.made == keys
    assert session.told[-1] == ("appearance", 3, 3)


def test_a_rare_look_says_more_than_a_common_one() -> None:
    # Rows 0 and 1 are each near to one column; everybody else looks like row 1.
    distance = np.full((6, 6), 0.6)
    distance[0, 0] = 0.1
    distance[1:, 1:] = 0.1
    ratios = clothes_ratios(distance, 0.1, np.zeros_like(distance))
    assert ratios[0, 0] > ratios[1, 1] > 1 > ratios[0, 1]


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.0, 0.4))
def test_ratios_fall_with_distance(rows: int, columns: int, close: float) -> None:
    chance = np.random.default_rng(rows * 10 + columns)
    distance = chance.uniform(0.2, 0.9, (rows, columns))
    ratios = clothes_ratios(distance, close, np.zeros_like(distance))
    order = np.argsort(distance[0])
    assert np.isfinite(ratios).all()
    assert (ratios > 0).all()
    if rows == 1:  # then all share a background, but for the columns' own
        assert ratios[0, order[0]] >= ratios[0, order[-1]]


def test_odds_beforehand_expect_as_many_links_as_thought() -> None:
    nothing = np.zeros((12, 15))
    expected = marginals(np.full((12, 15), odds_beforehand(nothing))).sum()
    assert expected == pytest.approx(6.0, rel=0.1)


def test_kinds_that_a_detector_takes_for_one_another_are_one() -> None:
    def of(kind: str) -> Track:
        return track("a", 1, (0.0, 1.0), [(0, 0, 1, 1)] * 2, kind)

    kinds = same_kind([of("person"), of("car")], [of("truck"), of("person")])
    assert kinds.tolist() == [[0.0, 1.0], [1.0, 0.0]]


# Times


def spans(starts, ends) -> Spans:
    inside = np.full(len(starts), INSIDE)
    return Spans(np.array(starts, float), np.array(ends, float), inside, inside)


def test_ways_and_gaps() -> None:
    passages = Passages.of(spans([0, 50], [10, 60]), spans([5, 20], [15, 30]), 0.0, np.inf)
    assert passages.way.tolist() == [[TOGETHER, THERE], [BACK, BACK]]
    assert passages.gap_s.tolist() == [[0, 10], [35, 20]]


def test_limits_of_the_user_are_kept() -> None:
    a, b = spans([0, 50], [10, 60]), spans([5, 20], [15, 30])
    ratios = time_ratios(Passages.of(a, b, 5.0, 25.0), np.zeros((2, 2)))
    assert (ratios > 0).tolist() == [[False, True], [False, True]]


def test_the_usual_time_on_the_way_is_learnt() -> None:
    chance = np.random.default_rng(0)
    leave = np.sort(chance.uniform(0, 300, 30))
    enter = leave + chance.normal(20, 1, 30)
    passages = Passages.of(spans(leave - 5, leave), spans(enter, enter + 5), 0.0, np.inf)
    some = np.zeros((30, 30))
    some[range(15), range(15)] = 0.9  # half of them are known
    ratios = time_ratios(passages, some)
    right = ratios[range(15, 30), range(15, 30)]  # the others show it
    unusual = (passages.way == THERE) & (np.abs(passages.gap_s - 20) > 8)
    assert np.median(right) > 10 * np.median(ratios[unusual])


def test_no_pair_is_its_own_evidence() -> None:
    passages = Passages.of(spans([0, 100], [10, 110]), spans([50, 160], [55, 170]), 0.0, np.inf)
    alone = np.zeros((2, 2))
    alone[0, 0] = 1.0
    before = time_ratios(passages, np.zeros((2, 2)))
    assert time_ratios(passages, alone)[0, 0] == pytest.approx(before[0, 0], rel=1e-6)


def test_edges() -> None:
    boxes = [
        (0.0, 0.3, 0.1, 0.6),
        (0.4, 0.01, 0.5, 0.3),
        (0.8, 0.3, 1.0, 0.6),
        (0.4, 0.6, 0.5, 0.99),
    ]
    assert [edge_of(box) for box in boxes] == [0, 1, 2, 3]
    assert edge_of((0.4, 0.4, 0.5, 0.6)) == INSIDE


# Places


def walkers(seed: int, count: int = 9):
    """Return tracks that criss-cross a square, as a camera sees them and as one beside it does."""
    chance = np.random.default_rng(seed)
    a, b = [], []
    for number in range(1, count + 1):
        start_s = chance.uniform(0, 30)
        times_s = np.arange(start_s, start_s + 12, 0.5)
        begin, end = chance.uniform(0.25, 0.75, (2, 2))
        share = (times_s - start_s)[:, None] / 12
        feet = begin + (end - begin) * share
        moved = feet @ np.array([[0.8, 0.05], [-0.1, 0.7]]) + np.array([0.15, 0.1])
        for camera, places, shift_s in ((a, feet, 0.0), (b, moved, 7.0)):
            noisy = places + chance.normal(0, 0.004, places.shape)
            boxes = [(x - 0.04, y - 0.2, x + 0.04, y) for x, y in noisy]
            camera.append(track("ab"[camera is b], number, times_s - shift_s, boxes))
    return a, b


def test_a_map_of_the_ground_is_found_and_tells_pairs_apart() -> None:
    a, b = walkers(0)
    ratios, count = ground_ratios(a, b, 7.0, np.ones((9, 9)))
    assert count >= 8
    assert (np.diag(ratios) > 1).all()
    turned, as_many = ground_ratios(b, a, -7.0, np.ones((9, 9)))
    assert abs(as_many - count) <= 1
    assert (np.diag(turned) > 1).all()
    others = ratios[~np.eye(9, dtype=bool)]
    assert (others[others != 1] < 1).mean() > 0.6


def test_no_map_is_found_where_paths_have_nothing_to_do_with_each_other() -> None:
    for seed in range(3):
        a, _ = walkers(seed)
        _, b = walkers(seed + 50)
        ratios, count = ground_ratios(a, b, 7.0, np.ones((9, 9)))
        assert count == 0
        assert (ratios == 1).all()


def test_a_map_that_squeezes_everything_into_a_spot_is_none() -> None:
    a, _ = walkers(0)
    spot = [
        track("b", one.number, one.times_s, [(0.5, 0.3, 0.58, 0.5 + 0.001 * one.number)] * 24)
        for one in a
    ]
    assert ground_ratios(a, spot, 0.0, np.ones((9, 9)))[1] == 0
    assert ground_ratios(spot, a, 0.0, np.ones((9, 9)))[1] == 0
