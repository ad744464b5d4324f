"""Phases: sums done by hand, the relaxed rule frame by frame, scikit-learn, segments slowly."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, jaccard_score, precision_score, recall_score

from agentkit.types import Evaluation, UsageError
from agentkit_healthcare.evaluators.example_files import phase_text
from agentkit_healthcare.evaluators.phases import PhaseRecognition
from agentkit_healthcare.evaluators.relaxed import ORDER, right_frames
from agentkit_healthcare.evaluators.segments import edit_score, overlap_f1, segments

PREPARATION, CALOT, CLIPPING, DISSECTION, PACKAGING, CLEANING, RETRACTION = ORDER[1:]


def evaluate(folder: Path, found: list[str], true: list[str], step: int = 25) -> Evaluation:
    (folder / "found.txt").write_text(phase_text(found, step), encoding="utf-8")
    (folder / "true.txt").write_text(phase_text(true, step), encoding="utf-8")
    return PhaseRecognition().evaluate(folder / "found.txt", folder / "true.txt")


def run(*spans: tuple[str, int]) -> list[str]:
    return [phase for phase, seconds in spans for _ in range(seconds)]


def test_a_late_transition_by_hand(tmp_path: Path) -> None:
    """A frame a second. True: 30 s of preparation, 50 s of Calot. Predicted: 45 s and 35 s.

    Strict: 15 s wrong of 80: 65 / 80. Preparation: 30 hits, 45 predicted, 30 true: precision
    30 / 45, recall 1, Jaccard 30 / 45. Calot: 35 hits of 35 and 50: 1, 35 / 50, 35 / 50.
    Relaxed: 10 of the 15 are forgiven: 75 / 80. Preparation: 40 of 45 in either: 40 / 45, recall
    40 / 30 cut to 1, Jaccard 40 / 45. Calot: 45 of 50 in either: precision 45 / 35 cut to 1.
    Two segments each in one order: edit 1. IoU 30 / 45 and 35 / 50: both count to 50 %.
    """
    result = evaluate(
        tmp_path, run((PREPARATION, 45), (CALOT, 35)), run((PREPARATION, 30), (CALOT, 50))
    )
    phases = {
        f"precision/{PREPARATION}": 30 / 45,
        f"recall/{PREPARATION}": 1,
        f"jaccard/{PREPARATION}": 30 / 45,
        f"precision/{CALOT}": 1,
        f"recall/{CALOT}": 35 / 50,
        f"jaccard/{CALOT}": 35 / 50,
        f"relaxed_precision/{PREPARATION}": 40 / 45,
        f"relaxed_recall/{PREPARATION}": 1,
        f"relaxed_jaccard/{PREPARATION}": 40 / 45,
        f"relaxed_precision/{CALOT}": 1,
        f"relaxed_recall/{CALOT}": 45 / 50,
        f"relaxed_jaccard/{CALOT}": 45 / 50,
    }
    whole = {
        "accuracy": 65 / 80,
        "precision": (30 / 45 + 1) / 2,
        "recall": (1 + 35 / 50) / 2,
        "jaccard": (30 / 45 + 35 / 50) / 2,
        "relaxed_accuracy": 75 / 80,
        "relaxed_precision": (40 / 45 + 1) / 2,
        "relaxed_recall": (1 + 45 / 50) / 2,
        "relaxed_jaccard": (40 / 45 + 45 / 50) / 2,
        "edit": 1,
        "f1@10": 1,
        "f1@25": 1,
        "f1@50": 1,
    }
    assert result.metrics == pytest.approx(whole | phases)
    assert result.per_video == {"true": pytest.approx(whole)}
    assert sum(result.correct.values()) == 65
    assert result.correct["true:29s"]
    assert not result.correct["true:44s"]


def test_means_are_over_the_videos_of_a_phase_and_then_over_phases(tmp_path: Path) -> None:
    """Calot is true in b only: its recall is b's 0. Preparation: 1 in a, 1 in b.

    b never has Calot predicted: its precision is undefined, and no metric has it.
    """
    for name, phases in {
        "true/a.txt": run((PREPARATION, 4)),
        "found/a.txt": run((PREPARATION, 4)),
        "true/b.txt": run((PREPARATION, 4), (CALOT, 40)),
        "found/b.txt": run((PREPARATION, 44)),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(phase_text(phases), encoding="utf-8")
    metrics = PhaseRecognition().evaluate(tmp_path / "found", tmp_path / "true").metrics
    assert metrics["accuracy"] == pytest.approx((1 + 4 / 44) / 2)
    assert metrics["recall"] == pytest.approx((1 + 0) / 2)
    assert metrics["jaccard"] == pytest.approx(((1 + 4 / 44) / 2 + 0) / 2)
    assert metrics["precision"] == pytest.approx((1 + 4 / 44) / 2)
    assert f"precision/{CALOT}" not in metrics


def test_a_phase_that_is_not_in_the_truth_lowers_the_others_only(tmp_path: Path) -> None:
    result = evaluate(tmp_path, run((PREPARATION, 30), (RETRACTION, 10)), run((PREPARATION, 40)))
    assert result.metrics["precision"] == 1
    assert result.metrics["recall"] == 30 / 40
    assert f"recall/{RETRACTION}" not in result.metrics


@pytest.mark.parametrize(
    ("true", "said", "late", "early"),
    [  # who may still be named in the first 10 s, and already in the last, by the script's table
        (CALOT, PREPARATION, True, False),
        (CALOT, CLIPPING, False, True),
        (CALOT, DISSECTION, False, False),
        (DISSECTION, CLIPPING, True, False),
        (DISSECTION, PACKAGING, False, True),
        (DISSECTION, CLEANING, False, True),
        (DISSECTION, RETRACTION, False, False),
        (PACKAGING, DISSECTION, True, False),
        (PACKAGING, CLIPPING, False, False),
        (PACKAGING, RETRACTION, False, True),
        (CLEANING, PACKAGING, True, False),
        (CLEANING, DISSECTION, True, False),
        (CLEANING, CLIPPING, False, False),
        (RETRACTION, CLEANING, True, False),
        (RETRACTION, PACKAGING, True, False),
        (RETRACTION, DISSECTION, False, False),
    ],
)
def test_the_table_of_the_script(true: str, said: str, late: bool, early: bool) -> None:
    right = right_frames([said] * 50, [true] * 50, 1, relaxed=True)
    assert right.tolist() == [late] * 10 + [False] * 30 + [early] * 10


def test_a_short_phase_is_relaxed_all_through() -> None:
    true = run((PREPARATION, 20), (CALOT, 6), (CLIPPING, 20))
    right = right_frames([PREPARATION] * 46, true, 1, relaxed=True)
    assert right.tolist() == [True] * 26 + [False] * 20


def test_10_seconds_are_250_frames_at_25_a_second(tmp_path: Path) -> None:
    true, found = run((PREPARATION, 300), (CALOT, 700)), run((PREPARATION, 700), (CALOT, 300))
    result = evaluate(tmp_path, found, true, step=1)
    assert result.metrics["accuracy"] == 600 / 1000
    assert result.metrics["relaxed_accuracy"] == 850 / 1000
    assert len(result.correct) == 40


def test_other_procedures_go_by_their_own_neighbours() -> None:
    true = run(("lavage", 30), ("shaving", 30), ("lavage", 30))
    right = right_frames(["shaving"] * 90, true, 1, relaxed=True)
    assert right.tolist() == [False] * 20 + [True] * 50 + [False] * 20


def slow_right(found: list[str], true: list[str], room: int) -> list[bool]:
    """Frame by frame: how far it is to both ends of its segment, and who may stand there."""
    number = {phase: at for at, phase in enumerate(ORDER)}
    right = []
    for frame, (said, phase) in enumerate(zip(found, true, strict=True)):
        since = next(
            back for back in range(frame + 2) if back > frame or true[frame - back] != phase
        )
        until = next(
            ahead
            for ahead in range(len(true) + 1)
            if frame + ahead >= len(true) or true[frame + ahead] != phase
        )
        apart = number[said] - number[phase]
        forgiven = set()
        if since - 1 < room:
            forgiven |= {-1, -2} if phase in (CLEANING, RETRACTION) else {-1}
        if until - 1 < room:
            last_four = (DISSECTION, PACKAGING, CLEANING, RETRACTION)
            forgiven |= {1, 2} if phase in last_four else {1}
        right.append(apart == 0 or apart in forgiven)
    return right


any_phases = st.lists(
    st.tuples(st.sampled_from(ORDER), st.integers(1, 30)), min_size=1, max_size=6
).map(lambda spans: run(*spans))


def cut(found: list[str], true: list[str]) -> tuple[list[str], list[str]]:
    size = min(len(found), len(true))
    return found[:size], true[:size]


@given(any_phases, any_phases, st.sampled_from([1.0, 0.5, 2.0]))
def test_the_relaxed_rule_frame_by_frame(found: list[str], true: list[str], rate: float) -> None:
    found, true = cut(found, true)
    right = right_frames(found, true, rate, relaxed=True)
    assert right.tolist() == slow_right(found, true, round(10 * rate))
    strict = right_frames(found, true, rate, relaxed=False)
    assert (right | ~strict).all()  # relaxed is never less


@given(any_phases, any_phases)
def test_strict_values_are_those_of_scikit_learn(
    tmp_path_factory: pytest.TempPathFactory, found: list[str], true: list[str]
) -> None:
    found, true = cut(found, true)
    metrics = evaluate(tmp_path_factory.mktemp("phases"), found, true).metrics
    labels = sorted(set(true))
    each = {"labels": labels, "average": None, "zero_division": 0}
    assert metrics["accuracy"] == pytest.approx(accuracy_score(true, found))
    assert metrics["recall"] == pytest.approx(recall_score(true, found, **each).mean())
    assert metrics["jaccard"] == pytest.approx(jaccard_score(true, found, **each).mean())
    said = [at for at, label in enumerate(labels) if label in found]
    if said:
        precisions = precision_score(true, found, **each)[said]
        assert metrics["precision"] == pytest.approx(precisions.mean())
    else:
        assert "precision" not in metrics


@given(any_phases, any_phases)
def test_names_change_nothing_but_the_table(
    tmp_path_factory: pytest.TempPathFactory, found: list[str], true: list[str]
) -> None:
    found, true = cut(found, true)
    folder = tmp_path_factory.mktemp("names")
    before = evaluate(folder, found, true).metrics
    after = evaluate(
        folder, [f"{n} of mine" for n in found], [f"{n} of mine" for n in true]
    ).metrics
    for name in ("accuracy", "recall", "jaccard", "edit", "f1@10", "f1@25", "f1@50"):
        assert after[name] == pytest.approx(before[name])


def test_the_order_of_videos_changes_nothing(tmp_path: Path) -> None:
    random = Random(3)
    videos = [
        cut(
            *(run(*[(random.choice(ORDER), random.randint(5, 40)) for _ in range(5)]) for _ in "ab")
        )
        for _ in range(6)
    ]
    results = []
    for order in (range(6), random.sample(range(6), 6)):
        folder = tmp_path / f"run{len(results)}"
        for place, video in zip("abcdef", order, strict=True):
            for side, phases in zip(("found", "true"), videos[video], strict=True):
                (folder / side).mkdir(parents=True, exist_ok=True)
                path = folder / side / f"{place}.txt"
                path.write_text(phase_text(phases), encoding="utf-8")
        results.append(PhaseRecognition().evaluate(folder / "found", folder / "true").metrics)
    assert results[0] == pytest.approx(results[1])


def test_one_prediction_a_second_is_held_to_those_frames(tmp_path: Path) -> None:
    true = run((PREPARATION, 60), (CALOT, 65))  # at 25 a second: 5 seconds
    (tmp_path / "true.txt").write_text(phase_text(true, 1), encoding="utf-8")
    found = run((PREPARATION, 2), (CALOT, 3))  # frames 0, 25, 50, 75, 100
    (tmp_path / "found.txt").write_text(phase_text(found), encoding="utf-8")
    result = PhaseRecognition().evaluate(tmp_path / "found.txt", tmp_path / "true.txt")
    assert result.metrics["accuracy"] == 4 / 5  # frame 50 is in the preparation
    assert result.correct == {f"true:{second}s": second != 2 for second in range(5)}


def test_edit_score_and_f1_by_hand() -> None:
    """A 4, B 4, C 2 against A 5, C 5: B is one too many: 1 - 1 / 3.

    A: 4 / 5; C: 2 / 5; B none. At 10 and 25 %: 2 of 3 and 2: F1 4 / 5; at 50 %: A only: 2 / 5.
    """
    found, true = run(("A", 4), ("B", 4), ("C", 2)), run(("A", 5), ("C", 5))
    assert edit_score(["A", "B", "C"], ["A", "C"]) == pytest.approx(2 / 3)
    scores = [overlap_f1(segments(found), segments(true), share) for share in (0.1, 0.25, 0.5)]
    assert scores == pytest.approx([4 / 5, 4 / 5, 2 / 5])


def slow_edit(found: tuple[str, ...], true: tuple[str, ...]) -> int:
    if not found or not true:
        return len(found) + len(true)
    return min(
        slow_edit(found[1:], true) + 1,
        slow_edit(found, true[1:]) + 1,
        slow_edit(found[1:], true[1:]) + (found[0] != true[0]),
    )


short_names = st.lists(st.sampled_from("abc"), min_size=1, max_size=5)


@given(short_names, short_names)
def test_the_edit_score_by_its_recursion(found: list[str], true: list[str]) -> None:
    worst = max(len(found), len(true))
    assert edit_score(found, true) == pytest.approx(
        1 - slow_edit(tuple(found), tuple(true)) / worst
    )


def slow_f1(found: list[str], true: list[str], share: float) -> float:
    """Segments as sets of frames; true positives, false positives and misses counted one by one."""

    def pieces(names: list[str]) -> list[tuple[str, set[int]]]:
        starts = [at for at in range(len(names)) if at == 0 or names[at] != names[at - 1]]
        ends = [*starts[1:], len(names)]
        spans = zip(starts, ends, strict=True)
        return [(names[start], set(range(start, end))) for start, end in spans]

    free = dict.fromkeys(range(len(pieces(true))), True)
    hits = false = 0
    for name, frames in pieces(found):
        ious = [
            len(frames & other) / len(frames | other) if name == other_name else 0.0
            for other_name, other in pieces(true)
        ]
        best = int(np.argmax(ious))
        if ious[best] >= share and free[best]:
            free[best], hits = False, hits + 1
        else:
            false += 1
    precision, recall = hits / (hits + false), hits / (hits + sum(free.values()))
    return 2 * precision * recall / (precision + recall) if hits else 0.0


frames_of = st.lists(st.sampled_from("abc"), min_size=1, max_size=25)


@given(frames_of, frames_of, st.sampled_from([0.1, 0.25, 0.5]))
def test_f1_by_sets_of_frames(found: list[str], true: list[str], share: float) -> None:
    found, true = cut(found, true)
    fast = overlap_f1(segments(found), segments(true), share)
    assert fast == pytest.approx(slow_f1(found, true, share))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("0\tPreparation\n", "found.txt, line 1: the header is '0\\tPreparation'; write Frame and"),
        ("Frame\tPhase\n", "found.txt, line 1: no frame follows; is the file cut off?"),
        ("Frame\tPhase\n0\n", "found.txt, line 2: write the frame's number, a tab and the phase"),
        (
            "Frame\tPhase\n0\tA\n25\tA\n75\tA\n",
            "line 4: frame 75 follows 25; write frames in order",
        ),
        ("Frame\tPhase\n0\tA\n0\tA\n", "line 3: frame 0 follows 0; write frames in order"),
        ("Frame\tPhase\n0\tA\n25\tA\n", "found.txt: frames 0 to 25, but"),
        ("Frame\tPhase\n0\tA\n30\tA\n60\tA\n", "found.txt: frames 0, 30 ... are not among those"),
        ("Frame\tPhase\n25\tA\n50\tA\n75\tA\n", "found.txt: frames 25 to 75, but"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, found: str, said: str) -> None:
    (tmp_path / "found.txt").write_text(found, encoding="utf-8")
    (tmp_path / "true.txt").write_text(phase_text(["A"] * 4), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        PhaseRecognition().evaluate(tmp_path / "found.txt", tmp_path / "true.txt")
    assert said in str(caught.value)
