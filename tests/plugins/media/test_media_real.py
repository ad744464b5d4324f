"""Real clips through the installed instruments: shots to the frame, names, report, page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit import Session, Settings, models
from agentkit.paths import home
from agentkit.testing import RecordedSession, stored_video
from agentkit.types import StoredVideo
from agentkit_media.options import Options
from agentkit_media.shots import shots_of

pytestmark = pytest.mark.real

CHROMIUM = Path("/usr/bin/chromium")
BIKES_CUTS = [30, 76, 137, 187, 242]  # looked at frame by frame


def clip(name: str) -> Path:
    path: Path = home() / "clips" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there; python examples/clips.py {name}")
    return path


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("bikes.mp4", BIKES_CUTS),
        ("bigbuckbunny.mp4", []),
        ("obama_speech.mp4", []),
        ("vtest.avi", []),
    ],
)
def test_shots_of_the_clips_to_the_frame(name: str, cuts: list[int]) -> None:
    video = stored_video(clip(name))
    found = shots_of(video, RecordedSession([video]), Options())
    assert found.exact
    assert [(s.first_frame, s.begins) for s in found.shots[1:]] == [(cut, "cut") for cut in cuts]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    for name in ("qwen2.5-coder-0.5b", "minilm", "yolox-nano", "efficientnet-lite0"):
        if not models.available(name):
            pytest.skip(f"needs `agentkit models pull {name}`")
    settings = Settings.load(store=tmp_path_factory.mktemp("media") / "store", domain="media")
    with Session.open(settings) as opened:
        opened.ingest(clip("bikes.mp4"))
        opened.ingest(clip("obama_speech.mp4"))
        yield opened


def video(session: Session, name: str) -> StoredVideo:
    return session.video(name)


def test_scenes_are_segments_with_times_of_the_cuts(session: Session) -> None:
    parts = session._domain.segments(video(session, "bikes.mp4"), session)
    # The last two shots are of one bicycle.
    assert [part.start_s for part in parts] == pytest.approx([0.0, 1.2, 3.04, 5.48, 7.48])


def test_who_stands_in_the_caption_is_named_where_it_shows(session: Session) -> None:
    pytest.importorskip("rapidocr", reason="extra 'ocr' is not installed")
    sections = session._domain.report_sections(video(session, "obama_speech.mp4"), session)
    (characters,) = (section for section in sections if section.title == "Characters")
    (row,) = characters.tables[0].rows
    assert row.cells[:2] == ("Obama", "person; with a title")
    # The caption is drawn between 2 s and 3 s of the clip and stays.
    assert all(2.0 <= cite.start_s < cite.end_s <= 8.8 for cite in row.citations)


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
def test_the_page_opens_without_a_network_and_its_links_jump(
    session: Session, tmp_path: Path
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    made = session.report(video(session, "bikes.mp4"), summary=False)
    page_file = made.save(tmp_path / "report.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        shown = page.inner_text("body")
        for said in ("Scene breakdown", "6 shots in 5 scenes", "Moods are guesses", "Script"):
            assert said in shown
        assert page.evaluate("document.images.length") >= 6
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        broken = page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')]"
            ".map(a => a.getAttribute('href').slice(1))"
            ".filter(id => id && !document.getElementById(id))"
        )
        assert broken == []
        browser.close()
