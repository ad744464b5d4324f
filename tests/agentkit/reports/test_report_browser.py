"""The page in a Chromium that is installed: it needs no network, its links jump, figures show."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from agentkit.config import ReportSettings
from agentkit.reports.build import Wanted, build
from agentkit.reports.html import html
from agentkit.reports.pdf import browser as chromium
from agentkit.testing import RecordedSession
from agentkit.types import Finding, Note, Report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

WIDE, NARROW = 1280, 390


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = chromium()
    if found is None:
        pytest.skip("no Chromium is installed; apt-get install chromium")
    with api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def full(session: RecordedSession) -> Report:
    """A report on the drawn film, with all that a page may hold; longer than any screen."""
    video = session.stored[0]
    texts = [Note(at / 5, at / 5 + 0.2, "ocr", f"a text on screen, {at}") for at in range(60)]
    session.noted = {video.video_id: [*session.noted[video.video_id], *texts]}
    made = build(session, session.domain, [video.video_id], Wanted(ReportSettings()))
    return replace(made, notices=("No medical device.",))


class Opened:
    """A page that is open, and all that it asked for and complained about."""

    def __init__(self, browser: "Browser", path: Path, width_px: int, scheme: str) -> None:
        context = browser.new_context(
            viewport={"width": width_px, "height": 800},
            color_scheme=scheme,  # type: ignore[arg-type]  # "light" or "dark"
            offline=True,
        )
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri())

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture
def path(full: Report, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(html(full), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [WIDE, NARROW])
def test_the_page_needs_nothing_fits_and_shows(
    browser: "Browser", path: Path, width_px: int, scheme: str
) -> None:
    opened = Opened(browser, path, width_px, scheme)
    outside = [url for url in opened.requests if not url.startswith("data:")]
    assert outside == [path.as_uri()]
    assert opened.said == []
    assert opened.value("document.documentElement.scrollWidth") <= width_px
    pictures = "[...document.images].map(one => [one.complete, one.naturalWidth])"
    shown = opened.value(pictures)
    assert len(shown) > 3
    assert all(complete and wide > 0 for complete, wide in shown)
    picture = Image.open(io.BytesIO(opened.page.screenshot()))
    light = np.asarray(picture.convert("L"), np.float64)
    assert picture.width == width_px
    assert light.std() > 8  # letters on paper, not an empty page
    assert light.mean() > 150 if scheme == "light" else light.mean() < 90


def test_a_number_jumps_to_its_evidence_and_back(browser: "Browser", path: Path) -> None:
    page = Opened(browser, path, WIDE, "light").page
    link = page.locator(".finding .cite a.number").first
    number = link.get_attribute("href")
    assert number is not None
    assert page.evaluate("window.scrollY") == 0
    link.click()
    assert page.locator(":target").get_attribute("id") == number[1:]
    assert page.evaluate("window.scrollY") > 300
    card = page.locator(number)
    box = card.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 800
    card.locator(".back a").first.click()
    place = page.locator(":target")
    assert (place.get_attribute("class") or "").split() == ["cite"]
    box = place.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 800


def test_each_link_within_the_page_leads_somewhere(browser: "Browser", path: Path) -> None:
    opened = Opened(browser, path, WIDE, "light")
    lost = opened.value(
        "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
        ".filter(href => href.startsWith('#') && !document.getElementById(href.slice(1)))"
    )
    assert lost == []


def test_the_timeline_lies_in_its_place(browser: "Browser", path: Path) -> None:
    """A bar begins where, between the ticks of its axis, its second stands on the screen."""
    opened = Opened(browser, path, WIDE, "light")
    ticks = opened.value(
        "Object.fromEntries([...document.querySelectorAll('svg .tick')].map(tick => {"
        " const box = tick.getBoundingClientRect();"
        " return [tick.textContent, box.left + box.width / 2]; }))"
    )
    bar = opened.value(
        "[...document.querySelectorAll('svg .span')]"
        ".find(one => one.textContent.startsWith('2 people'))"
        ".querySelector('rect').getBoundingClientRect().left"
    )
    second_px = (ticks["00:15"] - ticks["00:10"]) / 5
    assert second_px > 10
    assert bar == pytest.approx(ticks["00:10"] + 2 * second_px, abs=1.0)  # seen from 12 s on


def test_text_from_a_video_runs_nothing(browser: "Browser", full: Report, tmp_path: Path) -> None:
    attack = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    first = replace(full.sections[0], findings=(Finding(attack, "unsupported"),), title=attack)
    path = tmp_path / "attack.html"
    path.write_text(html(replace(full, sections=(first,))), encoding="utf-8")
    opened = Opened(browser, path, WIDE, "light")
    assert opened.page.title() == full.title
    assert opened.page.locator(".finding .claim").inner_text() == attack
    assert opened.page.locator("script").count() == 0
    assert opened.said == []


def test_a_long_table_keeps_its_head_in_sight(browser: "Browser", path: Path) -> None:
    page = Opened(browser, path, WIDE, "light").page
    box = page.locator(".scroll.long").first
    box.scroll_into_view_if_needed()
    box.evaluate("one => { one.scrollTop = 400; }")
    assert box.evaluate("one => one.scrollTop") == 400
    head, frame = box.locator("th").first.bounding_box(), box.bounding_box()
    assert head is not None
    assert frame is not None
    assert head["y"] == pytest.approx(frame["y"], abs=2)


def test_chromium_prints_it_where_weasyprint_is_missing(
    browser: "Browser", full: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from agentkit.reports.pdf import pdf

    assert browser.is_connected()
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    assert pdf(full).startswith(b"%PDF-")
