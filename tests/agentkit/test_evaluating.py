"""Metrics by name, and two runs compared: against sums done by hand and against SciPy."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from agentkit import entry_points, evaluating
from agentkit.cli import main
from agentkit.errors import PluginError, UsageError
from agentkit.evaluating import (
    RESAMPLES,
    Interval,
    McNemar,
    binomial_two_sided,
    bootstrap,
    compare,
    evaluate,
    evaluator,
    installed_evaluators,
    mcnemar,
)
from agentkit.hookspecs import hookimpl
from agentkit.plugin_manager import Domain, Plugin
from agentkit.types import Evaluation, Examples

TRUE = {"a": "dog", "b": "cat", "c": "cow"}


class Naming:
    """Share of videos that are named right; a line of a file is VIDEO NAME."""

    name = "naming"
    source = "share of right names"
    ranges = {"accuracy": (0.0, 1.0), "errors": (math.inf, 0.0)}  # noqa: RUF012 — as plugins have it

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        said, true = (read(path) for path in (predictions, ground_truth))
        right = {video: said.get(video) == name for video, name in true.items()}
        share = sum(right.values()) / len(right)
        each = {video: {"accuracy": float(good)} for video, good in right.items()}
        return Evaluation(
            {"accuracy": share, "errors": float(len(right) - sum(right.values()))}, each, right
        )

    def examples(self, folder: Path) -> Examples:
        raise NotImplementedError


def read(path: Path) -> dict[str, str]:
    try:
        pairs = [line.split() for line in path.read_text("utf-8").splitlines()]
        return dict(pairs)
    except ValueError as error:
        raise UsageError(f"{path}: a line is VIDEO NAME") from error


class Broken(Naming):
    name = "broken"

    def __init__(self, value: Any) -> None:
        self.value = value

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        given: Evaluation = self.value()
        return given


def plugin(*evaluators: object) -> object:
    class Registers:
        @hookimpl
        def register_evaluators(self, register: Any) -> None:
            for one in evaluators:
                if isinstance(one, Exception):
                    raise one
                register(one)

    return Registers()


class Entry:
    """What an installed plugin's metadata says."""

    dist = None


@pytest.fixture
def domains(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """The plugins that are installed, as far as this test goes."""
    held: dict[str, object] = {"names": plugin(Naming())}

    def load(name: str, **_: object) -> Domain:
        if isinstance(held[name], Exception):
            raise held[name]
        return Domain(name, [Plugin(name, held[name], f"{name} 1.0")])

    monkeypatch.setattr(entry_points, "installed", lambda group="": {n: [Entry()] for n in held})
    monkeypatch.setattr(entry_points, "distribution", lambda entry: "names 1.0")
    monkeypatch.setattr(evaluating.Domain, "load", load)
    return held


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put("true", TRUE)
    put("first", TRUE | {"c": "hen"})
    put("second", TRUE | {"a": "hen", "b": "hen"})
    return tmp_path


def put(name: str, named: dict[str, str]) -> None:
    Path(name).write_text("".join(f"{video} {said}\n" for video, said in named.items()))


def test_every_evaluator_is_listed_with_its_source_and_the_broken_are_named(
    domains: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    domains["half"] = plugin(Naming(), OSError("lost"))
    domains["rubbish"] = plugin("no evaluator")
    domains["gone"] = PluginError("plugin 'gone' does not import")
    assert main(["eval"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "naming (names)\n  metrics  accuracy, errors\n  source   share of right names\n"
    )
    lost = "plugin 'half', hook register_evaluators: OSError: lost"
    assert f"left out: {lost}\n" in said.err
    lacks = "registered str; it must have name and source and ranges and evaluate and examples"
    assert f"left out: plugin 'rubbish', hook register_evaluators: {lacks}\n" in said.err
    assert "left out: plugin 'gone' does not import\n" in said.err
    assert main(["eval", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "evaluators": [
            {
                "name": "naming",
                "plugin": "names",
                "distribution": "names 1.0",
                "source": "share of right names",
                "ranges": {"accuracy": [0.0, 1.0], "errors": [None, 0.0]},
            }
        ]
    }
    with pytest.raises(
        UsageError, match=r"unknown evaluator .x.; known: naming; .*does not import"
    ):
        evaluator("x")


def test_a_name_of_two_domains_is_asked_for_by_domain(domains: dict[str, object]) -> None:
    domains["other"] = plugin(Naming())
    assert [one.plugin for one in installed_evaluators()[0]] == ["names", "other"]
    with pytest.raises(UsageError, match="write names:naming or other:naming"):
        evaluator("naming")
    assert evaluator("other:naming").plugin == "other"
    with pytest.raises(UsageError, match="unknown evaluator 'mine:namin'; did you mean 'naming'"):
        evaluator("mine:namin")


def test_metrics_are_a_table_and_each_video_with_v(
    domains: dict[str, object], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", "naming", "--predictions", "first", "--ground-truth", "true"]
    assert main(arguments) == 0
    table = (
        "METRIC    VALUE   WORST  BEST\n"
        "accuracy  0.6667  0      1\n"
        "errors    1       inf    0\n"
        "by share of right names (names 1.0)\n"
    )
    assert capsys.readouterr().out == table
    assert main([*arguments, "-v"]) == 0
    videos = (
        "\nVIDEO  accuracy  errors\na      1         -\nb      1         -\nc      0         -\n"
    )
    assert capsys.readouterr().out == table + videos


def test_two_runs_are_compared_in_words_and_as_json(
    domains: dict[str, object], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", "naming", "--predictions", "first", "--ground-truth", "true"]
    assert main([*arguments, "--paired", "second"]) == 0
    *lines, few, rough = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "METRIC    VALUE   SECOND  WORST  BEST",
        "accuracy  0.6667  0.3333  0      1",
        "errors    1       2       inf    0",
        "by share of right names (names 1.0)",
        "",
    ]
    assert lines[5] == (
        "McNemar's exact test: of 3 items 2 only the first run has right, 1 only the second; p = 1"
    )
    assert lines[6].split() == ["METRIC", "SECOND", "-", "FIRST", "95", "%", "FROM", "TO", "VIDEOS"]
    assert lines[7].split() == ["accuracy", "-0.3333", "-1.0000", "+1.0000", "3"]
    assert len(lines) == 8
    assert few == (
        "note: the runs differ in 3 of 3 items: too few to show a difference, 6 are the fewest"
    )
    assert rough == "note: 3 videos in both runs: intervals over so few are rough"
    assert main([*arguments, "--paired", "second", "--seed", "7", "--json"]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["paired"] == {
        "metrics": {"accuracy": pytest.approx(1 / 3), "errors": 2.0},
        "mcnemar": {"items": 3, "only_first": 2, "only_second": 1, "p_value": 1.0},
        "intervals": [
            {
                "metric": "accuracy",
                "videos": 3,
                "difference": pytest.approx(-1 / 3),
                "low": -1.0,
                "high": 1.0,
            },
            {"metric": "errors", "videos": 0, "difference": None, "low": None, "high": None},
        ],
        "remarks": [few.removeprefix("note: "), rough.removeprefix("note: ")],
    }
    assert form["items"] == 3
    assert form["per_video"]["c"] == {"accuracy": 0.0}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["naming"], 2, "agentkit eval naming needs --predictions FILE and --ground-truth FILE"),
        (["namin"], 2, "unknown evaluator 'namin'; did you mean 'naming'?"),
        (["--predictions", "first"], 2, "which evaluator? agentkit eval lists them"),
        (
            ["namin", "--predictions", "first", "--ground-truth", "true"],
            2,
            "unknown evaluator 'namin'; did you mean 'naming'?",
        ),
        (
            ["naming", "--predictions", "lost", "--ground-truth", "true"],
            2,
            "lost: no such file or folder",
        ),
        (
            ["naming", "--predictions", "bad", "--ground-truth", "true"],
            2,
            "bad: a line is VIDEO NAME",
        ),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    domains: dict[str, object],
    files: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    Path("bad").write_text("one two three")
    assert main(["eval", *arguments]) == code
    assert capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: 1 / 0, "evaluator 'broken': ZeroDivisionError: division by zero"),
        (lambda: 0.5, "evaluator 'broken': gave float, not Evaluation"),
        (lambda: Evaluation({"accuracy": 1.5}), "accuracy is 1.5, not in 0..1"),
        (lambda: Evaluation({"accuracy/dog": -1.0}), "accuracy/dog is -1, not in 0..1"),
    ],
)
def test_an_evaluator_that_fails_is_named(
    domains: dict[str, object], files: Path, value: Any, said: str
) -> None:
    domains["names"] = plugin(Broken(value))
    with pytest.raises(PluginError, match=f"plugin 'names', .*{said}"):
        evaluate(evaluator("broken"), Path("first"), Path("true"))


# By hand: of 8 items that only one run has right the first has 1: 2 * (1 + 8) / 256.
HAND = [(1, 7, 18 / 256), (0, 6, 2 / 64), (3, 3, 1.0), (0, 0, 1.0), (2, 3, 1.0), (0, 5, 2 / 32)]


@pytest.mark.parametrize(("only_first", "only_second", "p_value"), HAND)
def test_mcnemar_as_by_hand(only_first: int, only_second: int, p_value: float) -> None:
    agreed = [(True, True), (False, False)] * 5
    pairs = [*agreed, *[(True, False)] * only_first, *[(False, True)] * only_second]
    expected = McNemar(10 + only_first + only_second, only_first, only_second, p_value)
    found = mcnemar(pairs)
    assert found == McNemar(expected.items, only_first, only_second, pytest.approx(p_value))
    swapped = mcnemar([(other, one) for one, other in pairs])
    assert swapped.p_value == found.p_value


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_two_tails_are_scipys(one: int, other: int) -> None:
    count, of = min(one, other), one + other
    expected = binomtest(count, of).pvalue if of else 1.0
    assert binomial_two_sided(count, of) == pytest.approx(expected, rel=1e-9)


def test_the_tails_of_very_many_items_are_scipys() -> None:
    for count, of in ((499_000, 1_000_000), (1_200, 3_000), (10, 2_000)):
        expected = binomtest(count, of).pvalue
        assert binomial_two_sided(count, of) == pytest.approx(expected, rel=1e-6)


def slow_interval(first: Sequence[float], second: Sequence[float], seed: int) -> list[float]:
    """Draw videos one resample at a time, and read the percentiles off the sorted means."""
    random = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, len(first), len(first))
        means.append(math.fsum(second[i] - first[i] for i in drawn) / len(first))
    means.sort()

    def percentile(share: float) -> float:
        place = share * (RESAMPLES - 1)
        below = math.floor(place)
        return means[below] + (means[below + 1] - means[below]) * (place - below)

    return [percentile(0.025), percentile(0.975)]


@pytest.mark.parametrize("at_once", [1, 100, 2_000_000])
def test_the_interval_is_that_of_drawing_one_by_one(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "DRAWN_AT_ONCE", at_once)
    random = np.random.default_rng(5)
    first, second = random.random(12).tolist(), random.random(12).tolist()
    found = bootstrap("f1", first, second, seed=3)
    assert [found.low, found.high] == pytest.approx(slow_interval(first, second, 3), abs=1e-12)
    assert found.difference == pytest.approx(np.mean(second) - np.mean(first))
    assert found == bootstrap("f1", first, second, seed=3)
    assert found != bootstrap("f1", first, second, seed=4)


def test_the_interval_of_two_videos_as_by_hand() -> None:
    """Of the four drawings the means are 0, 1/2 twice, and 1: both ends are drawn often enough."""
    assert bootstrap("m", [0.0, 0.0], [0.0, 1.0]) == Interval("m", 2, 0.5, 0.0, 1.0)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), st.floats(-1, 1))
def test_an_interval_holds_what_it_must(values: list[float], step: float) -> None:
    same = bootstrap("m", values, values)
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)
    moved = bootstrap("m", values, [value + step for value in values])
    assert [moved.low, moved.high] == pytest.approx([step, step], abs=1e-9)
    back, there = (
        bootstrap("m", values, [0.0] * len(values)),
        bootstrap("m", [0.0] * len(values), values),
    )
    assert [back.low, back.high] == pytest.approx([-there.high, -there.low], abs=1e-12)


def test_only_what_both_runs_have_is_compared() -> None:
    first = Evaluation(
        {"f1": 0.5},
        {"a": {"f1": 0.5}, "b": {"f1": 0.25}, "c": {"f1": math.nan}, "only": {"f1": 1.0}},
        {"x": True, "y": False, "only": True},
    )
    second = Evaluation(
        {"f1": 0.5}, {"a": {"f1": 1.0}, "b": {"f1": 0.75}, "c": {"f1": 1.0}, "d": {}}, {"x": False}
    )
    paired = compare(first, second)
    assert paired.mcnemar == McNemar(1, 1, 0, 1.0)
    assert paired.intervals == (Interval("f1", 2, 0.5, 0.5, 0.5),)


def test_too_few_items_and_videos_are_said() -> None:
    none = compare(Evaluation({"f1": 0.5}), Evaluation({"f1": 0.6}))
    assert none.mcnemar is None
    assert none.remarks == (
        "no item of which both runs say whether it is right: McNemar's test is left out",
        "0 videos in both runs: too few for an interval, two are the fewest",
    )
    one = {"a": {"f1": 0.5}}
    assert compare(Evaluation({"f1": 0.5}, one), Evaluation({"f1": 0.5}, one)).remarks[1] == (
        "1 video in both runs: too few for an interval, two are the fewest"
    )
    many = {f"v{index}": {"f1": index / 10} for index in range(10)}
    right = {f"i{index}": True for index in range(6)}
    wrong = dict.fromkeys(right, False)
    assert (
        compare(Evaluation({"f1": 1}, many, right), Evaluation({"f1": 1}, many, wrong)).remarks
        == ()
    )
