"""Two cameras from their files to a table: drawn streets on which it is known who walks where."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import Detection, SessionView, StoredVideo
from agentkit_security import linking
from agentkit_security.linking import activity, cameras, section
from agentkit_security.linking.activity import activity_of
from agentkit_security.linking.cameras import link_cameras
from agentkit_security.linking.offsets import offset_between
from agentkit_security.linking.options import LinkOptions
from agentkit_security.linking.passages import passage_lag
from agentkit_security.linking.results import SURE, as_json
from agentkit_security.linking.transit import Spans
from agentkit_security.tracks import Track

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from linking_drawn import Scene  # noqa: E402 — benchmarks are scripts, found by the line above


@dataclass
class Street:
    """A drawn scene with its two files."""

    scene: Scene
    videos: list[StoredVideo]
    kept: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def session(self, **values: object) -> RecordedSession:
        """Return a session that has what other tests looked at."""
        return RecordedSession(self.videos, _kept=self.kept, **values)  # type: ignore[arg-type]

    def fresh(self) -> RecordedSession:
        return RecordedSession(self.videos)

    def follow(self, session: SessionView, video: StoredVideo) -> list[Track]:
        return self._known(video)[0]

    def who(self, track: Track) -> int:
        tracks, people = self._known(self._video(track.video_id))
        return people[[one.number for one in tracks].index(track.number)]

    def _video(self, video_id: str) -> StoredVideo:
        return next(video for video in self.videos if video.video_id == video_id)

    def _known(self, video: StoredVideo) -> tuple[list[Track], list[int]]:
        camera = [one.video_id for one in self.videos].index(video.video_id)
        return self.scene.tracks(camera, video.video_id)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    scene = Scene(
        1, people=12, alone=3, seconds=90.0, transit_s=(6.0, 0.6), lamps=True, sounds=True,
        fps=5, size_px=(160, 120),
    )  # fmt: skip
    paths = scene.make(tmp_path_factory.mktemp("street"))
    return Street(scene, [stored_video(path) for path in paths])


def seconds_of(street: Street, result: linking.LinkResult) -> float:
    """Return the offset of the second camera against the first."""
    offset = result.offsets[0]
    return (offset if offset.a == street.videos[0].video_id else offset.turned()).seconds


def test_the_right_people_are_linked_and_the_clock_is_found(street: Street) -> None:
    result = link_cameras(street.videos, street.session(), street.follow)
    right = [street.who(link.a) == street.who(link.b) for link in result.links]
    assert seconds_of(street, result) == pytest.approx(street.scene.offset_s, abs=0.5)
    assert result.offsets[0].is_sure
    assert sum(right) >= 0.8 * street.scene.seen_by_both
    assert sum(right) >= 0.8 * len(right)


def test_the_order_of_videos_does_not_matter(street: Street) -> None:
    forth = link_cameras(street.videos, street.session(), street.follow)
    back = link_cameras(street.videos[::-1], street.session(), street.follow)
    assert forth == back


def test_a_table_is_one_to_one_with_probabilities_and_reasons(street: Street) -> None:
    options = {"min_probability": 0.05}
    links = link_cameras(street.videos, street.session(options=options), street.follow).links
    for side in ("a", "b"):
        tracks = [getattr(link, side) for link in links]
        assert len(set(tracks)) == len(tracks)
    assert all(0.05 <= link.probability <= 1 for link in links)
    assert [link.probability for link in links] == sorted(
        (link.probability for link in links), reverse=True
    )
    assert all(link.reasons for link in links)
    assert all(link.a.video_id != link.b.video_id for link in links)


@pytest.mark.parametrize("how", ["sound", "light", "passages"])
def test_each_way_alone_finds_the_clock(street: Street, how: str) -> None:
    from agentkit_security.linking.offsets import peaks

    session = street.session()
    a, b = (cameras.camera_of(video, session, street.follow) for video in street.videos)
    found = dict(peaks(a, b, LinkOptions()))[how]  # type: ignore[index]  # a literal
    assert found.lag_s == pytest.approx(street.scene.offset_s, abs=0.5)
    turned = dict(peaks(b, a, LinkOptions()))[how]  # type: ignore[index]
    assert turned.lag_s == pytest.approx(-found.lag_s, abs=0.05)


def test_offsets_turn_with_the_cameras(street: Street) -> None:
    session = street.session()
    a, b = (cameras.camera_of(video, session, street.follow) for video in street.videos)
    assert offset_between(a, b, LinkOptions()) == offset_between(b, a, LinkOptions()).turned()


def test_what_the_user_gives_wins(street: Street) -> None:
    first, second = street.videos
    given = {first.video_id: 100.0, second.video_id[:16]: 107.4}
    result = link_cameras(street.videos, street.session(options={"offsets": given}), street.follow)
    assert result.offsets[0].how == "given"
    assert result.offsets[0].confidence == 1.0
    assert seconds_of(street, result) == pytest.approx(7.4)
    assert result.clock_s == {first.video_id: 100.0, second.video_id: 107.4}


def test_wrong_clocks_link_fewer(street: Street) -> None:
    def right(second_s: float) -> int:
        given = {street.videos[0].video_id: 0.0, street.videos[1].video_id: second_s}
        session = street.session(options={"offsets": given, "max_transit_s": 15.0})
        links = link_cameras(street.videos, session, street.follow).links
        return sum(street.who(link.a) == street.who(link.b) for link in links)

    assert right(street.scene.offset_s) > right(60.0)


def test_what_was_looked_at_is_kept(street: Street) -> None:
    session = street.fresh()
    first = link_cameras(street.videos, session, street.follow)
    made = dict(session.made)
    assert link_cameras(street.videos, session, street.follow) == first
    assert session.made == made
    assert made["security/linking/activity/0"] == made["security/linking/activity/1"] == 2
    assert {what for what, _, _ in session.told} >= {"activity", "appearance", "sound"}


def test_a_killed_run_goes_on_with_the_piece_it_was_at(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    session, look = street.fresh(), activity._look
    seen: list[int] = []

    def dies(session: SessionView, video: StoredVideo, piece: int) -> dict[str, object]:
        seen.append(piece)
        if len(seen) == 2:
            raise KilledError
        return look(session, video, piece)

    monkeypatch.setattr(activity, "_look", dies)
    with pytest.raises(KilledError):
        activity_of(session, street.videos[0])
    whole = activity_of(session, street.videos[0])
    assert seen == [0, 1, 1]
    monkeypatch.undo()
    again = activity_of(street.fresh(), street.videos[0])
    assert (whole.moved == again.moved).all()
    assert (whole.light == again.light).all()
    assert (whole.times_s == again.times_s).all()


def test_pieces_are_what_one_pass_sees(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = activity_of(street.session(), street.videos[0])
    monkeypatch.setattr(activity, "PIECE_S", 1000.0)
    whole = activity_of(street.fresh(), street.videos[0])
    np.testing.assert_array_equal(pieces.times_s, whole.times_s)
    np.testing.assert_array_equal(pieces.moved, whole.moved)


def test_one_way_alone_is_never_sure() -> None:
    for seed in range(8):
        scene = Scene(seed, people=24, alone=4, transit_s=(9.0, 0.5), both_ways=False,
                      size_px=(32, 24))  # fmt: skip
        (a, who_a), (b, who_b) = scene.tracks(0, "a"), scene.tracks(1, "b")
        alike = np.where(np.array(who_a)[:, None] == np.array(who_b), 20.0, 0.5)
        peak = passage_lag(Spans.of(a), Spans.of(b), alike, 120.0, (0.0, np.inf))
        assert peak.confidence < SURE


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_section_cites_both_sides(
    street: Street, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section, "camera_tracks", lambda video, _: street.follow(None, video))  # type: ignore[arg-type]
    monkeypatch.setattr(section, "link_cameras", lambda *given: link_cameras(*given, street.follow))
    [made] = linking.sections(street.videos, street.session(language=language))
    links, offsets = made.tables
    ids = {video.video_id for video in street.videos}
    assert all({cite.video_id for cite in row.citations} == ids for row in links.rows)
    assert all({cite.video_id for cite in row.citations} == ids for row in offsets.rows)
    for row in links.rows:
        for cite in row.citations:
            assert cite.frame_s is not None
            assert cite.start_s <= cite.frame_s <= cite.end_s
    [timeline] = made.timelines
    assert {lane.video_id for lane in timeline.lanes} == ids
    first, second = (
        next(lane.offset_s for lane in timeline.lanes if lane.video_id == video.video_id)
        for video in street.videos
    )
    assert second - first == pytest.approx(street.scene.offset_s, abs=0.5)
    said = f"{made} ".lower()
    assert "identity" not in said
    assert "{" not in made.body
    if language == "en":
        assert "may be" in made.body


def test_one_camera_has_no_section(street: Street) -> None:
    assert linking.sections(street.videos[:1], street.session()) == []


def walker(times_s: tuple[float, float]) -> Callable[..., np.ndarray]:
    """Return a drawing of one block that walks through between two times."""

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> np.ndarray:
        image = np.full((size_px[1], size_px[0], 3), 128, np.uint8)
        share = (time_s - times_s[0]) / (times_s[1] - times_s[0])
        if 0 <= share <= 1:
            left = int(share * (size_px[0] - 20))
            image[30:80, left : left + 20] = (220, 30, 30)
        return image

    return draw


def seen(image: np.ndarray, what: str) -> list[Detection]:
    """Find the block by its colour."""
    rows, columns = np.nonzero(np.abs(image.astype(int) - 128).max(axis=2) > 50)
    if len(rows) < 100:
        return []
    height, width = image.shape[:2]
    box = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width,
           (rows.max() + 1) / height)  # fmt: skip
    return [Detection("person", 0.9, tuple(float(side) for side in box))]  # type: ignore[arg-type]


def test_from_detections_to_json(tmp_path: Path) -> None:
    paths = [
        make_video(tmp_path / f"{name}.mp4", seconds=14.0, fps=5, draw=walker(times_s))
        for name, times_s in (("door", (1.0, 5.0)), ("yard", (8.0, 12.0)))
    ]
    videos = [stored_video(path) for path in paths]
    options = {"offsets": {"door": 0, "yard": 0}, "min_probability": 0.1, "max_transit_s": 10}
    result = linking.link(videos, RecordedSession(videos, see=seen, options=options))
    [link] = as_json(result)["links"]
    door, yard = (link[side] for side in ("a", "b"))
    if door["video_id"] != videos[0].video_id:
        door, yard = yard, door
    assert door["start_s"] == pytest.approx(1.0, abs=0.5)
    assert yard["start_s"] == pytest.approx(8.0, abs=0.5)
    assert 0.1 <= link["probability"] <= 1
    assert result.clock_s == {video.video_id: 0.0 for video in videos}
