"""Shots and scenes: published examples, sums done by hand, and a matching that is found slowly."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.types import Evaluation, UsageError
from agentkit_media.evaluators.scenes import Scene, SceneSegmentation, coverage, overflow
from agentkit_media.evaluators.shots import ShotF1, Transition, matched, read_transitions


def evaluate(
    evaluator: ShotF1 | SceneSegmentation, folder: Path, found: str, true: str
) -> Evaluation:
    (folder / "found.txt").write_text(found, encoding="utf-8")
    (folder / "true.txt").write_text(true, encoding="utf-8")
    return evaluator.evaluate(folder / "found.txt", folder / "true.txt")


@pytest.mark.parametrize(
    ("tolerance", "first", "hit"),
    # TransNet V2's own examples: shots 0-5 and 6-9 are predicted, the true ones are cut earlier
    [
        *((0, 5, True), (0, 4, False), (1, 4, True), (1, 3, False)),
        *((2, 4, True), (2, 3, True), (2, 2, False)),
    ],
)
def test_the_examples_of_transnet_v2(tmp_path: Path, tolerance: int, first: int, hit: bool) -> None:
    (tmp_path / "a.txt").write_text(f"0 {first}\n{first + 1} 9\n", encoding="utf-8")
    true = read_transitions(tmp_path / "a.txt")
    assert matched([Transition(5.5, 5.5)], true, tolerance) == ({0} if hit else set())


def test_a_dissolve_is_met_anywhere_in_it_and_a_cut_within_the_tolerance(tmp_path: Path) -> None:
    """True: a cut at 100, frames 200-219 dissolve, a cut at 300.

    Predicted: 103 (3 off), 210 (in the dissolve), 215 (in it too: one may meet it), 290 (10 off).
    At 0 and 2 frames: 1 hit of 4 predicted and 3 true, F1 2 / 7. At 5: 2 hits, F1 4 / 7.
    """
    result = evaluate(
        ShotF1(), tmp_path, "103\n210\n215\n290\n", "0 99\n100 199\n220 299\n300 400\n"
    )
    one = {"precision": 1 / 4, "recall": 1 / 3, "f1": 2 / 7, "video_mean_f1": 2 / 7}
    two = {"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7, "video_mean_f1": 4 / 7}
    assert result.metrics == pytest.approx(
        {f"{name}@{tolerance}": value for tolerance in (0, 2) for name, value in one.items()}
        | {f"{name}@5": value for name, value in two.items()}
    )
    assert result.correct == {"true:100": False, "true:220": True, "true:300": False}


def test_counts_are_added_up_over_videos_and_means_taken_of_f1(tmp_path: Path) -> None:
    """a: 1 hit of 1 and 1, F1 1. b: 1 hit of 3 predicted, 2 true, F1 2 / 5. All: 2 of 4 and 3."""
    for name, text in {
        "found/a.txt": "10",
        "found/b.txt": "50\n60\n70",
        "true/a.txt": "10",
        "true/b.txt": "60\n90",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    result = ShotF1().evaluate(tmp_path / "found", tmp_path / "true")
    values = {name: result.metrics[f"{name}@2"] for name in ("precision", "recall", "f1")}
    assert values == pytest.approx({"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7})
    assert result.metrics["video_mean_f1@2"] == pytest.approx((1 + 2 / 5) / 2)
    assert {video: each["f1@2"] for video, each in result.per_video.items()} == {"a": 1, "b": 2 / 5}


def test_a_video_of_one_shot_counts_where_others_have_boundaries(tmp_path: Path) -> None:
    for name, text in {
        "found/a.txt": "10",
        "found/b.txt": "0 99",
        "true/a.txt": "10",
        "true/b.txt": "0 99",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert ShotF1().evaluate(tmp_path / "found", tmp_path / "true").metrics["video_mean_f1@0"] == 1
    with pytest.raises(UsageError, match="one shot has no boundary to find; add other videos"):
        ShotF1().evaluate(tmp_path / "found/a.txt", tmp_path / "true/b.txt")


def transitions(data: st.DataObject) -> list[Transition]:
    bounds = data.draw(st.lists(st.integers(0, 60), unique=True, max_size=16).map(sorted))
    return [
        Transition(first - 0.5, last - 0.5)
        for first, last in zip(bounds[::2], bounds[1::2], strict=False)
    ]


@given(st.data(), st.integers(0, 6))
def test_no_other_matching_finds_more(data: st.DataObject, tolerance: int) -> None:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    found, true = transitions(data), transitions(data)
    hits = matched(found, true, tolerance)
    near = [[each.near(other, tolerance) for other in found] for each in true]
    most = 0
    if found and true:
        most = int((maximum_bipartite_matching(csr_array(np.array(near))) >= 0).sum())
    assert len(hits) == most
    assert len(matched(true, found, tolerance)) == most  # the two may change places


@given(st.data(), st.integers(0, 6), st.integers(0, 1000))
def test_numbering_frames_otherwise_changes_nothing(
    data: st.DataObject, tolerance: int, shift: int
) -> None:
    found, true = transitions(data), transitions(data)
    moved = [[Transition(t.start + shift, t.end + shift) for t in each] for each in (found, true)]
    assert matched(*moved, tolerance) == matched(found, true, tolerance)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10\n5\n", "line 2: frame 5 does not come after 10; sort the lines"),
        ("10\n10\n", "line 2: frame 10 does not come after 10; sort the lines"),
        ("0 9\n9 20\n", "line 2: frame 9 does not come after 9; sort the lines"),
        ("9 0\n", "line 1: the shot ends at 0 before it starts; swap the numbers"),
        ("0 9\n10\n", "line 2: 1 numbers where the first line has 2; write as many"),
        ("1 2 3\n", "line 1: write the first frame of a shot, or its first and last frame"),
        ("-1\n", "line 1: frame -1 is below 0"),
        ("a\n", "line 1: frame 'a' is no whole number; write digits"),
    ],
)
def test_what_is_no_list_of_shots_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(ShotF1(), tmp_path, text, "10\n")
    assert str(caught.value) == f"{tmp_path / 'found.txt'}, {said}"


def test_coverage_and_overflow_by_hand(tmp_path: Path) -> None:
    """True: shots 0-3, 4-5, 6-9. Predicted: 0-1, 2-6, 7-9.

    0-3: half is in 0-1, half in 2-6: coverage 2 / 4. 2-6 has 3 others, the neighbour 2: overflow
    3 / 2, cut to 1. 4-5: all in 2-6, 1; 3 others, neighbours 4 + 4: 3 / 8. 6-9: 3 in 7-9: 3 / 4;
    2-6 has 4 others, the neighbour 2: 1. Weighted by 4, 2, 4 of 10 shots:
    C = (2 + 2 + 3) / 10, O = (4 + 0.75 + 4) / 10, F = 2 * 0.7 * 0.125 / 0.825.
    Boundaries 4, 6 are true and 2, 7 predicted: none is found.
    """
    result = evaluate(SceneSegmentation(), tmp_path, "0 1\n2 6\n7 9\n", "0 3\n4 5\n6 9\n")
    nothing = {f"boundary_{name}": 0 for name in ("precision", "recall", "f1")}
    expected = {"coverage": 0.7, "overflow": 0.875, "f": 0.175 / 0.825, **nothing}
    assert result.metrics == pytest.approx(expected)
    assert result.per_video == {"true": pytest.approx(expected)}
    assert result.correct == {"true:4": False, "true:6": False}


def test_boundaries_by_hand(tmp_path: Path) -> None:
    """Of 2, 4, 8 predicted 4 and 8 are true, of 4, 6, 8: precision, recall and F1 2 / 3."""
    result = evaluate(SceneSegmentation(), tmp_path, "0 1\n2 3\n4 7\n8 9\n", "0 3\n4 5\n6 7\n8 9\n")
    assert {name: result.metrics[f"boundary_{name}"] for name in ("precision", "recall", "f1")} == (
        pytest.approx(dict.fromkeys(("precision", "recall", "f1"), 2 / 3))
    )


def test_one_scene_that_is_predicted_as_one_is_perfect(tmp_path: Path) -> None:
    result = evaluate(SceneSegmentation(), tmp_path, "0 9\n", "0 9\n")
    best = {name: best for name, (_, best) in SceneSegmentation.ranges.items()}
    assert result.metrics == best


scenes_of = st.lists(st.integers(1, 6), min_size=1, max_size=8)


def laid_out(sizes: list[int], total: int) -> list[Scene]:
    starts = sorted({0, total, *(start for start in np.cumsum(sizes).tolist() if start < total)})
    return [Scene(first, last) for first, last in pairwise(starts)]


@given(scenes_of, scenes_of)
def test_counting_shot_by_shot_gives_the_same(sizes: list[int], other_sizes: list[int]) -> None:
    total = sum(sizes)
    true, found = laid_out(sizes, total), laid_out(other_sizes, total)
    place_of = {
        shot: at for at, scene in enumerate(found) for shot in range(scene.start, scene.end)
    }
    for at, scene in enumerate(true):
        shots = range(scene.start, scene.end)
        held = [place_of[shot] for shot in shots]
        assert coverage(scene, found) == max(map(held.count, held)) / len(shots)
        beyond = [shot for shot in range(total) if place_of[shot] in held and shot not in shots]
        around = [other for place, other in enumerate(true) if abs(place - at) == 1]
        near = sum(other.size for other in around)
        assert overflow(at, true, found) == (min(len(beyond) / near, 1) if near else 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 3\n5 9\n", "found.txt, line 2: the scene starts at 5, not 4; leave no gap"),
        ("3 0\n", "found.txt, line 1: the scene ends at 0 before it starts; swap the numbers"),
        ("0\n", "found.txt, line 1: write a scene's first and last shot, as 0 11"),
        ("0 8\n", "found.txt: covers 0 to 8, but"),
    ],
)
def test_what_is_no_list_of_scenes_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(SceneSegmentation(), tmp_path, text, "0 4\n5 9\n")
    assert said in str(caught.value)
