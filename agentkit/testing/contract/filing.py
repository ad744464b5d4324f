"""Checks of what a plugin registers: metrics, file formats, tools of agents."""

import csv
import inspect
import io
import json
import math
import re
import shutil
import tempfile
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import SkipTest

from agentkit.errors import UsageError
from agentkit.testing.contract import drawing
from agentkit.testing.contract.subject import Subject
from agentkit.types import Evaluation, Evaluator, Report

NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")
BINARY = bytes(range(256)) * 4
GARBAGE = (BINARY, b"", b"\x00", b"what is this?\n", b'{"a": [1, 2', b"1 2\n3\n", "名前\n".encode())
CUE = re.compile(r"(\d{2,}:)?\d\d:\d\d[.,]\d{3} --> (\d{2,}:)?\d\d:\d\d[.,]\d{3}( .*)?")


def evaluators(subject: Subject) -> str:
    """Hold each metric to its ranges, to its examples, and to one line on a file of garbage."""
    found: list[Evaluator] = []
    subject.ask("register_evaluators", found.append)
    _need(found, "evaluator")
    names = [one.name for one in found]
    assert len(set(names)) == len(names), f"two evaluators have one name: {names}"
    for evaluator in found:
        assert NAME.fullmatch(evaluator.name), f"{evaluator.name!r} is no name: a-z, 0-9, - and ."
        _check_evaluator(evaluator)
    return f"{', '.join(names)}: perfect is best, bad is worse, garbage is one line"


def _need(found: object, what: str) -> None:
    if not found:
        raise SkipTest(f"it registers no {what}")


def _check_evaluator(evaluator: Evaluator) -> None:
    where = f"evaluator {evaluator.name!r}"
    assert evaluator.source.strip(), f"{where}: source does not say where the metric comes from"
    assert evaluator.ranges, f"{where}: it has no ranges"
    with tempfile.TemporaryDirectory(prefix="agentkit-contract-") as folder:
        made = evaluator.examples(Path(folder))
        perfect = _valued(evaluator, made.perfect, made.ground_truth, f"{where}, perfect")
        bad = _valued(evaluator, made.bad, made.ground_truth, f"{where}, bad")
        for name, (worst, best) in evaluator.ranges.items():
            if math.isinf(best):
                continue
            what = f"{where}, {name}"
            is_best = math.isclose(perfect[name], best, abs_tol=1e-9)
            assert is_best, f"{what}: perfect predictions get {perfect[name]:g}, not {best:g}"
            less = abs(bad[name] - best) > 1e-9 or math.isclose(worst, best)
            assert less, f"{what}: bad predictions get the best value, {best:g}"
        _check_garbage(evaluator, made.perfect, made.ground_truth)


def _valued(
    evaluator: Evaluator, predictions: Path, truth: Path, where: str
) -> Mapping[str, float]:
    try:
        found = evaluator.evaluate(predictions, truth)
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
    _check_ranges(evaluator, found, where)
    return found.metrics


def _check_ranges(evaluator: Evaluator, found: Evaluation, where: str) -> None:
    assert isinstance(found, Evaluation), f"{where}: gives {type(found).__name__}, no Evaluation"
    missing = sorted(evaluator.ranges.keys() - found.metrics.keys())
    assert not missing, f"{where}: ranges has {', '.join(missing)}, metrics has not"
    for video, values in {"": found.metrics, **found.per_video}.items():
        for name, value in values.items():
            metric = name.split("/")[0]  # "f1/goal" is in the range of "f1"
            there = metric in evaluator.ranges
            assert there, f"{where}: {video} has a value of {name!r}, which has no range"
            low, high = sorted(evaluator.ranges[metric])
            inside = low - 1e-9 <= value <= high + 1e-9 or math.isnan(value)
            assert inside, f"{where} {video}: {name} is {value:g}, not in {low:g}..{high:g}"
    states = all(isinstance(right, bool) for right in found.correct.values())
    assert states, f"{where}: `correct` says true or false of each item"


def _check_garbage(evaluator: Evaluator, predictions: Path, truth: Path) -> None:
    """A file that is no file of the format is refused in one line, whichever of the two it is.

    Garbage that happens to be of the format gets values that are in range.
    """
    for content in GARBAGE:
        with tempfile.TemporaryDirectory(prefix="agentkit-contract-") as folder:
            for number, path in enumerate(_spoilt(predictions, content, Path(folder))):
                what = f"predictions of {content[:12]!r} ({number})"
                _check_refused(evaluator, path, truth, content, what)
            for number, path in enumerate(_spoilt(truth, content, Path(folder))):
                what = f"ground truth of {content[:12]!r} ({number})"
                _check_refused(evaluator, predictions, path, content, what)


def _spoilt(good: Path, content: bytes, folder: Path) -> Iterator[Path]:
    """Yield the file with other content; of a folder, its files so, then a file in its place."""
    place = folder / f"spoilt-{good.name}"
    if good.is_dir():
        shutil.copytree(good, place)
        for path in place.rglob("*"):
            if path.is_file():
                path.write_bytes(content)
        yield place
        place = place.with_name(f"{place.name}.txt")
    place.write_bytes(content)
    yield place


def _check_refused(
    evaluator: Evaluator, predictions: Path, truth: Path, content: bytes, what: str
) -> None:
    where = f"evaluator {evaluator.name!r}, {what}"
    try:
        found = evaluator.evaluate(predictions, truth)
    except UsageError as error:
        _check_one_line(error, where)
        return
    except Exception as error:
        name = type(error).__name__
        raise AssertionError(f"{where}: raises {name}, not UsageError: {error}") from error
    assert content != BINARY, f"{where}: is taken; raise UsageError where a file is not text"
    _check_ranges(evaluator, found, where)


def _check_one_line(error: UsageError, where: str) -> None:
    text = str(error)
    assert text.strip(), f"{where}: the UsageError says nothing"
    assert "\n" not in text, f"{where}: the UsageError has several lines"


def exporters(subject: Subject) -> str:
    """Export the drawn film in each format; what can be parsed is parsed."""
    found: dict[str, Callable[..., object]] = {}
    subject.ask("register_exporters", found.__setitem__)
    for name in ("no-such-format", ""):
        _check_rendered(subject, name)
    _need(found, "exporter")
    told = []
    for name, write in found.items():
        assert NAME.fullmatch(name), f"{name!r} is no name of a format: a-z, 0-9, - and ."
        wrote = [_check_export(subject, name, write, empty) for empty in (False, True)]
        told.append(name if any(wrote) else f"{name} (nothing to write)")
    return f"{', '.join(sorted(told))}: bytes that parse"


def _check_rendered(subject: Subject, name: str) -> None:
    """A format that nobody writes is left to others."""
    made = subject.ask("render_report", Report("A title", (), ()), name)
    assert made is None, f"render_report: writes the format {name!r}, which is none"


def _check_export(subject: Subject, name: str, write: Callable[..., object], empty: bool) -> bool:
    """Say whether there was anything to write; a film without may be refused in one line."""
    where = f"exporter {name!r}{', no notes' if empty else ''}"
    try:
        made = write(drawing.film(), subject.session(empty=empty))
    except UsageError as error:
        _check_one_line(error, where)
        return False
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
    assert isinstance(made, bytes), f"{where}: gives {type(made).__name__}, not bytes"
    for kind in set(re.split(r"[^a-z]", name)) & PARSERS.keys():
        try:
            PARSERS[kind](made.decode("utf-8-sig"))
        except (ValueError, csv.Error) as error:
            raise AssertionError(f"{where}: is no {kind}: {error}") from error
    return True


def _parse_csv(text: str) -> None:
    widths = {len(row) for row in csv.reader(io.StringIO(text), strict=True)}
    if len(widths) > 1:
        raise ValueError(f"rows have {sorted(widths)} cells")


def _parse_vtt(text: str) -> None:
    if not re.match(r"WEBVTT([ \t].*)?(\n|\Z)", text):
        raise ValueError("the first line is not WEBVTT")
    _parse_cues(text)


def _parse_srt(text: str) -> None:
    for number, block in enumerate(re.split(r"\n\n+", text.strip()) if text.strip() else [], 1):
        if block.splitlines()[0] != str(number):
            raise ValueError(f"cue {number} is numbered {block.splitlines()[0]!r}")
    _parse_cues(text)


def _parse_cues(text: str) -> None:
    for line in text.splitlines():
        if "-->" in line and not CUE.fullmatch(line):
            raise ValueError(f"{line!r} is no time of a cue")


PARSERS: Mapping[str, Callable[[str], object]] = {
    "json": json.loads,
    "csv": _parse_csv,
    "vtt": _parse_vtt,
    "srt": _parse_srt,
}


def tools(subject: Subject) -> str:
    """Hold each tool to a docstring and to typed arguments: that is all that an agent sees."""
    found = subject.ask("register_tools", subject.session())
    _need(found, "tool")
    for tool in found:
        name = getattr(tool, "__name__", repr(tool))
        assert (inspect.getdoc(tool) or "").strip(), f"tool {name}: it has no docstring"
        _check_typed(tool, name)
    names = [tool.__name__ for tool in found]
    assert len(set(names)) == len(names), f"two tools have one name: {names}"
    return ", ".join(names)


def _check_typed(tool: Callable[..., object], name: str) -> None:
    try:
        hints = typing.get_type_hints(tool)
    except NameError as error:
        raise AssertionError(f"tool {name}: its types cannot be read: {error}") from error
    for argument in inspect.signature(tool).parameters.values():
        assert argument.name in hints, f"tool {name}: argument {argument.name!r} has no type"
        many = argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
        assert not many, f"tool {name}: *{argument.name} names no argument"
    assert "return" in hints, f"tool {name}: it does not say what it returns"
