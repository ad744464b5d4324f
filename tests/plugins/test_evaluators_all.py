"""What holds of every domain's evaluators: ranges, perfect and bad, rubbish, how lines end."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.types import Evaluation, Evaluator, Examples, UsageError
from agentkit_healthcare.evaluators import EVALUATORS as HEALTHCARE
from agentkit_media.evaluators import EVALUATORS as MEDIA
from agentkit_security.evaluators import EVALUATORS as SECURITY

EVERY = {each.name: each for each in (*MEDIA, *SECURITY, *HEALTHCARE)}
each_one = pytest.mark.parametrize("evaluator", EVERY.values(), ids=EVERY)


def assert_in_range(evaluator: Evaluator, evaluation: Evaluation) -> None:
    for values in (evaluation.metrics, *evaluation.per_video.values()):
        for name, value in values.items():
            bounds = evaluator.ranges.get(name) or evaluator.ranges.get(name.split("/")[0])
            if bounds is not None:
                assert min(bounds) - 1e-12 <= value <= max(bounds) + 1e-12, (name, value)
            assert not math.isnan(value)


def texts(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def test_no_two_have_one_name() -> None:
    assert len(EVERY) == len(MEDIA) + len(SECURITY) + len(HEALTHCARE) == 8


@each_one
def test_perfect_predictions_have_the_best_values_and_bad_ones_worse(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    files = evaluator.examples(tmp_path)
    perfect = evaluator.evaluate(files.perfect, files.ground_truth)
    bad = evaluator.evaluate(files.bad, files.ground_truth)
    assert {name: perfect.metrics[name] for name in evaluator.ranges} == pytest.approx(
        {name: best for name, (_, best) in evaluator.ranges.items()}
    )
    assert all(perfect.correct.values())
    for name, (worst, best) in evaluator.ranges.items():
        away = abs(bad.metrics[name] - best)
        assert 0 < away <= abs(worst - best), name
    assert_in_range(evaluator, perfect)
    assert_in_range(evaluator, bad)
    assert {name.split("/")[0] for name in perfect.metrics} == set(evaluator.ranges)
    assert perfect.correct.keys() == bad.correct.keys()
    assert perfect.per_video.keys() == bad.per_video.keys()


@each_one
def test_the_page_about_evaluation_has_a_row_for_it(evaluator: Evaluator) -> None:
    page = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{evaluator.name}` |"))
    for name in evaluator.ranges:
        measure, _, rule = name.partition("@")
        plain = measure.removeprefix("relaxed_")
        assert f"`{plain}`" in row or f"`{name}`" in row
        assert not rule or f"@{rule}" in row


@each_one
def test_a_source_is_named(evaluator: Evaluator) -> None:
    assert any(year in evaluator.source for year in map(str, range(2000, 2027)))


@each_one
def test_how_lines_end_and_a_byte_order_mark_change_nothing(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    files = evaluator.examples(tmp_path)
    before = evaluator.evaluate(files.bad, files.ground_truth)
    for path in texts(tmp_path):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert evaluator.evaluate(files.bad, files.ground_truth) == before


@each_one
@pytest.mark.parametrize("side", ["predictions", "ground truth"])
@pytest.mark.parametrize(
    "rubbish",
    [
        *(b"", b"\n\n", b"\x00\x01\xff\xfe", b"hello world\n", b"{\n", b"[1, 2, 3]\n"),
        *("1 2 3".encode("utf-16"), b'{"qid": NaN}\n', b"[" * 100_000, b"9" * 10_000),
        b"1,2\t3\n" * 9,
    ],
)
def test_rubbish_gets_one_line_that_names_the_file(
    evaluator: Evaluator, side: str, rubbish: bytes, tmp_path: Path
) -> None:
    files = evaluator.examples(tmp_path)
    path = tmp_path / "rubbish"
    path.write_bytes(rubbish)
    pair = (path, files.ground_truth) if side == "predictions" else (files.perfect, path)
    with pytest.raises(UsageError) as caught:
        evaluator.evaluate(*pair)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@each_one
def test_a_file_that_is_not_there_is_named(evaluator: Evaluator, tmp_path: Path) -> None:
    files = evaluator.examples(tmp_path)
    nowhere = tmp_path / "nowhere"
    for pair in ((nowhere, files.ground_truth), (files.perfect, nowhere)):
        with pytest.raises(UsageError, match="nowhere: cannot be read: No such file"):
            evaluator.evaluate(*pair)


def outcome(evaluator: Evaluator, found: Path, true: Path) -> Evaluation | str:
    try:
        return evaluator.evaluate(found, true)
    except UsageError as error:
        return str(error)


def damaged(text: str, data: st.DataObject) -> str:
    """Return a text with one piece of it repeated, left out, or replaced."""
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(first + 40, len(text))))
    pieces = (
        "",
        text[first:last] * 2,
        "-1",
        "nan",
        "1e308",
        "0",
        "\t",
        "x",
        "\n",
        "[]",
        "null",
        '"',
    )
    return text[:first] + data.draw(st.sampled_from(pieces)) + text[last:]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Examples]:
    return {name: each.examples(tmp_path_factory.mktemp(name)) for name, each in EVERY.items()}


@each_one
@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_gives_values_in_range(
    evaluator: Evaluator,
    examples: dict[str, Examples],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    original = examples[evaluator.name]
    folder = tmp_path_factory.mktemp("damaged")
    found, true = folder / "found", folder / "true"
    shutil.copy(original.bad, found)
    copy = shutil.copytree if original.ground_truth.is_dir() else shutil.copy
    copy(original.ground_truth, true)
    path = data.draw(st.sampled_from(sorted(texts(folder))))
    path.write_text(damaged(path.read_text(encoding="utf-8"), data), encoding="utf-8")
    result = outcome(evaluator, found, true)
    if isinstance(result, str):
        assert "\n" not in result
        assert str(folder) in result
    else:
        assert_in_range(evaluator, result)
