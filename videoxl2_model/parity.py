"""Golden data of the public reference in, the largest difference of every case out.

    python -m videoxl2_model.parity FOLDER [--json] [--tokenizer FILE]

Any folder of the golden format will do: configurations, sizes and names are read from it. A line a
case: what was run, the largest difference, the tolerance, ok or FAIL and why. Exit status 1 if a
case fails, 2 if nothing can be run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from videoxl2_model.errors import CheckpointError, SettingError, VideoXL2Error
from videoxl2_model.golden import Case, case_names
from videoxl2_model.parity_language import check_answer, check_masks, check_rows
from videoxl2_model.parity_model import GoldenModel
from videoxl2_model.parity_report import Report
from videoxl2_model.parity_rules import Encode, check_prompts, check_sampling, check_weights
from videoxl2_model.parity_vision import (
    check_connector,
    check_dts,
    check_preprocess,
    check_tower,
)

KINDS = {  # the part of a case's name before the first `_`
    "a": "tower",
    "b": "connector",
    "c": "dts",
    "d": "rows",
    "e": "answer",
    "f": "answer",  # or masks
    "g": "answer",
    "h": "sampling",
    "prompt": "prompt",
    "preprocess": "preprocess",
    "weights": "weights",
}
SIGNS = {  # a field that only one kind has, for cases with other names; the first that is there
    "masks": "masks",
    "input_name": "dts",
    "features_name": "connector",
    "steps": "answer",
    "time_embedding_ids": "rows",
    "pixels_name": "tower",
    "load_video": "sampling",
    "load_video_uniform": "sampling",
    "prompts": "prompt",
    "time_texts": "prompt",
    "input_formula": "preprocess",
    "parameters": "weights",
}
MODEL_CHECKS: dict[str, Callable[[GoldenModel, Mapping[str, Any], Report], object]] = {
    "tower": check_tower,
    "connector": check_connector,
    "rows": check_rows,
    "answer": check_answer,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One case's result, as it is printed."""

    case: str
    what: str
    difference: float | None  # None where nothing was compared, or something was no number
    tolerance: float
    ok: bool
    reason: str  # why it failed, or what was not compared

    def __str__(self) -> str:
        said = "ok" if self.ok else "FAIL"
        far = "-" if self.difference is None else f"{self.difference:.1e}"
        numbers = f"{far:>7} of {self.tolerance:5.0e}"
        return f"{self.case:<24} {self.what:<42} {numbers}  {said} {self.reason}".rstrip()


class Golden:
    """A folder of the golden format, its models drawn as its cases need them."""

    def __init__(self, folder: Path, tokenizer: Path | None = None) -> None:
        self.folder = folder
        self._tokenizer = tokenizer or folder / "tokenizer.json"
        self._models: dict[str, GoldenModel] = {}

    def names(self) -> list[str]:
        return case_names(self.folder)

    def model(self, name: str | None) -> GoldenModel:
        """Return the model of a configuration; None is the only one that the folder has."""
        if name is None:
            names = [path.stem for path in sorted(self.folder.glob("config_*.json"))]
            if len(names) != 1:
                raise CheckpointError(f"names no config, and the folder has {len(names)}")
            name = names[0].removeprefix("config_")
        if name not in self._models:
            self._models[name] = GoldenModel.read(self.folder, name)
        return self._models[name]

    @cached_property
    def encode(self) -> Encode | None:
        """A tokenizer's text to ids; None without a file of it."""
        if not self._tokenizer.exists():
            return None
        from tokenizers import Tokenizer  # imported here: two kinds of cases use it, if given

        try:
            tokenizer = Tokenizer.from_file(str(self._tokenizer))
        except Exception as error:  # tokenizers raises nothing narrower
            raise CheckpointError(f"{self._tokenizer}: no tokenizer: {error}") from error
        return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)

    def line(self, name: str) -> Line:
        """Read and run one case; files that cannot be read are its failure."""
        try:
            case = Case.load(self.folder, name)
        except Exception as error:  # noqa: BLE001 — damaged files can raise anything
            return Line(name, "not run", None, 0.0, ok=False, reason=in_a_line(error))
        return self.run(case)

    def run(self, case: Case) -> Line:
        """Run one case. Whatever it raises is its failure, and the others still run."""
        report = Report(case.name, case.arrays)
        raised = ""
        try:
            self.check(case, report)
        except Exception as error:  # noqa: BLE001 — so can damaged numbers
            raised = in_a_line(error)
        left = f"not compared: {', '.join(report.left)}" if report.left else ""
        reason = raised or report.reason
        what = report.what or "not run"
        return Line(
            case.name, what, report.worst, report.allowed, ok=not reason, reason=reason or left
        )

    def check(self, case: Case, report: Report) -> None:
        """Run the check of a case's kind.

        Raises:
            SettingError: the kind is unknown.
        """
        facts = case.facts
        match kind_of(case):
            case "masks":
                check_masks(facts, report)
            case "sampling":
                check_sampling(facts, report)
            case "prompt":
                check_prompts(facts, self.encode, report)
            case "preprocess":
                check_preprocess(facts, report)
            case "dts":
                salt = facts["salt"] if "salt" in facts else self.model(facts.get("config")).salt
                check_dts(facts, salt, report)
            case "weights":
                check_weights(self.model(case.name.partition("_")[2]), facts, report)
            case kind:
                MODEL_CHECKS[kind](self.model(facts.get("config")), facts, report)


def in_a_line(error: Exception) -> str:
    """Return an error's own words."""
    if isinstance(error, KeyError) and not isinstance(error, VideoXL2Error):
        return f"no field {error}"
    return " ".join(str(error).split()) or type(error).__name__


def kind_of(case: Case) -> str:
    """Return a case's kind, from the first part of its name or from a field only one kind has.

    Raises:
        SettingError: neither tells.
    """
    kind = KINDS.get(case.name.partition("_")[0])
    kind = kind or next((kind for sign, kind in SIGNS.items() if sign in case.facts), None)
    if kind is None:
        raise SettingError(f"unknown kind of case; the name begins with one of {', '.join(KINDS)}")
    return "masks" if kind == "answer" and "masks" in case.facts else kind


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; {self.format_usage().strip()}")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Raises:
        SettingError: it cannot be used as it is.
    """
    parser = Parser(prog="python -m videoxl2_model.parity", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a folder of the golden format")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json, for ids")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        raise SettingError(f"{options.folder}: no such folder")
    if options.tokenizer and not options.tokenizer.is_file():
        raise SettingError(f"{options.tokenizer}: no such file")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run every case of a folder; return the exit status."""
    try:
        options = parsed(arguments)
        golden = Golden(options.folder, options.tokenizer)
        names = golden.names()
    except (VideoXL2Error, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    lines = []
    for name in names:
        lines.append(golden.line(name))
        if not options.json:
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.flush()
    passed = sum(line.ok for line in lines)
    if options.json:
        told = {"folder": str(options.folder), "cases": [asdict(line) for line in lines]}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        sys.stdout.write(f"{options.folder}: {passed} of {len(lines)} cases ok\n")
    return 0 if lines and passed == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
