"""Reports as files: whole or as they were, in the format of their ending, and from a domain."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from agentkit.errors import UnknownNameError, UsageError
from agentkit.hookspecs import hookimpl
from agentkit.plugin_manager import Domain, Plugin
from agentkit.reports import pdf
from agentkit.reports.document import Document, check_format, check_place, format_of
from agentkit.types import Report


@pytest.fixture
def document(report: Report) -> Document:
    return Document(report, Domain.load("general"))


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("r.md", b"# Report"),
        ("r.markdown", b"# Report"),
        ("r.HTML", b"<!doctype html>"),
        ("r.htm", b"<!doctype html>"),
        ("r.json", b'{\n  "schema_version": 1'),
    ],
)
def test_the_ending_says_the_format(
    document: Document, tmp_path: Path, name: str, starts: bytes
) -> None:
    path = document.save(tmp_path / name)
    assert path.read_bytes().startswith(starts)
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_a_given_format_wins_over_the_ending(document: Document, tmp_path: Path) -> None:
    assert document.save(tmp_path / "r.txt", "md").read_bytes() == document.render("md")


def test_a_save_that_is_killed_leaves_the_old_file(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.md"
    path.write_text("old")

    def killed(*_: object) -> None:
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    for where in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), killed)
            with pytest.raises(KeyboardInterrupt):
                document.save(path)
        assert [item.name for item in tmp_path.iterdir()] == ["r.md"]
        assert path.read_text() == "old"
    document.save(path)
    assert path.read_bytes() == document.render("md")


def test_a_link_stays_a_link(document: Document, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "r.md"
    link.symlink_to(tmp_path / "there" / "real.md")
    document.save(link)
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.md").read_bytes() == document.render("md")


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    with pytest.raises(UsageError, match="no such folder; make it first"):
        check_place(tmp_path / "nowhere" / "r.md")
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        check_place(tmp_path)
    with pytest.raises(UsageError, match="is the video itself"):
        check_place(film, [str(film)])
    check_place(tmp_path / "r.md", [str(film)])


def test_a_file_without_an_ending_says_no_format() -> None:
    with pytest.raises(UsageError, match="no ending says the format"):
        format_of(Path("report"))


def test_an_unknown_format_names_the_nearest(document: Document) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'html'"):
        document.render("htlm")
    with pytest.raises(UnknownNameError, match="did you mean 'html'"):
        check_format("htlm", document.domain)


class Cooking:
    """Writes a format of its own, and its own Markdown; leaves the rest to us."""

    @staticmethod
    @hookimpl
    def render_report(report: Report, format: str) -> bytes | None:
        return report.title.encode() if format in ("title", "md") else None


class Broken:
    @staticmethod
    @hookimpl
    def render_report(report: Report, format: str) -> bytes | None:
        raise ValueError("burnt")


def test_the_domain_is_asked_first(report: Report, tmp_path: Path) -> None:
    document = Document(report, Domain("cooking", [Plugin("cooking", Cooking(), "cooking 1")]))
    assert document.render("md") == b"Report on film.mp4"
    assert document.save(tmp_path / "r.title").read_bytes() == b"Report on film.mp4"
    assert document.render("json").startswith(b"{")
    check_format("title", document.domain)


def test_a_domain_that_cannot_render_leaves_it_to_us(document: Document, report: Report) -> None:
    broken = Document(report, Domain("cooking", [Plugin("cooking", Broken(), "cooking 1")]))
    assert broken.render("md") == document.render("md")
    assert "burnt" in broken.domain.broken[0]


def test_a_pdf_has_the_page_and_loads_nothing(document: Document) -> None:
    weasyprint = pytest.importorskip("weasyprint")
    made = document.render("pdf")
    assert made.startswith(b"%PDF-")
    assert made.count(b"/Subtype /Image") + made.count(b"/Subtype/Image") >= 1
    assert weasyprint is not None


def test_without_anything_that_prints_the_remedy_is_told(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)  # as if it were not installed
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for call in (lambda: document.render("pdf"), lambda: check_format("pdf", document.domain)):
        with pytest.raises(UsageError, match=r"pip install 'videoxl2-agentkit\[pdf\]'"):
            call()


def test_a_library_that_does_not_load_is_no_weasyprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    pdf.require()
    assert pdf.browser() == "/bin/chromium"
