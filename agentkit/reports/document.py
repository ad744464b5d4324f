"""A report with a format: bytes, and files that appear whole or not at all."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import UnknownNameError, UsageError
from agentkit.exports.files import check_output, whole
from agentkit.models.files import sync_folder
from agentkit.plugin_manager import Domain
from agentkit.types import Report

FORMATS = ("md", "html", "json", "pdf")
SUFFIXES = {".markdown": "md", ".htm": "html"}


@dataclass(frozen=True, slots=True)
class Document:
    """A report that can be written; the domain is asked first for each format."""

    report: Report
    domain: Domain

    def render(self, format: str = "md") -> bytes:
        """Return the file's bytes in "md", "html", "json", "pdf" or a format of the domain's own.

        Raises:
            UnknownNameError: neither the domain nor we write this format.
            UsageError: a PDF is wanted, and nothing here makes one; says what would.
        """
        own = self.domain.render_report(self.report, format)
        return own if own is not None else _render(self.report, format)

    def save(self, path: Path | str, format: str | None = None) -> Path:
        """Write the report to a file and return its path; a file that is there is replaced.

        The format is that of the file's ending where none is given. A killed save leaves what was
        there before.

        Raises:
            UsageError: the file cannot be written there; see `render`, too.
        """
        path = Path(path)
        format = format or format_of(path)
        check_place(path, [video.path for video in self.report.videos if video.path])
        write_whole(path, self.render(format))
        return path


def format_of(path: Path) -> str:
    """Return the format that a file's ending names.

    Raises:
        UsageError: it has none.
    """
    ending = path.suffix.lower()
    if not ending:
        raise UsageError(f"{path}: no ending says the format; name it .html, or give --format")
    return SUFFIXES.get(ending, ending[1:])


def check_format(format: str, domain: Domain) -> None:
    """Make sure, before a long report is made, that its format can be written.

    Raises:
        UnknownNameError: nobody writes it; a domain that renders at all is asked in the end.
        UsageError: a PDF is wanted, and nothing here makes one.
    """
    if domain.answers("render_report"):
        return
    if format not in FORMATS:
        raise UnknownNameError("format of a report", format, FORMATS)
    if format == "pdf":
        from agentkit.reports.pdf import require

        require()


def check_place(path: Path, videos: Iterable[str] = ()) -> None:
    """Make sure, before a long report is made, that its file can be written there.

    Raises:
        UsageError: it is a folder, one of these video files, or its own folder is missing or may
            not be written to.
    """
    check_output(path, "")
    for video in videos:
        check_output(path, video)
    if not os.access(path.resolve().parent, os.W_OK):
        raise UsageError(f"{path}: the folder may not be written to; name another file")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside its place, to disk, then under its name."""
    path = path.resolve()  # a link stays a link
    with whole(path) as part, part.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    sync_folder(path.parent)


def _render(report: Report, format: str) -> bytes:
    if format == "md":
        from agentkit.reports.markdown import markdown

        return markdown(report).encode()
    if format == "html":
        from agentkit.reports.html import html

        return html(report).encode()
    if format == "json":
        from agentkit.reports.form import to_json

        return to_json(report)
    if format == "pdf":
        from agentkit.reports.pdf import pdf

        return pdf(report)
    raise UnknownNameError("format of a report", format, FORMATS)
