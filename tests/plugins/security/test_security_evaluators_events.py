"""Events: sums done by hand, a matching that is found by trying all, labels and order."""

import itertools
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.types import Evaluation, UsageError
from agentkit_security.evaluators.events import Event, EventF1, matched, overlap

HEADER = "video,start_s,end_s,label\n"


def evaluate(folder: Path, found: str, true: str) -> Evaluation:
    (folder / "found.csv").write_text(HEADER + found, encoding="utf-8")
    (folder / "true.csv").write_text(HEADER + true, encoding="utf-8")
    return EventF1().evaluate(folder / "found.csv", folder / "true.csv")


def test_two_videos_by_hand(tmp_path: Path) -> None:
    """By starts, 2 s: enter at 11.5 meets 10; leave at 33 is 3 s off; crowd is in no truth.

    enter 1 of 1 and 2 (yard's is missed): F1 2 / 3; leave 0 of 1 and 1; crowd 0 of 1 and 0.
    All: 1 of 3 and 3: precision and recall 1 / 3. Macro (2 / 3 + 0 + 0) / 3.
    By overlap, 0.5: enter 11.5-20 with 10-20: 8.5 / 10; leave 33-40 with 30-40: 7 / 10: both.
    All: 2 of 3 and 3. enter again 2 / 3, leave 1: macro (2 / 3 + 1 + 0) / 3.
    """
    result = evaluate(
        tmp_path,
        "gate,11.5,20,enter\ngate,33,40,leave\nyard,5,6,crowd\n",
        "gate,10,20,enter\ngate,30,40,leave\nyard,5,6,enter\n",
    )
    assert result.metrics == pytest.approx(
        {"precision@2s": 1 / 3, "recall@2s": 1 / 3, "f1@2s": 1 / 3, "macro_f1@2s": 2 / 9}
        | {"f1@2s/crowd": 0, "f1@2s/enter": 2 / 3, "f1@2s/leave": 0}
        | {"precision@iou0.5": 2 / 3, "recall@iou0.5": 2 / 3, "f1@iou0.5": 2 / 3}
        | {"macro_f1@iou0.5": 5 / 9}
        | {"f1@iou0.5/crowd": 0, "f1@iou0.5/enter": 2 / 3, "f1@iou0.5/leave": 1}
    )
    assert result.per_video["gate"] == pytest.approx(
        {"precision@2s": 1 / 2, "recall@2s": 1 / 2, "f1@2s": 1 / 2}
        | {"precision@iou0.5": 1, "recall@iou0.5": 1, "f1@iou0.5": 1}
    )
    assert result.per_video["yard"] == dict.fromkeys(result.per_video["gate"], 0)
    assert result.correct == {"gate:enter:0": True, "gate:leave:0": False, "yard:enter:0": False}


def test_one_alarm_cannot_meet_two_events(tmp_path: Path) -> None:
    result = evaluate(tmp_path, "a,10,11,x\n", "a,9,10,x\na,11,12,x\n")
    assert (result.metrics["recall@2s"], result.metrics["precision@2s"]) == (1 / 2, 1)


def test_the_greedy_choice_is_not_taken_where_another_matches_more() -> None:
    """The alarm at 2 is nearest to the event at 2.5, but only it can meet the event at 0."""
    found = [Event("a", start, start + 1, "x") for start in (2, 4)]
    true = [Event("a", start, start + 1, "x") for start in (0, 2.5)]
    assert matched(found, true, lambda one, other: abs(one.start_s - other.start_s) <= 2) == {0, 1}


times = st.lists(st.integers(0, 12), max_size=5)


@given(times, times, st.integers(0, 4))
def test_no_other_matching_finds_more(found: list[int], true: list[int], tolerance: int) -> None:
    def near(one: Event, other: Event) -> bool:
        return abs(one.start_s - other.start_s) <= tolerance

    events = [
        [Event("a", start, start + 1, "x") for start in sorted(each)] for each in (found, true)
    ]
    short, long = sorted(events, key=len)
    most = max(
        sum(near(one, other) for one, other in zip(short, order, strict=True))
        for order in itertools.permutations(long, len(short))
    )
    assert len(matched(*events, near)) == most


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_overlap_second_by_second(start: int, size: int, other_start: int, other_size: int) -> None:
    one = Event("a", start, start + size, "x")
    other = Event("a", other_start, other_start + other_size, "x")
    held, other_held = (set(range(s, s + n)) for s, n in ((start, size), (other_start, other_size)))
    if held and other_held:
        reach = range(min(start, other_start), max(start + size, other_start + other_size))
        expected = len(held & other_held) / len(reach)
        assert overlap(one, other) == pytest.approx(expected if held & other_held else 0)
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, one) == 1


Rows = list[tuple[str, int, int, str]]

rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 9), st.sampled_from("xyz")),
    min_size=1,
    max_size=12,
)


def text(each: Rows, renamed: dict[str, str] | None = None) -> str:
    names = renamed or {}
    return "".join(
        f"{names.get(video, video)},{start},{start + size},{names.get(label, label)}\n"
        for video, start, size, label in each
    )


@given(rows, rows, st.randoms())
def test_order_and_names_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, found: Rows, true: Rows, random: Random
) -> None:
    folder = tmp_path_factory.mktemp("events")
    before = evaluate(folder, text(found), text(true)).metrics
    names = {"a": "north gate", "b": '"yard, back"', "x": "leaves", "y": "enters", "z": "runs"}
    back = {name.strip('"'): letter for letter, name in names.items()}
    random.shuffle(found)
    random.shuffle(true)
    after = evaluate(folder, text(found, names), text(true, names)).metrics
    restored = {
        "/".join([name.split("/")[0], *(back[label] for label in name.split("/")[1:])]): value
        for name, value in after.items()
    }
    assert restored == pytest.approx(before)
    swapped = evaluate(folder, text(true), text(found)).metrics
    for rule in ("2s", "iou0.5"):
        assert swapped[f"precision@{rule}"] == before[f"recall@{rule}"]
        assert swapped[f"f1@{rule}"] == pytest.approx(before[f"f1@{rule}"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,5,4,x", "line 2: ends at 4 before it starts; swap the two times"),
        ("a,-1,4,x", "line 2: start_s -1 is below 0"),
        (",1,4,x", "line 2: the video or the label is empty; name both"),
        ("a,1,4,", "line 2: the video or the label is empty; name both"),
        ("a,1,4", "line 2: 3 cells where 4 are meant: video,start_s,end_s,label"),
        ("a,1s,4,x", "line 2: start_s '1s' is no number; write one as 1.5"),
    ],
)
def test_what_is_no_event_is_refused(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(tmp_path, f"{row}\n", "a,1,2,x\n")
    assert str(caught.value) == f"{tmp_path / 'found.csv'}, {said}"


def test_no_event_may_be_found_but_one_must_be_true(tmp_path: Path) -> None:
    assert evaluate(tmp_path, "", "a,1,2,x\n").metrics["f1@2s"] == 0
    with pytest.raises(UsageError, match=r"true\.csv: no event to find; list one a line"):
        evaluate(tmp_path, "a,1,2,x\n", "")
