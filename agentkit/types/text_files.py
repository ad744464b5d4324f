"""Text files in a field's own format, read strictly: what is not of it is named, with its line."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import UsageError

SHOWN = 40  # characters of a wrong cell that an error repeats


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, counted from 1."""

    path: Path
    number: int
    text: str

    def error(self, what: str) -> UsageError:
        """Return the error to raise; `what` says what is wrong and what to write instead."""
        return UsageError(f"{self.path}, line {self.number}: {what}")

    def integer(self, cell: str, name: str, at_least: int | None = None) -> int:
        try:
            value = int(cell) if cell.isdecimal() and cell.isascii() else int(_plain(cell))
        except ValueError:
            raise self.error(f"{name} {_shown(cell)} is no whole number; write digits") from None
        if at_least is not None and value < at_least:
            raise self.error(f"{name} {value} is below {at_least}")
        return value

    def real(self, cell: str, name: str, at_least: float | None = None) -> float:
        try:
            value = float(_plain(cell))
        except ValueError:
            raise self.error(f"{name} {_shown(cell)} is no number; write one as 1.5") from None
        if not math.isfinite(value):
            raise self.error(f"{name} {_shown(cell)} is not finite; write a number")
        if at_least is not None and value < at_least:
            raise self.error(f"{name} {value:g} is below {at_least:g}")
        return value

    def cells(self) -> list[str]:
        """Return the cells of a line of CSV, without the blanks around them.

        Raises:
            UsageError: a quote is not closed.
        """
        if '"' not in self.text:  # the csv module bounds a cell's length; rows of scores exceed it
            return [cell.strip() for cell in self.text.split(",")]
        try:
            return [cell.strip() for cell in next(csv.reader([self.text], strict=True))]
        except csv.Error as error:
            raise self.error(f"not CSV ({error}); close its quotes") from None


@dataclass(frozen=True, slots=True)
class Pair:
    """The two files of one video, or of all videos where a file holds several."""

    video: str
    predictions: Path
    ground_truth: Path


def read_lines(path: Path) -> list[Line]:
    """Return the lines that are not blank; a byte order mark and CRLF are tolerated.

    Raises:
        UsageError: it is no file, no UTF-8 text, or holds nothing.
    """
    if path.is_dir():
        raise UsageError(f"{path}: a folder where a file is meant; name the file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    rows = enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    lines = [Line(path, number, row) for number, row in rows if row.strip()]
    if not lines:
        raise UsageError(f"{path}: holds no line; is it the right file?")
    return lines


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[Line, list[str]]]:
    """Return the rows of a CSV file whose header is `columns`, each with one cell a column.

    Raises:
        UsageError: as `read_lines`; another header; a row with more or fewer cells.
    """
    return table_rows(read_lines(path), columns)


def table_rows(lines: Sequence[Line], columns: Sequence[str]) -> list[tuple[Line, list[str]]]:
    """Return the rows of a table's lines; as `read_table`, of a file that is read already."""
    header, *lines = lines
    wanted = ",".join(columns)
    if header.cells() != list(columns):
        raise header.error(f"the header is {_shown(header.text)}; write {wanted}")
    rows = [(line, line.cells()) for line in lines]
    for line, cells in rows:
        if len(cells) != len(columns):
            raise line.error(f"{len(cells)} cells where {len(columns)} are meant: {wanted}")
    return rows


def csv_files(path: Path) -> list[Path]:
    """Return the file itself, or the .csv files of a folder.

    Raises:
        UsageError: a folder without one.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.csv") if not file.name.startswith("."))
    if not files:
        raise UsageError(f"{path}: holds no .csv; put one there")
    return files


def pair_files(predictions: Path, ground_truth: Path) -> list[Pair]:
    """Return the files that belong together: two files, or those of the same name of two folders.

    Raises:
        UsageError: one is a folder and the other is not, or a file has no counterpart.
    """
    if not ground_truth.is_dir() and not predictions.is_dir():
        return [Pair(ground_truth.stem, predictions, ground_truth)]
    if not (ground_truth.is_dir() and predictions.is_dir()):
        raise UsageError(
            f"{predictions} and {ground_truth}: one is a folder, the other is not; "
            "give two files, or two folders with one file a video"
        )
    found, true = (_names(folder) for folder in (predictions, ground_truth))
    for name in sorted(true ^ found):
        here, there = (ground_truth, predictions) if name in true else (predictions, ground_truth)
        raise UsageError(f"{here / name}: there is no {name} in {there}; add it or leave both out")
    if not true:
        raise UsageError(f"{ground_truth}: holds no file; put one a video there")
    return [Pair(Path(name).stem, predictions / name, ground_truth / name) for name in sorted(true)]


def _names(folder: Path) -> set[str]:
    return {
        path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
    }


def _plain(cell: str) -> str:
    cell = cell.strip()
    if not cell.isascii() or "_" in cell:  # Python's own readings of numbers, not a file's
        raise ValueError(cell)
    return cell


def _shown(cell: str) -> str:
    return repr(cell.strip() if len(cell) <= SHOWN else f"{cell.strip()[:SHOWN]}...")
