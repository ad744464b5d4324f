"""A report as PDF: the HTML page, printed by WeasyPrint or by a Chromium that is here."""

import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from agentkit.errors import UsageError
from agentkit.reports.html import html
from agentkit.types import Report

logger = logging.getLogger(__name__)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PRINT_S = 300
REMEDY = (
    "a PDF needs WeasyPrint or Chromium, and neither is here; pip install"
    " 'videoxl2-agentkit[pdf]', or write .html and print it from a browser"
)


def pdf(report: Report) -> bytes:
    """Return the report as PDF.

    Raises:
        UsageError: nothing here makes one; says what would.
    """
    require()
    page = html(report)
    weasyprint = _weasyprint()
    if weasyprint is not None:
        # Pictures of the page itself are read, and nothing of a disk or a network.
        inside = weasyprint.urls.URLFetcher(allowed_protocols=("data",))
        made = weasyprint.HTML(string=page, url_fetcher=inside).write_pdf()
        assert isinstance(made, bytes), "no target was given"
        return made
    return _printed(page)


def require() -> None:
    """Make sure that a PDF can be made.

    Raises:
        UsageError: nothing here makes one; says what would.
    """
    if _weasyprint() is None and browser() is None:
        raise UsageError(REMEDY)


def browser() -> str | None:
    """Return the first Chromium that is here, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def _weasyprint() -> Any:
    """Return WeasyPrint, or None where it, or a library under it, is not installed."""
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher  # noqa: F401 — older ones cannot be held back
    except (ImportError, OSError) as error:  # OSError: Pango is missing
        logger.info("no WeasyPrint: %s", error)
        return None
    return weasyprint


def _printed(page: str) -> bytes:
    """Return the page as Chromium prints it; its policy lets it load nothing."""
    found = browser()
    assert found is not None, "asked before"
    # Chromium's own sandbox does not start as root; the page runs no script.
    alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "report.html"), Path(folder, "report.pdf")
        source.write_text(page, encoding="utf-8")
        quiet = ["--headless", "--disable-gpu", "--no-pdf-header-footer", *alone]
        own = [f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri()]
        run = subprocess.run(  # noqa: S603 — a browser that is installed, and our own page
            [found, *quiet, *own], capture_output=True, timeout=PRINT_S, check=False
        )
        if run.returncode or not target.is_file():
            said = run.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason"]
            raise UsageError(f"{found} made no PDF ({said[0]}); {REMEDY}")
        return target.read_bytes()
