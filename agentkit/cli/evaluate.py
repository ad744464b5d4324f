"""`eval`: metrics of the installed domains, on files of the field's own formats."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit import json_forms
from agentkit.cli import show
from agentkit.cli.options import Options, takes_common
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.evaluating import Found, Interval, McNemar, Paired
    from agentkit.types import Evaluation

Json = Annotated[bool, typer.Option("--json", help="Print one object, as documented.")]


def add_to(app: typer.Typer) -> None:
    app.command("eval")(takes_common()(eval_))


def eval_(
    options: Options,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An evaluator; all are listed without.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", metavar="FILE", help="What is judged.")
    ] = None,
    ground_truth: Annotated[
        Path | None, typer.Option("--ground-truth", metavar="FILE", help="What is true.")
    ] = None,
    paired: Annotated[
        Path | None,
        typer.Option("--paired", metavar="FILE", help="Predictions of a second run, to compare."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Where the drawing of videos begins.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Judge predictions by a metric of an installed domain, or list the metrics.

    Files are of the field's own formats (docs/evaluation.md). Two runs are compared item by item
    (McNemar's exact test) and video by video (a bootstrap interval). -v shows each video.
    """
    if name is None:
        if predictions or ground_truth or paired:
            raise UsageError("which evaluator? agentkit eval lists them")
        _list(as_json)
        return
    if predictions is None or ground_truth is None:
        _check_name(name)
        raise UsageError(f"agentkit eval {name} needs --predictions FILE and --ground-truth FILE")
    _judge(options, name, predictions, ground_truth, paired, seed, as_json)


def _check_name(name: str) -> None:
    from agentkit.evaluating import evaluator

    evaluator(name)


def _judge(
    options: Options,
    name: str,
    predictions: Path,
    ground_truth: Path,
    paired: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    from agentkit.evaluating import compare, evaluate, evaluator

    found = evaluator(name)
    first = evaluate(found, predictions, ground_truth)
    both = compare(first, evaluate(found, paired, ground_truth), seed) if paired else None
    if as_json:
        show.as_json(json_forms.evaluation(found, first, both))
        return
    _say(found, first, both)
    if options.verbose:
        _say_videos(first)
    if both:
        _say_paired(both)


def _list(as_json: bool) -> None:
    from agentkit.evaluating import installed_evaluators

    found, broken = installed_evaluators()
    if as_json:
        show.as_json({"evaluators": [json_forms.evaluator(one) for one in found]})
    elif found:
        for one in found:
            _say_found(one)
    else:
        show.remark("no installed plugin has an evaluator, or plugins are switched off")
    for line in broken:
        show.remark(f"left out: {line}")


def _say_found(found: "Found") -> None:
    one = found.evaluator
    typer.echo(show.printable(f"{one.name} ({found.plugin})"))
    typer.echo(show.printable(f"  metrics  {', '.join(one.ranges)}"))
    typer.echo(show.printable(f"  source   {one.source}"))


def _say(found: "Found", first: "Evaluation", both: "Paired | None") -> None:
    ranges = found.evaluator.ranges
    head = ("METRIC", "VALUE", *(("SECOND",) if both else ()), "WORST", "BEST")
    rows = []
    for name, value in first.metrics.items():
        worst, best = ranges.get(name.split("/")[0], (math.nan, math.nan))
        second = (number(both.second.metrics.get(name, math.nan)),) if both else ()
        rows.append((show.printable(name), number(value), *second, number(worst), number(best)))
    show.table(head, rows)
    typer.echo(f"by {show.printable(found.evaluator.source)} ({found.distribution})")


def _say_videos(first: "Evaluation") -> None:
    if not first.per_video:
        typer.echo("\nthis metric has no values of single videos")
        return
    names = list(first.metrics)
    rows = [_row(video, names, values) for video, values in first.per_video.items()]
    typer.echo()
    show.table(("VIDEO", *names), rows)


def _row(video: str, names: list[str], values: Mapping[str, float]) -> tuple[str, ...]:
    return (show.printable(video), *(number(values.get(name, math.nan)) for name in names))


def _say_paired(both: "Paired") -> None:
    typer.echo()
    if both.mcnemar:
        typer.echo(_in_words(both.mcnemar))
    told = [interval for interval in both.intervals if interval.videos > 1]
    if told:
        head = ("METRIC", "SECOND - FIRST", "95 % FROM", "TO", "VIDEOS")
        show.table(head, [_interval_row(interval) for interval in told])
    for remark in both.remarks:
        typer.echo(f"note: {remark}")


def _in_words(test: "McNemar") -> str:
    only = f"{test.only_first} only the first run has right, {test.only_second} only the second"
    return f"McNemar's exact test: of {test.items} items {only}; p = {test.p_value:.4g}"


def _interval_row(one: "Interval") -> tuple[str, ...]:
    values = (f"{value:+.4f}" for value in (one.difference, one.low, one.high))
    return (show.printable(one.metric), *values, str(one.videos))


def number(value: float) -> str:
    """Return a metric's value as people read it; a dash where there is none."""
    if math.isnan(value):
        return "-"
    return f"{value:g}" if math.isinf(value) or value == int(value) else f"{value:.4f}"
