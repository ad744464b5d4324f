"""Summaries: correlations against SciPy's, a knapsack against trying all, sums done by hand."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from agentkit.types import Evaluation, UsageError
from agentkit_media.evaluators.ranking import kendall_tau, spearman_rho
from agentkit_media.evaluators.summaries import Summaries, knapsack, summary
from agentkit_media.evaluators.summary_files import read_annotations

few_values = st.lists(st.integers(0, 4), min_size=2, max_size=40)


@given(st.data(), st.sampled_from([3, 1000]))
def test_correlations_are_those_of_scipy(data: st.DataObject, values: int) -> None:
    size = data.draw(st.integers(2, 60))
    one, other = (
        np.array(data.draw(st.lists(st.integers(0, values), min_size=size, max_size=size)), float)
        for _ in range(2)
    )
    if one.min() == one.max() or other.min() == other.max():
        assert kendall_tau(one, other) is None
        assert spearman_rho(one, other) is None
    else:
        assert kendall_tau(one, other) == pytest.approx(kendalltau(one, other).statistic)
        assert spearman_rho(one, other) == pytest.approx(spearmanr(one, other).statistic)


def test_a_film_of_many_frames_is_ranked_as_scipy_does() -> None:
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=20_000), rng.integers(1, 6, 20_000).astype(float)
    other += (one > 1) * 2
    assert kendall_tau(one, other) == pytest.approx(kendalltau(one, other).statistic)
    assert spearman_rho(one, other) == pytest.approx(spearmanr(one, other).statistic)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=9),
    st.integers(0, 40),
)
def test_no_other_choice_of_segments_is_worth_more(items: list[tuple[int, int]], room: int) -> None:
    sizes, values = (np.array(column) for column in zip(*items, strict=True))
    chosen = knapsack(values.astype(float), sizes, room)
    worths = [
        int(values[list(each)].sum())
        for count in range(len(items) + 1)
        for each in itertools.combinations(range(len(items)), count)
        if int(sizes[list(each)].sum()) <= room
    ]
    assert int(sizes[chosen].sum()) <= room
    assert int(values[chosen].sum()) == max(worths)


def rows(*each: Sequence[object]) -> str:
    return "".join(f"{','.join(map(str, row))}\n" for row in each)


def tvsum(folder: Path, *people: Sequence[int], segments: Sequence[int] = ()) -> Path:
    truth = folder / "truth"
    truth.mkdir()
    lines = "".join(f"park\tPK\t{','.join(map(str, scores))}\n" for scores in people)
    (truth / "ydata-tvsum50-anno.tsv").write_text(lines, encoding="utf-8")
    if segments:
        ends = [*segments[1:], len(people[0])]
        spans = [("park", start, end - 1) for start, end in zip(segments, ends, strict=True)]
        text = rows(("video", "start", "end"), *spans)
        (truth / "segments.csv").write_text(text, encoding="utf-8")
    return truth


def evaluate(folder: Path, truth: Path, scores: Sequence[float]) -> Evaluation:
    path = folder / "found.csv"
    text = rows(("video", "scores"), ("park", " ".join(map(str, scores))))
    path.write_text(text, encoding="utf-8")
    return Summaries().evaluate(path, truth)


def test_tvsum_by_hand(tmp_path: Path) -> None:
    """20 frames in segments of 1, 2, 2, 15; 15 % are 3 frames.

    Predicted means 5, 4, 3, 1: segments of 1 and 2 frames fit, 0-2. The first person's means
    4, 1, 5, 1: frame 0 and 3-4. The second's: 1, 5, 2, 1: 1-2 with frame 0 (5 + 1; with 3-4 it
    would not fit): 0-2. F with the first: one frame shared, 2 * 1 / 6; with the second 1.
    """
    people = [[4, 1, 1, 5, 5] + [1] * 15, [1, 5, 5, 2, 2] + [1] * 15]
    truth = tvsum(tmp_path, *people, segments=[0, 1, 3, 5])
    found = [5, 4, 4, 3, 3] + [1] * 15
    result = evaluate(tmp_path, truth, found)
    taus = [kendalltau(found, each).statistic for each in people]
    rhos = [spearmanr(found, each).statistic for each in people]
    assert result.metrics == pytest.approx(
        {"f1_mean": (1 / 3 + 1) / 2, "f1_max": 1, "kendall_tau": np.mean(taus)}
        | {"spearman_rho": np.mean(rhos)}
    )
    assert result.per_video == {"park": pytest.approx(result.metrics)}


def test_without_segments_there_are_correlations_only(tmp_path: Path) -> None:
    """Of 1, 3, 2 with 1, 2, 3 two pairs agree, one does not: tau 1 / 3, rho 1 - 6 * 2 / 24."""
    result = evaluate(tmp_path, tvsum(tmp_path, [1, 2, 3]), [1, 3, 2])
    assert result.metrics == pytest.approx({"kendall_tau": 1 / 3, "spearman_rho": 1 / 2})


def test_summaries_of_people_need_no_segments(tmp_path: Path) -> None:
    """SumMe: chosen 4 and 2 of 8 frames; predicted 4: shared 2 and 2. F 2*2/8 and 2*2/6."""
    truth = tmp_path / "truth.csv"
    people = ["1 1 1 1 0 0 0 0", "0 0 1 1 0 0 0 0"]
    text = rows(
        ("video", "annotator", "scores"), *[("park", n, each) for n, each in enumerate(people)]
    )
    truth.write_text(text, encoding="utf-8")
    result = evaluate(tmp_path, truth, [0, 0, 1, 1, 1, 1, 0, 0])
    assert result.metrics["f1_mean"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert result.metrics["f1_max"] == pytest.approx(2 / 3)


def test_scores_that_are_all_equal_agree_with_nobody(tmp_path: Path) -> None:
    result = evaluate(tmp_path, tvsum(tmp_path, [1, 2, 3], [2, 2, 2]), [4, 4, 4])
    assert result.metrics == {"kendall_tau": 0, "spearman_rho": 0}


def test_a_person_who_gave_one_score_is_left_out(tmp_path: Path) -> None:
    result = evaluate(tmp_path, tvsum(tmp_path, [1, 2, 3], [2, 2, 2]), [1, 2, 3])
    assert result.metrics == pytest.approx({"kendall_tau": 1, "spearman_rho": 1})


def test_a_score_holds_until_the_next_frame_listed(tmp_path: Path) -> None:
    truth = tvsum(tmp_path, [1, 1, 1, 4, 4, 4, 2], segments=[0])
    path = tmp_path / "sparse.csv"
    text = rows(("video", "frame", "score"), ("park", 0, 0.1), ("park", 3, 0.9), ("park", 6, 0.2))
    path.write_text(text, encoding="utf-8")
    whole = evaluate(tmp_path, truth, [0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.2])
    assert Summaries().evaluate(path, truth) == whole
    assert whole.metrics["kendall_tau"] == pytest.approx(1)


@given(few_values)
def test_a_summary_holds_15_percent_at_most(values: list[int]) -> None:
    scores = np.array(values, float)
    chosen = summary(scores, tuple(range(0, len(scores), 2)))
    assert chosen is not None
    if set(values) - {0, 1}:
        assert int(chosen.sum()) <= 0.15 * len(values)
    else:
        assert chosen.tolist() == [value == 1 for value in values]


def test_the_order_of_videos_and_of_people_changes_nothing(tmp_path: Path) -> None:
    lines = ["park\tPK\t1,2,3,5", "park\tPK\t1,3,3,2", "lake\tLK\t5,1,2", "lake\tLK\t2,1,4"]
    found = tmp_path / "found.csv"
    found.write_text("video,scores\npark,1 2 4 3\nlake,3 1 2\n", encoding="utf-8")
    results = []
    for each in itertools.permutations(lines):
        (tmp_path / "anno.tsv").write_text("\n".join(each), encoding="utf-8")
        results.append(Summaries().evaluate(found, tmp_path / "anno.tsv").metrics)
    assert all(each == pytest.approx(results[0]) for each in results)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,scores\npark,1 2\n", "line 2: 2 scores where 'park' has 3 frames"),
        ("video,scores\nlake,1 2 3\n", "line 2: video 'lake' is not in the ground truth"),
        ("video,scores\npark,1 2 3\npark,1 2 3\n", "line 3: video 'park' a second time; leave one"),
        ("video,scores\npark,1 2 x\n", "line 2: score 'x' is no number; write one as 1.5"),
        ("video,scores\n", ": no score of video 'park'; add it"),
        ("video,frame,score\npark,1,0.5\n", "line 2: frame 1 of 'park'; begin with frame 0"),
        (
            "video,frame,score\npark,0,1\npark,0,1\n",
            "line 3: frame 0 of 'park'; begin with frame 0",
        ),
        (
            "video,frame,score\npark,0,1\npark,3,1\n",
            "line 3: frame 3 of 'park', which has 3 frames",
        ),
        ("park,1\n", "line 1: the header is neither video,scores nor video,frame,score; write one"),
    ],
)
def test_wrong_predictions_are_refused(tmp_path: Path, text: str, said: str) -> None:
    truth, path = tvsum(tmp_path, [1, 2, 3]), tmp_path / "found.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        Summaries().evaluate(path, truth)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("segments.csv", "video,start,end\npark,0,1\n", "end at frame 1, its annotation at 2"),
        (
            "segments.csv",
            "video,start,end\npark,1,2\n",
            "line 2: 1 to 2 where 0 is next; leave no gap",
        ),
        ("segments.csv", "video,start,end\nlake,0,2\n", "line 2: video 'lake' has no annotation"),
        ("more.tsv", "park\tPK\t1,2,3\n", "2 annotation files; keep one beside segments.csv"),
        ("ydata-tvsum50-anno.tsv", "park PK 1,2\n", "line 1: neither TVSum's video, category and"),
        ("ydata-tvsum50-anno.tsv", "park\tPK\t1\n", "line 1: fewer than two scores"),
        (
            "ydata-tvsum50-anno.tsv",
            "park\tPK\t1,2,3\npark\tPK\t1,2\n",
            "line 2: 2 scores of 'park' where another annotator gave 3; give one a frame",
        ),
    ],
)
def test_a_wrong_annotation_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    truth = tvsum(tmp_path, [1, 2, 3])
    (truth / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_annotations(truth)
    assert said in str(caught.value)
