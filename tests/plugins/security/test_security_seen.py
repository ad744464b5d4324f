"""What is seen is kept a minute at a time, and the pieces are what one pass would see."""

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import Detection, StoredVideo, UsageError
from agentkit_security import seen
from agentkit_security.seen import Sight, changed, sights, small
from agentkit_security.tracker import track
from agentkit_security.tracking import tracks_of

Image = NDArray[np.uint8]
SECONDS, FPS = 6.0, 10


def walker(number: int, time_s: float, size_px: tuple[int, int]) -> Image:
    """A white box that walks to the right over grey, 16 pixels a second."""
    image = np.full((size_px[1], size_px[0], 3), 90, np.uint8)
    left = 10 + int(16 * time_s)
    image[40:80, left : left + 16] = 250
    return image


def see(image: Image, what: str) -> list[Detection]:
    """Find the white box."""
    rows, columns = np.nonzero(image.mean(axis=2) > 180)
    if what != "objects" or not len(rows):
        return []
    height, width = image.shape[:2]
    left, top = columns.min() / width, rows.min() / height
    right, bottom = (columns.max() + 1) / width, (rows.max() + 1) / height
    left, top, right, bottom = (round(float(at), 5) for at in (left, top, right, bottom))
    return [Detection("person", 0.9, (left, top, right, bottom))]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> StoredVideo:
    path = tmp_path_factory.mktemp("walk") / "walk.mp4"
    return stored_video(make_video(path, seconds=SECONDS, fps=FPS, draw=walker))


def one_pass(video: StoredVideo, fps: float) -> list[Sight]:
    """The slow obvious way: every wanted frame, one after the other."""
    session = RecordedSession([video], see=see)
    times_s = np.arange(round(video.duration_s * fps)) / fps
    out, before = [], None
    for time_s, image in zip(times_s, session.frames(video, times_s.tolist()), strict=True):
        now = small(image)
        motion = round(changed(before, now), 4)
        out.append(Sight(round(float(time_s), 6), motion, tuple(see(image, "objects"))))
        before = now
    return out


@pytest.mark.parametrize("piece_s", [60.0, 2.0, 1.3, 0.5])
def test_pieces_are_what_one_pass_sees(
    video: StoredVideo, monkeypatch: pytest.MonkeyPatch, piece_s: float
) -> None:
    monkeypatch.setattr(seen, "PIECE_S", piece_s)
    session = RecordedSession([video], see=see)
    found = sights(session, video, 5.0, ("person",))
    rounded = [Sight(round(one.time_s, 6), one.motion, one.found) for one in found]
    assert rounded == one_pass(video, 5.0)
    pieces = len(session.made)
    assert session.told[-1] == ("looking", pieces, pieces)
    assert pieces == {60.0: 1, 2.0: 3, 1.3: 5, 0.5: 12}[piece_s]


def test_what_was_seen_before_a_kill_is_not_looked_at_again(
    video: StoredVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "PIECE_S", 2.0)
    looks = 0

    def tiring(image: Image, what: str) -> list[Detection]:
        nonlocal looks
        looks += 1
        if looks == 15:
            raise KeyboardInterrupt
        return see(image, what)

    session = RecordedSession([video], see=tiring)
    with pytest.raises(KeyboardInterrupt):
        tracks_of(session, video)
    (whole,) = tracks_of(session, video)
    # Ten frames of the first piece once, four of the second twice, and the rest once.
    assert looks == 10 + 5 + 10 + 10
    assert session.made["security/seen/00000"] == 1
    assert (whole.start_s, whole.kind, len(whole.boxes)) == (0.0, "person", 30)


def test_tracks_are_kept_and_are_those_of_the_tracker(video: StoredVideo) -> None:
    session = RecordedSession([video], see=see)
    first = tracks_of(session, video)
    frames = [(one.time_s, one.found) for one in sights(session, video, 5.0, ("person",))]
    assert first == track(frames, video.video_id, 160 / 120)
    assert tracks_of(session, video) == first
    assert session.made["security/tracks"] == 1


def test_other_settings_are_other_tracks(video: StoredVideo) -> None:
    session = RecordedSession([video], see=see)
    assert len(tracks_of(session, video)[0].boxes) == 30
    session.options = {"track_fps": 2}
    assert len(tracks_of(session, video)[0].boxes) == 12
    session.options = {"track_kinds": ["car"]}
    assert tracks_of(session, video) == []
    session.options = {"track_fsp": 2}
    with pytest.raises(UsageError, match="did you mean 'track_fps'"):
        tracks_of(session, video)


def test_motion_is_what_changed_beside_the_light() -> None:
    dark = small(np.full((72, 128, 3), 90, np.uint8))
    bright = small(np.full((72, 128, 3), 180, np.uint8))
    half = np.full((72, 128, 3), 90, np.uint8)
    half[:, :32] = 250
    assert changed(None, dark) == 0
    assert changed(dark, bright) == 0
    assert changed(dark, small(half)) == pytest.approx(0.25)


def test_a_tiny_picture_is_measured_as_it_is() -> None:
    assert small(np.zeros((8, 6, 3), np.uint8)).shape == (8, 6)
