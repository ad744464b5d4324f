"""Anomalies: areas and precisions against scikit-learn's, sums done by hand, UCF-Crime's text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from agentkit.types import Evaluation, UsageError
from agentkit_security.evaluators.anomalies import AnomalyAuc, average_precision, roc_auc

both_kinds = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({is_so for _, is_so in rows}) == 2
)


@given(both_kinds)
def test_areas_are_those_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, true = np.array([score / 5 for score, _ in rows]), np.array([each for _, each in rows])
    assert roc_auc(scores, true) == pytest.approx(roc_auc_score(true, scores))
    assert average_precision(scores, true) == pytest.approx(average_precision_score(true, scores))


@given(both_kinds)
def test_the_area_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    """A tie counts half: Mann and Whitney's U, by its words."""
    scores, true = (
        np.array([float(score) for score, _ in rows]),
        np.array([each for _, each in rows]),
    )
    won = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[true]
        for low in scores[~true]
    ]
    assert roc_auc(scores, true) == pytest.approx(sum(won) / len(won))
    assert roc_auc(-scores, true) == pytest.approx(1 - roc_auc(scores, true))
    assert roc_auc(np.exp(scores), true) == pytest.approx(roc_auc(scores, true))


def evaluate(folder: Path, found: str, true: str) -> Evaluation:
    (folder / "found.csv").write_text(found, encoding="utf-8")
    (folder / "true.txt").write_text(true, encoding="utf-8")
    return AnomalyAuc().evaluate(folder / "found.csv", folder / "true.txt")


def scored(videos: dict[str, list[float]], kind: str = "frame", start: int = 1) -> str:
    rows = [f"video,{kind},score"]
    for video, scores in videos.items():
        rows += [f"{video},{number},{score}" for number, score in enumerate(scores, start)]
    return "\n".join([*rows, ""])


TRUE = "a  Abuse  2  3  -1  -1\nb  Normal  -1  -1  -1  -1\n"


def test_two_videos_by_hand(tmp_path: Path) -> None:
    """a: frames 2-3 of 4 are anomalous, scores 1 4 2 3; b: normal, 5 0.

    Pairs of 4 and 2 with 1, 3, 5, 0: 4 wins 3 of 4, 2 wins 2 of 4: AUC 5 / 8. In falling order
    5 4 3 2: precisions of the two hits 1 / 2 and 2 / 4: AP 1 / 2. Within a: of 4, 2 with 1, 3:
    3 of 4; its AP: 4 3 2 1, (1 + 2 / 3) / 2.
    """
    result = evaluate(tmp_path, scored({"a": [1, 4, 2, 3], "b": [5, 0]}), TRUE)
    assert result.metrics == pytest.approx({"auc": 5 / 8, "ap": 1 / 2, "within_video_auc": 3 / 4})
    assert result.per_video == {
        "a": pytest.approx({"within_video_auc": 3 / 4, "ap": 5 / 6}),
        "b": {},
    }


def test_telling_videos_apart_is_not_enough_within_them(tmp_path: Path) -> None:
    """a scores 1, b 0: pairs with b are won, half of those within a: AUC 6 / 8, within 1 / 2."""
    result = evaluate(tmp_path, scored({"a": [1] * 4, "b": [0] * 2}), TRUE)
    assert result.metrics == pytest.approx(
        {"auc": (2 * 2 + 2 * 2 / 2) / 8, "ap": 1 / 2, "within_video_auc": 1 / 2}
    )


@pytest.mark.parametrize("start", [0, 1])
def test_a_segment_is_16_frames_and_numbers_start_at_0_or_1(tmp_path: Path, start: int) -> None:
    true = "a Abuse 17 30 -1 -1\n"
    frames = evaluate(tmp_path, scored({"a": [0.2] * 16 + [0.9] * 16}), true)
    segments = evaluate(tmp_path, scored({"a": [0.2, 0.9]}, "segment", start), true)
    assert segments == frames
    assert frames.metrics["auc"] == pytest.approx((16 + 2 / 2) / 18)  # 31 and 32 are normal


def test_two_spans_and_an_end_beyond_the_scores(tmp_path: Path) -> None:
    result = evaluate(tmp_path, scored({"a": [1, 0, 0, 1, 1]}), "a Fighting 1 1 4 9\n")
    assert result.metrics == {"auc": 1, "ap": 1, "within_video_auc": 1}


def test_scores_may_come_in_a_file_a_video_in_any_order(tmp_path: Path) -> None:
    videos = {"a": [1.0, 4.0, 2.0, 3.0], "b": [5.0, 0.0]}
    whole = evaluate(tmp_path, scored(videos), TRUE)
    folder = tmp_path / "scores"
    folder.mkdir()
    for video, scores in videos.items():
        (folder / f"{video}.csv").write_text(scored({video: scores}), encoding="utf-8")
    assert AnomalyAuc().evaluate(folder, tmp_path / "true.txt") == whole
    swapped = "\n".join(reversed(TRUE.splitlines()))
    assert evaluate(tmp_path, scored(dict(reversed(videos.items()))), swapped) == whole
    (folder / "c.csv").write_text(scored({"b": [1.0]}), encoding="utf-8")
    with pytest.raises(UsageError, match=r"c\.csv: video 'b' is in another file too; leave one"):
        AnomalyAuc().evaluate(folder, tmp_path / "true.txt")


@pytest.mark.parametrize(
    ("found", "true", "said"),
    [
        (scored({"a": [1.0]}), TRUE, "found.csv: no line of video 'b'; both files hold the same"),
        (scored({"a": [1.0], "b": [1.0]}), TRUE, "true.txt, line 1: starts at frame 2, but 1"),
        (scored({"a": [1.0] * 4}), "a A 1 4\n", "true.txt: all frames are anomalous; AUC needs"),
        (scored({"a": [1.0] * 4}), "a N -1 -1\n", "true.txt: all frames are normal; AUC needs"),
        (scored({"a": [1.0]}, start=2), "a A 1 1\n", "line 2: frame 2 of 'a'; number them from 0"),
        ("video,frame,score\na,1,1\na,3,1\n", "a A 1 1\n", "line 3: frame 3 of 'a'; number them"),
        ("frame,score\n1,1\n", "a A 1 1\n", "line 1: the header is neither video,frame,score nor"),
        (scored({"a": [1.0]}), "a A 1\n", "line 1: write a video, its class, and pairs of first"),
        (scored({"a": [1.0]}), "a A 4 2\n", "line 1: 4 2 is no span; write the first and the last"),
        (scored({"a": [1.0]}), "a A -1 2\n", "line 1: -1 2 is no span; write the first and the"),
        (scored({"a": [1.0]}), "a A 1 1\na A 2 2\n", "line 2: video 'a' a second time; put its"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, found: str, true: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(tmp_path, found, true)
    assert said in str(caught.value)
