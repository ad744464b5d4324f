"""Two views cut from the clip of pedestrians, one of them 7.4 s late."""

import sys
from pathlib import Path

import pytest

from agentkit.testing import RecordedSession, stored_video
from agentkit_security.linking.cameras import camera_of, link_cameras
from agentkit_security.linking.offsets import offset_between
from agentkit_security.linking.options import LinkOptions
from agentkit_security.tracking import tracks_of

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from common import clip  # noqa: E402 — benchmarks are scripts, found by the line above
from linking_views import FPS, LATE, OVERLAP, WHOLE, View, session_of  # noqa: E402

pytestmark = pytest.mark.real


@pytest.mark.parametrize("pair", [OVERLAP, WHOLE], ids=["overlap", "same scene"])
def test_the_offset_is_found_without_tracks(pair: tuple[View, View], tmp_path: Path) -> None:
    videos = [stored_video(view.make(clip("vtest.avi"), tmp_path)) for view in pair]
    session = RecordedSession(videos)
    a, b = (camera_of(video, session, lambda *_: []) for video in videos)
    offset = offset_between(a, b, LinkOptions())
    assert offset.is_sure
    assert offset.how == "activity"
    assert offset.seconds == pytest.approx(LATE / FPS, abs=0.5)


def test_people_in_both_views_are_linked(tmp_path: Path) -> None:
    source = clip("vtest.avi")
    clipped = stored_video(source)
    whole = tracks_of(session_of([clipped]), clipped)
    videos = [stored_video(view.make(source, tmp_path)) for view in OVERLAP]
    session = session_of(videos)
    owners = {
        video.video_id: view.owners(tracks_of(session, video), whole)
        for video, view in zip(videos, OVERLAP, strict=True)
    }
    links = link_cameras(videos, session).links
    right = [
        owners[link.a.video_id].get(link.a.number, -1)
        == owners[link.b.video_id].get(link.b.number, -2)
        for link in links
    ]
    assert len(links) >= 5
    assert sum(right) >= 0.8 * len(links)
