"""Metrics of all installed domains by name, and whether two runs differ. Knows no video."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit import entry_points
from agentkit.errors import PluginError, UnknownNameError, UsageError
from agentkit.plugin_manager import Domain, unlogged
from agentkit.types import Evaluation, Evaluator

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST_VIDEOS = 2  # below it there is nothing to draw from
FEW_VIDEOS = 10  # below it an interval is rough
FEWEST_DIFFERENT = 6  # of fewer items none can come out below 0.05: 2 * 2**-5 is 0.0625
DRAWN_AT_ONCE = 2_000_000  # indices of videos that lie in memory


@dataclass(frozen=True, slots=True)
class Found:
    """An evaluator and the domain that it comes from."""

    evaluator: Evaluator
    plugin: str
    distribution: str


@dataclass(frozen=True, slots=True)
class McNemar:
    """How two runs differ over the items that both have: what only one of them has right."""

    items: int
    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the mean difference of a metric lies, second run less first; NaN where nothing can."""

    metric: str
    videos: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs against one ground truth."""

    second: Evaluation
    mcnemar: McNemar | None
    intervals: tuple[Interval, ...]
    remarks: tuple[str, ...]  # what is too few to show anything


def installed_evaluators() -> tuple[list[Found], list[str]]:
    """Return the evaluators of every installed domain by name, and what of them is broken."""
    found: list[Found] = []
    broken: list[str] = []
    for name, entries in entry_points.installed().items():
        try:
            domain = Domain.load(name)
        except PluginError as error:
            broken.append(str(error))
            continue
        given: list[Evaluator] = []
        with unlogged():
            domain.register_evaluators(given.append)
        owner = entry_points.distribution(entries[0])
        found += [Found(one, name, owner) for one in given]
        broken += domain.broken
    return sorted(found, key=lambda one: (one.evaluator.name, one.plugin)), broken


def evaluator(name: str) -> Found:
    """Return an evaluator by its name, or by `DOMAIN:NAME` where two domains have one.

    Raises:
        UnknownNameError: no installed domain has it; names the nearest.
        UsageError: several domains have it.
    """
    found, broken = installed_evaluators()
    domain, _, short = name.rpartition(":")
    named = [one for one in found if one.evaluator.name == short and domain in ("", one.plugin)]
    if len(named) > 1:
        whole = " or ".join(f"{one.plugin}:{short}" for one in named)
        raise UsageError(f"several domains have an evaluator {short!r}; write {whole}")
    if not named:
        error = UnknownNameError("evaluator", name, [one.evaluator.name for one in found])
        raise UsageError("; ".join([str(error), *broken])) if broken else error
    return named[0]


def evaluate(found: Found, predictions: Path, ground_truth: Path) -> Evaluation:
    """Return the metrics of predictions against a ground truth.

    Raises:
        UsageError: a file is not there, or is not of the evaluator's format.
        PluginError: the evaluator failed at it otherwise, or gave what is out of its ranges.
    """
    for path in (predictions, ground_truth):
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    where = f"plugin {found.plugin!r}, evaluator {found.evaluator.name!r}"
    try:
        value = found.evaluator.evaluate(predictions, ground_truth)
    except (UsageError, OSError):
        raise
    except Exception as error:  # a plugin may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PluginError(f"{where}: {reason}") from error
    if not isinstance(value, Evaluation):
        raise PluginError(f"{where}: gave {type(value).__name__}, not Evaluation")
    for name, number in value.metrics.items():
        _check_range(found.evaluator, name, number, where)
    return value


def _check_range(one: Evaluator, name: str, number: float, where: str) -> None:
    low, high = sorted(one.ranges.get(name.split("/")[0], (-math.inf, math.inf)))
    if not (low - 1e-9 <= number <= high + 1e-9 or math.isnan(number)):
        raise PluginError(f"{where}: {name} is {number:g}, not in {low:g}..{high:g}")


def compare(first: Evaluation, second: Evaluation, seed: int = 0) -> Paired:
    """Compare two runs against one ground truth, item by item and video by video."""
    shared = sorted(first.correct.keys() & second.correct.keys())
    test = mcnemar([(first.correct[item], second.correct[item]) for item in shared])
    intervals = tuple(
        bootstrap(name, *_both(name, first.per_video, second.per_video), seed=seed)
        for name in first.metrics
    )
    return Paired(
        second, test if shared else None, intervals, (*_about_items(test), *_about(intervals))
    )


def _both(
    metric: str,
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
) -> tuple[list[float], list[float]]:
    """Return a metric's values of the videos for which both runs have a number."""
    pairs = [
        (first[video].get(metric, math.nan), second[video].get(metric, math.nan))
        for video in sorted(first.keys() & second.keys())
    ]
    whole = [pair for pair in pairs if all(map(math.isfinite, pair))]
    return [one for one, _ in whole], [other for _, other in whole]


def mcnemar(pairs: Sequence[tuple[bool, bool]]) -> McNemar:
    """Test whether two runs are right equally often, on (first right, second right) of each item.

    Exact: of the items that only one run has right, each run would have half, so the smaller
    count is binomial; both tails. McNemar, Psychometrika 12 (1947).
    """
    only_first = sum(one and not other for one, other in pairs)
    only_second = sum(other and not one for one, other in pairs)
    p_value = binomial_two_sided(min(only_first, only_second), only_first + only_second)
    return McNemar(len(pairs), only_first, only_second, p_value)


def binomial_two_sided(count: int, of: int) -> float:
    """Return how likely a fair coin is to fall so unevenly, `count` of `of` being the smaller.

    In logarithms: `of` may be the frames of many films.
    """
    if 2 * count >= of:
        return 1.0
    steps = np.arange(1, count + 1, dtype=np.float64)
    logs = np.concatenate(([0.0], np.cumsum(np.log((of - steps + 1) / steps))))  # log of (of, i)
    top = logs.max()
    tail = math.log(float(np.exp(logs - top).sum())) + top - of * math.log(2)
    return min(1.0, 2 * math.exp(tail))


def bootstrap(
    metric: str, first: Sequence[float], second: Sequence[float], *, seed: int = 0
) -> Interval:
    """Return the 95 % interval of the mean difference over videos, drawn with replacement.

    Both runs are drawn together, so that a hard video is hard for both; percentiles of 10,000
    drawings. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)  # [videos]
    videos = len(differences)
    if videos < FEWEST_VIDEOS:
        mean = float(differences.mean()) if videos else math.nan
        return Interval(metric, videos, mean, math.nan, math.nan)
    means = _drawn_means(differences, np.random.default_rng(seed))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(metric, videos, float(differences.mean()), float(low), float(high))


def _drawn_means(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return the means of `RESAMPLES` drawings, a block of them at a time."""
    block = max(1, DRAWN_AT_ONCE // len(values))
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        drawn = random.integers(0, len(values), (rows, len(values)))
        means[start : start + rows] = values[drawn].mean(axis=1)
    return means


def _about_items(test: McNemar) -> tuple[str, ...]:
    """Say where the items are too few for McNemar's test to show a difference."""
    different = test.only_first + test.only_second
    if not test.items:
        return ("no item of which both runs say whether it is right: McNemar's test is left out",)
    if different < FEWEST_DIFFERENT:
        few = f"the runs differ in {different} of {test.items} items"
        return (f"{few}: too few to show a difference, {FEWEST_DIFFERENT} are the fewest",)
    return ()


def _about(intervals: Sequence[Interval]) -> tuple[str, ...]:
    """Say of how many videos an interval would need more."""
    if not intervals:
        return ()
    videos = max(interval.videos for interval in intervals)
    if videos < FEWEST_VIDEOS:
        count = f"{videos} video{'' if videos == 1 else 's'}"
        return (f"{count} in both runs: too few for an interval, two are the fewest",)
    if videos < FEW_VIDEOS:
        return (f"{videos} videos in both runs: intervals over so few are rough",)
    return ()
