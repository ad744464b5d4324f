"""The drawn clip through the installed instruments: recognised, reported, and nobody to be read.

The clip is drawn, no surgery: it shows that captions are read and followed, not that surgery is.
"""

import importlib.util
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures

from agentkit import Session, Settings, models
from agentkit.redaction import Redaction
from agentkit.types import StoredVideo
from agentkit_healthcare.exporting import labels
from agentkit_healthcare.protocol import load
from agentkit_healthcare.steps import recognised

pytestmark = pytest.mark.real

NEEDED = ("qwen2.5-coder-0.5b", "minilm", "yolox-nano", "centerface")
CHROMIUM = Path("/usr/bin/chromium")


def _drawn() -> Any:
    path = Path(__file__).parent / "drawn.py"
    spec = importlib.util.spec_from_file_location("healthcare_drawn", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


drawn = _drawn()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    for name in NEEDED:
        if not models.available(name):
            pytest.skip(f"needs `agentkit models pull {name}`")
    pytest.importorskip("rapidocr", reason="extra 'ocr' is not installed")
    folder = tmp_path_factory.mktemp("healthcare")
    settings = Settings.load(store=folder / "store", domain="healthcare")
    instruments = {"instruments": ("shots", "motion", "objects", "ocr")}
    settings = settings.model_copy(
        update={
            "notes": settings.notes.model_copy(update=instruments),
            "plugins": {"healthcare": {"ask": "never"}},
        }
    )
    with Session.open(settings) as opened:
        opened.ingest(drawn.make(folder / "Johanna Weber.mp4"))
        yield opened


@pytest.fixture(scope="module")
def video(session: Session) -> StoredVideo:
    (video,) = session.videos()
    return video


def test_phases_are_found_within_seconds_and_cited_inside_themselves(
    session: Session, video: StoredVideo
) -> None:
    found = recognised(video, session)
    true = drawn.spans()
    assert [one.step.id for one in found.occurrences] == [step for step, _, _ in true]
    for one, (_, start_s, end_s) in zip(found.occurrences, true, strict=True):
        assert abs(one.start_s - start_s) <= 3
        assert abs(one.end_s - end_s) <= 3
        assert one.evidence
        assert all(start_s <= c.start_s and c.end_s <= end_s + 1e-6 for c in one.evidence)
    frames = labels(found)
    steps = load("cholec80")
    right = [
        label == steps.step(drawn.part_at(frame / 25).step).label
        for frame, label in enumerate(frames)
    ]
    assert np.mean(right) > 0.9


def secrets_in(text: str) -> list[str]:
    return [secret for secret in drawn.SECRETS if secret in text.casefold()]


@pytest.mark.parametrize("format", ["cholec80", "steps", "csv", "chapters", "otio", "edl", "vtt"])
def test_no_file_names_the_patient(session: Session, video: StoredVideo, format: str) -> None:
    assert secrets_in(session.export(video, format).decode()) == []


@pytest.fixture(scope="module")
def report(session: Session, video: StoredVideo) -> Any:
    return session.report(video, summary=False)


def test_no_report_names_the_patient(report: Any) -> None:
    for format in ("md", "html", "json"):
        text = report.render(format).decode()
        assert "no medical device" in text
        assert secrets_in(re.sub(r'"?data:image/[^")]*', "", text)) == []
    assert any(exhibit.jpeg for exhibit in report.report.exhibits)


def read(image: np.ndarray) -> str:
    """Read all text of a picture with the reader that noted the overlays."""
    from agentkit.instruments.ocr import load_ocr

    reader = load_ocr(1)._reader
    lines = []
    for box in reader.find(image):
        left, top, right, bottom = (int(max(edge, 0)) for edge in box)
        cut_out = np.ascontiguousarray(image[top : bottom + 1, left : right + 1])
        lines.append(reader.read(cut_out)[0] if cut_out.size else "")
    return " ".join(lines)


def test_no_frame_that_leaves_the_store_can_be_read(session: Session, video: StoredVideo) -> None:
    times_s = [2.0, 26.0, 64.0]
    as_they_are = " ".join(map(read, session.frames(video, times_s)))
    assert {"johanna", "kowalski"} <= set(secrets_in(as_they_are))  # the reader reads them
    shown = Redaction(session._domain, session).frames(video, times_s)
    assert [frame.shape for frame in shown] == [(360, 640, 3)] * 3
    assert secrets_in(" ".join(map(read, shown))) == []


def test_the_reports_pictures_cannot_be_read(report: Any) -> None:
    pictures = [exhibit.jpeg for exhibit in report.report.exhibits if exhibit.jpeg]
    for jpeg in pictures[:4]:
        image = np.asarray(Pictures.open(io.BytesIO(jpeg)).convert("RGB"))
        assert secrets_in(read(image)) == []


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
def test_the_page_opens_without_a_network_and_its_links_jump(report: Any, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    page_file = report.save(tmp_path / "report.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        shown = page.inner_text("body")
        assert secrets_in(shown) == []
        for step in load("cholec80").steps:
            assert step.name("en") in shown
        whole = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
        assert page.evaluate("document.images.length") >= 7
        assert page.evaluate(whole)
        broken = page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')]"
            ".map(a => a.getAttribute('href').slice(1))"
            ".filter(id => id && !document.getElementById(id))"
        )
        assert broken == []
        assert page.evaluate("document.querySelectorAll('svg').length") >= 1
        browser.close()


def test_agents_are_told_nobodys_name(session: Session, video: StoredVideo) -> None:
    for tool in session._domain.register_tools(session):
        assert secrets_in(json.dumps(tool(video.video_id))) == []
