"""QVHighlights: sums done by hand, and a second way that goes by the words of the definition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from agentkit.types import Evaluation, UsageError
from agentkit_media.evaluators.moments import (
    IOUS,
    QvHighlights,
    highlight_precision,
    window_precision,
)

Window = list[float]


def asked(
    qid: int, windows: list[Window], clips: list[int], scores: list[list[int]], vid: str = "v"
) -> dict[str, Any]:
    return {
        "qid": qid,
        "query": "q",
        "duration": 20,
        "vid": vid,
        "relevant_windows": windows,
        "relevant_clip_ids": clips,
        "saliency_scores": scores,
    }


def sent(qid: int, windows: list[Window], saliency: list[float]) -> dict[str, Any]:
    return {"qid": qid, "pred_relevant_windows": windows, "pred_saliency_scores": saliency}


def evaluate(folder: Path, found: list[Any], true: list[Any]) -> Evaluation:
    for name, rows in (("found", found), ("true", true)):
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return QvHighlights().evaluate(folder / "found.jsonl", folder / "true.jsonl")


TRUE = asked(1, [[0, 10], [14, 20]], [0, 1, 7], [[4, 3, 4], [4, 4, 2], [1, 4, 0]])


def test_one_query_by_hand(tmp_path: Path) -> None:
    """True windows 0-10 and 14-20; predicted, by score: 0-6 (IoU 0.6), 14-20 (1), 0-10 (1).

    r1 looks at the first as submitted, 0-6: right at 0.5, not at 0.7.
    At IoU 0.5, 0.55 and 0.6: 0-6 takes 0-10, 14-20 its own, 0-10 comes too late. Precision at the
    two steps of recall 1 and 1: AP 1. Above 0.6: 0-6 misses, then two hits: precisions 1/2, 2/3,
    made falling 2/3, 2/3: AP 2/3. The mean over ten: (3 * 1 + 7 * 2/3) / 10.

    Highlights of ten clips, scores falling from clip 0 to 9. Very good (4): annotator A clips 0
    and 1: precisions 1, 1. B clips 1 and 7: 1/2, 2/8: mean 3/8. C clip 0: 1. The mean of
    the three: (1 + 3/8 + 1) / 3.
    The best clip, 0, is very good to A and C: a hit.
    """
    found = sent(
        1, [[0, 6, 0.9], [0, 10, 0.1], [14, 20, 0.5]], [1 - clip / 10 for clip in range(10)]
    )
    result = evaluate(tmp_path, [found], [TRUE])
    values = {
        "r1@0.5": 1,
        "r1@0.7": 0,
        "map": (3 + 7 * 2 / 3) / 10,
        "map@0.5": 1,
        "map@0.75": 2 / 3,
        "hit@1": 1,
        "highlight_map": (1 + 3 / 8 + 1) / 3,
    }
    assert result.metrics == pytest.approx(values)
    assert result.per_video == {"v": pytest.approx(values)}
    assert result.correct == {"1@0.7": False}


def test_an_annotator_who_found_nothing_very_good_counts_as_0(tmp_path: Path) -> None:
    true = asked(1, [[0, 2]], [0], [[4, 3, 3]])
    result = evaluate(tmp_path, [sent(1, [[0, 2, 1]], [1.0] + [0.0] * 9)], [true])
    assert (result.metrics["highlight_map"], result.metrics["hit@1"]) == (pytest.approx(1 / 3), 1)


def test_missing_scores_are_0_and_scores_beyond_the_video_are_cut(tmp_path: Path) -> None:
    """Clip 0 is very good. One score of -1 puts it last of ten: 1/10. Twelve scores: cut to ten."""
    true = asked(1, [[0, 2]], [0], [[4, 4, 4]])
    short = evaluate(tmp_path, [sent(1, [[0, 2, 1]], [-1.0])], [true])
    assert short.metrics["highlight_map"] == pytest.approx(1 / 10)
    long = evaluate(tmp_path, [sent(1, [[0, 2, 1]], [1.0] + [0.0] * 9 + [5.0, 5.0])], [true])
    assert long.metrics["highlight_map"] == pytest.approx(1)
    assert long.metrics["hit@1"] == 0  # the best score is of a clip beyond the video


def test_the_eleventh_window_is_not_read(tmp_path: Path) -> None:
    far = [[18, 20, 0.5]] * 10
    true = asked(1, [[0, 4]], [0], [[4, 4, 4]])
    late = evaluate(tmp_path, [sent(1, [*far, [0, 4, 0.9]], [1.0])], [true])
    assert late.metrics["map"] == 0
    tenth = evaluate(tmp_path, [sent(1, [*far[:9], [0, 4, 0.9]], [1.0])], [true])
    assert tenth.metrics["map"] == 1


def slow_window_ap(found: list[Window], true: list[Window], iou: float) -> float:
    """Interpolated AP by its words: at each recall, the best precision at that recall or more."""
    taken: set[int] = set()
    points = []
    hits = 0
    for count, (start, end, _) in enumerate(sorted(found, key=lambda each: -each[2]), start=1):
        overlaps = {}
        for place, (first, last) in enumerate(true):
            shared = max(0.0, min(end, last) - max(start, first))
            overlaps[place] = shared / ((end - start) + (last - first) - shared)
        free = [place for place in overlaps if place not in taken and overlaps[place] >= iou]
        if free:
            taken.add(max(free, key=lambda place: (overlaps[place], place)))
            hits += 1
        points.append((hits / len(true), hits / count))
    total = 0.0
    for step in range(1, len(true) + 1):
        reached = [precision for recall, precision in points if recall >= step / len(true) - 1e-9]
        total += max(reached, default=0.0) / len(true)
    return total


seconds = st.integers(0, 20)
spans = st.tuples(seconds, seconds).filter(lambda pair: pair[0] != pair[1]).map(sorted)
true_windows = st.lists(spans, min_size=1, max_size=4)
found_windows = st.lists(
    st.tuples(spans, st.integers(0, 5)).map(lambda each: [*each[0], each[1] / 5]),
    min_size=1,
    max_size=10,
)


@given(found_windows, true_windows, st.sampled_from(IOUS))
def test_windows_by_the_words_of_the_definition(
    found: list[Window], true: list[Window], iou: float
) -> None:
    fast = window_precision(np.array(found, float), np.array(true, float), iou)
    assert fast == pytest.approx(slow_window_ap(found, true, iou))


def slow_highlight_ap(scores: list[float], true: list[bool]) -> float:
    """The mean, over the thresholds at which recall grows, of the best precision from there on."""
    if all(true) or not any(true):
        return float(all(true))
    points = []
    for threshold in sorted(set(scores), reverse=True):
        chosen = [is_so for score, is_so in zip(scores, true, strict=True) if score >= threshold]
        points.append((sum(chosen), sum(chosen) / len(chosen)))
    growing = [at for at, (hits, _) in enumerate(points) if hits > (points[at - 1][0] if at else 0)]
    best = [max(precision for _, precision in points[at:]) for at in growing]
    return sum(best) / len(best)


clips = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=20)


@given(clips)
def test_highlights_by_the_words_of_the_definition(rows: list[tuple[int, bool]]) -> None:
    scores, true = [float(score) for score, _ in rows], [is_so for _, is_so in rows]
    fast = highlight_precision(np.array(scores), np.array(true))
    assert fast == pytest.approx(slow_highlight_ap(scores, true))


@given(clips.filter(lambda rows: len({is_so for _, is_so in rows}) == 2))
def test_highlights_by_the_curve_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, true = (
        np.array([float(score) for score, _ in rows]),
        np.array([each for _, each in rows]),
    )
    precision, recall, _ = precision_recall_curve(true, scores)
    falling = np.maximum.accumulate(precision)
    steps = np.flatnonzero(np.diff(recall))
    assert highlight_precision(scores, true) == pytest.approx(falling[steps].mean())


@given(st.lists(st.tuples(found_windows, true_windows), min_size=2, max_size=4), st.randoms())
def test_the_order_of_queries_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("queries")
    found = [sent(qid, windows, [0.5, 0.25]) for qid, (windows, _) in enumerate(rows)]
    true = [
        asked(qid, windows, [qid], [[4, 2, 4]], f"v{qid % 2}")
        for qid, (_, windows) in enumerate(rows)
    ]
    before = evaluate(folder, found, true)
    random.shuffle(found)
    random.shuffle(true)
    after = evaluate(folder, found, true)
    assert after.metrics == pytest.approx(before.metrics)
    assert after.correct == before.correct


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"qid": 7}, "found.jsonl: no line with qid 1; submit every query, and no other"),
        ({"qid": None}, "line 1: no qid; name the query"),
        ({"pred_relevant_windows": []}, "line 1: pred_relevant_windows is no list, or empty"),
        ({"pred_relevant_windows": [[0, 4]]}, "does not hold 3 finite numbers each"),
        ({"pred_relevant_windows": [[4, 0, 1]]}, "ends before it starts; swap the times"),
        ({"pred_saliency_scores": ["a"]}, "pred_saliency_scores does not hold finite numbers"),
        ({"pred_saliency_scores": [True]}, "pred_saliency_scores does not hold finite numbers"),
    ],
)
def test_a_wrong_submission_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    good = sent(1, [[0, 4, 1]], [1.0])
    assert evaluate(tmp_path, [good], [TRUE]).metrics
    with pytest.raises(UsageError) as caught:
        evaluate(tmp_path, [good | change], [TRUE])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration": 0}, "duration is not between 2 and 86400 seconds"),
        ({"duration": 1e300}, "duration is not between 2 and 86400 seconds"),
        ({"relevant_windows": [[4, 4]]}, "has no length; its end comes after its start"),
        ({"relevant_clip_ids": [0, 1]}, "relevant_clip_ids and saliency_scores differ in length"),
        ({"relevant_clip_ids": [0, 1, 10]}, "a relevant clip is not between 0 and 9"),
        ({"saliency_scores": [[5, 0, 0]] * 3}, "a saliency score is no whole number from 0 to 4"),
        ({"saliency_scores": [[4, 4]] * 3}, "saliency_scores does not hold 3 finite numbers each"),
    ],
)
def test_a_wrong_annotation_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(tmp_path, [sent(1, [[0, 4, 1]], [1.0])], [TRUE | change])
    assert said in str(caught.value)


def test_a_query_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2: qid 1 a second time; leave one"):
        evaluate(tmp_path, [sent(1, [[0, 4, 1]], [1.0])] * 2, [TRUE])
