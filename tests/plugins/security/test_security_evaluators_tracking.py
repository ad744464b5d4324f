"""Tracks: py-motmetrics' published numbers, sums done by hand, MOT16's rules."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.types import Evaluation, UsageError
from agentkit_security.evaluators.track_files import Boxes
from agentkit_security.evaluators.tracking import Mot, box_ious, without_distractors


def evaluate(folder: Path, found: str, true: str) -> Evaluation:
    (folder / "found.txt").write_text(found, encoding="utf-8")
    (folder / "true.txt").write_text(true, encoding="utf-8")
    return Mot().evaluate(folder / "found.txt", folder / "true.txt")


@pytest.mark.parametrize(
    ("sequence", "published"),
    [
        ("TUD-Campus", {"idf1": 0.558, "mota": 0.526, "motp": 0.277, "id_switches": 7}),
        ("TUD-Stadtmitte", {"idf1": 0.645, "mota": 0.564, "motp": 0.346, "id_switches": 7}),
    ],
)
def test_the_numbers_of_py_motmetrics_readme(sequence: str, published: dict[str, float]) -> None:
    """The files come with py-motmetrics; MOT Challenge's own kit gives the same (MOTP: 1 - it)."""
    data = Path(str(files("motmetrics") / "data" / sequence))
    metrics = Mot().evaluate(data / "test.txt", data / "gt.txt").metrics
    assert {name: round(value, 3) for name, value in metrics.items()} == published


def box(frame: int, identity: int, left: int, extra: str = "1,1,1") -> str:
    return f"{frame},{identity},{left},0,10,20,{extra}\n"


def test_a_track_that_changes_its_number_by_hand(tmp_path: Path) -> None:
    """One person, 4 frames; found in 1-3, under number 1, 1, 2; a box beside it in frame 4.

    4 true boxes, 1 missed, 1 false, 1 switch: MOTA 1 - 3 / 4. Number 1 keeps 2 of 4 true and of
    4 found boxes: IDF1 2 * 2 / (4 + 4). IoU 1, 1 and 8 / 12: MOTP (0 + 0 + 1 / 3) / 3.
    """
    true = "".join(box(frame, 1, 100) for frame in range(1, 5))
    found = box(1, 1, 100) + box(2, 1, 100) + box(3, 2, 102) + box(4, 2, 300)
    result = evaluate(tmp_path, found, true)
    values = {"mota": 1 / 4, "idf1": 1 / 2, "motp": 1 / 9, "id_switches": 1}
    assert result.metrics == pytest.approx(values)
    assert result.per_video == {"true": pytest.approx(values)}


def test_a_distance_of_rounding_is_none(tmp_path: Path) -> None:
    """The IoU of this box with itself is a little above 1 in floating point."""
    row = "1,1,771.7,30.2,219.2,53.5,1,1,1\n"
    assert evaluate(tmp_path, row, row).metrics["motp"] == 0


def test_boxes_match_from_half_an_overlap_on(tmp_path: Path) -> None:
    """Moved by 3 of 10 the IoU is 7 / 13; by 4, 6 / 14: no match, so there is no MOTP."""
    true = box(1, 1, 100)
    assert evaluate(tmp_path, box(1, 5, 103), true).metrics["motp"] == pytest.approx(6 / 13)
    apart = evaluate(tmp_path, box(1, 5, 104), true).metrics
    assert apart == {"idf1": 0, "mota": -1, "id_switches": 0}


def test_what_is_not_to_be_found_is_taken_out_as_mot16_has_it(tmp_path: Path) -> None:
    """Of four true boxes one counts: the others are a reflection, a car, and one marked with 0.

    The box on the reflection is taken out; those on the car and on the marked one are false:
    1 true, 0 missed, 2 false: MOTA 1 - 2.
    """
    kinds = ["1,1,1", "1,12,1", "1,3,1", "0,1,1"]
    true = "".join(box(1, n, 100 * n, kind) for n, kind in enumerate(kinds, start=1))
    found = "".join(box(1, n, 100 * n, "-1,-1,-1,-1") for n in range(1, 5))
    assert evaluate(tmp_path, found, true).metrics["mota"] == -1
    only = box(1, 1, 100) + box(1, 2, 200)
    assert evaluate(tmp_path, only, true).metrics["mota"] == 1


def test_a_box_on_a_person_stays_though_a_distractor_is_near() -> None:
    """The box is assigned to the person, whom it overlaps more, so it stays."""
    places = np.array([[0.0, 0, 10, 20], [2.0, 0, 10, 20]])
    ids, counted = np.array([1, 2]), np.array([True, False])
    true = Boxes(ids, places, np.array([1, 8]), counted)
    found = Boxes(np.array([7]), places[:1], np.array([1]), np.array([True]))
    kept_true, kept_found = without_distractors(true, found)
    assert (kept_true.ids.tolist(), kept_found.ids.tolist()) == ([1], [7])
    on_it = Boxes(np.array([7]), places[1:], np.array([1]), np.array([True]))
    assert without_distractors(true, on_it)[1].ids.tolist() == []


def test_mot15_marks_with_its_confidence_and_has_no_classes(tmp_path: Path) -> None:
    true = box(1, 1, 100, "1,-1,-1,-1") + box(1, 2, 200, "0,-1,-1,-1")
    assert evaluate(tmp_path, box(1, 9, 100, "-1,-1,-1,-1"), true).metrics["mota"] == 1


def test_counts_are_added_up_over_videos(tmp_path: Path) -> None:
    """a: 2 true, none missed; b: 2 true, both missed. MOTA 1 and 0, together 1 / 2."""
    for name, text in {
        "true/a.txt": box(1, 1, 100) + box(2, 1, 100),
        "found/a.txt": box(1, 4, 100),
        "true/b.txt": box(1, 1, 100) + box(2, 1, 100),
        "found/b.txt": box(9, 4, 900),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "found/a.txt").write_text(box(1, 4, 100) + box(2, 4, 100), encoding="utf-8")
    result = Mot().evaluate(tmp_path / "found", tmp_path / "true")
    assert {video: each["mota"] for video, each in result.per_video.items()} == {"a": 1, "b": -0.5}
    assert result.metrics["mota"] == pytest.approx(1 - 3 / 4)  # 2 missed and 1 false of 4
    assert result.metrics["idf1"] == pytest.approx(2 * 2 / (4 + 3))


@settings(max_examples=15)  # a run of motmetrics each, and each is slow
@given(st.permutations(range(6)), st.permutations([3, 8, 20]))
def test_the_order_of_lines_and_the_numbers_of_tracks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], numbers: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("tracks")
    true = [box(frame, identity, 100 * identity) for frame in (1, 2) for identity in (1, 2, 3)]
    places = [(1, 0, 101), (1, 1, 200), (1, 2, 390), (2, 1, 102), (2, 0, 203), (2, 2, 300)]
    before = evaluate(folder, "".join(box(*place) for place in places), "".join(true))
    renamed = [box(frame, numbers[identity], left) for frame, identity, left in places]
    after = evaluate(
        folder, "".join(renamed[at] for at in order), "".join(true[at] for at in order)
    )
    assert after.metrics == pytest.approx(before.metrics)


sides = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6))


@given(sides, sides)
def test_overlap_is_that_of_pixels_counted(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    def pixels(left: int, top: int, width: int, height: int) -> set[tuple[int, int]]:
        return {(x, y) for x in range(left, left + width) for y in range(top, top + height)}

    held, other_held = pixels(*one), pixels(*other)
    (iou,) = box_ious(np.array([one], float), np.array([other], float)).ravel()
    assert iou == pytest.approx(len(held & other_held) / len(held | other_held))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,1,0,0,10", "line 1: 5 cells where 6 to 10 are meant: frame,id,left,top,width"),
        ("0,1,0,0,10,20,1", "line 1: frame 0 is below 1"),
        ("1,1.5,0,0,10,20,1", "line 1: id 1.5 is no whole number; number the tracks"),
        ("1,1,0,0,0,20,1", "line 1: the box is not of 0.01 to 1000000 pixels a side"),
        ("1,1,0,0,10,1e9,1", "line 1: the box is not of 0.01 to 1000000 pixels a side"),
        ("1,1,0,0,10,20,1\n1,1,5,5,10,20,1", "line 2: id 1 a second time in frame 1; leave one"),
        ("1 1 0 0 10 20 1", "line 1: 1 cells where 6 to 10 are meant"),
    ],
)
def test_what_is_no_mot_text_is_refused(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(tmp_path, f"{row}\n", box(1, 1, 100))
    assert said in str(caught.value)
