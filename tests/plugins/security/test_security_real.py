"""Real weights on the pedestrians: what was seen there by eye is found, and no head is shown."""

from pathlib import Path

import numpy as np
import pytest

from agentkit import models
from agentkit.detecting import Detectors
from agentkit.paths import home
from agentkit.plugin_manager import Domain
from agentkit.testing import RecordedSession, stored_video
from agentkit_security.watched import curve, watch

CLIP = home() / "clips" / "vtest.avi"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CLIP.is_file(), reason="needs the example clips"),
    pytest.mark.skipif(
        not models.available("yolox-nano"), reason="needs `agentkit models pull yolox-nano`"
    ),
]
RULES = """
[[zone]]
name = "grass"
polygon = [[0.0, 0.46], [0.42, 0.58], [1.0, 0.88], [1.0, 1.0], [0.0, 1.0]]

[[line]]
name = "lamp post"
from = [0.56, 0.15]
to = [0.56, 0.75]
"""
# Seen by eye, in s: two people come over the grass from below, walk on and step off it, and one
# comes back at last; a man in a blue jacket passes the lamp post, and one in a brown one.
GRASS = [("enters", 50.4), ("enters", 53.4), ("leaves", 60.8), ("leaves", 74.4), ("enters", 76.0)]
PASSED = [("to_right", 11.2), ("to_right", 34.2), ("to_left", 68.4), ("to_right", 75.4)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> RecordedSession:
    rules = tmp_path_factory.mktemp("rules") / "zones.toml"
    rules.write_text(RULES)
    look = Detectors(2)
    return RecordedSession(
        [stored_video(Path(CLIP))],
        domain=Domain.load("security"),
        see=lambda image, what: look([image], what)[0],
        options={"rules": str(rules), "learn_s": 20},
    )


def test_what_happens_on_the_grass_and_at_the_lamp_post(session: RecordedSession) -> None:
    events = watch(session, session.stored[0]).events
    on_grass = [(e.kind, e.start_s) for e in events if e.zone == "grass" and e.kind != "loiters"]
    assert [kind for kind, _ in on_grass] == [kind for kind, _ in GRASS]
    assert [at for _, at in on_grass] == pytest.approx([at for _, at in GRASS], abs=0.6)
    crossings = [(e.reasons[0], e.start_s) for e in events if e.kind == "crosses"]
    for way, at_s in PASSED:
        assert any(w == way and abs(t - at_s) <= 0.6 for w, t in crossings)


def test_the_first_who_walk_on_the_grass_stand_out(session: RecordedSession) -> None:
    (peak, *_) = curve(session, session.stored[0]).peaks
    assert peak.start_s <= 50.5 <= peak.end_s
    assert "place" in [reason.feature for reason in peak.reasons]


@pytest.mark.skipif(not models.available("centerface"), reason="needs the face detector's weights")
def test_no_head_is_shown_as_it_is(session: RecordedSession) -> None:
    video = session.stored[0]
    (frame,) = session.frames(video, [45.0])
    (shown,) = session.domain.redact_frames([frame], video, session)
    people = [one for one in session.detect([frame])[0] if one.kind == "person" and one.score > 0.6]
    assert len(people) >= 3
    for one in people:
        left, top, right, bottom = one.box
        rows = slice(int(top * 576), int((top + (bottom - top) / 6) * 576))
        middle = (left + right) / 2
        columns = slice(int((middle - 0.01) * 768), int((middle + 0.01) * 768))
        assert (frame[rows, columns] != shown[rows, columns]).any(axis=2).mean() > 0.8
    assert np.array_equal(frame[500:, :300], shown[500:, :300])  # grass, and nobody on it
