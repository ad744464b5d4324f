"""Cuts come out at the frames where they are, at each rate, through parsers that are not ours."""

from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest

from agentkit.exports.edl import cmx3600, reel_of
from agentkit.exports.formats import export
from agentkit.exports.material import Material, Wanted
from agentkit.exports.timecode import FrameRate
from agentkit.redaction import Redaction
from agentkit.testing import RecordedSession, frame_number, make_video, stored_video
from agentkit.types import Note
from agentkit.video import frames_at, probe, timeline_of

RATES = (Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60))
CUTS = (31, 47, 100)
FRAMES = 130


@pytest.fixture(scope="module", params=RATES, ids=lambda rate: f"{float(rate):.3f}")
def cut(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RecordedSession:
    """A video at a rate that counts its own frames, with cuts noted at the frames CUTS."""
    rate: Fraction = request.param
    path = tmp_path_factory.mktemp("cuts") / "film.mp4"
    make_video(path, seconds=float(FRAMES / rate), fps=rate, size_px=(128, 64))
    video = stored_video(path)
    times_s = timeline_of(probe(path)).times_s
    notes = [Note(float(times_s[at]), float(times_s[at]), "shot", "cut") for at in CUTS]
    said = Note(float(times_s[40]), float(times_s[60]), "speech", "Cut! -->")
    session = RecordedSession([video], {video.video_id: [*notes, said]})
    session.options = {"rate": rate}
    return session


def exported(session: RecordedSession, name: str) -> bytes:
    redaction = Redaction(session.domain, session)
    return export(session, redaction, session.stored[0], name, Wanted())


def shown(session: RecordedSession, ranges: list["otio.opentime.TimeRange"]) -> list[int]:
    """Return the numbers that stand in the frames at the beginning of each range."""
    times_s = [each.start_time.to_seconds() for each in ranges]
    return [frame_number(image) for image in frames_at(probe(session.stored[0].path), times_s)]


EXPECTED = list(zip((0, *CUTS), (*CUTS, FRAMES), strict=True))


def test_an_edl_is_read_back_frame_by_frame(cut: RecordedSession) -> None:
    rate = float(cut.options["rate"])
    read = otio.adapters.read_from_string(exported(cut, "edl").decode(), "cmx_3600", rate=rate)
    (track,) = read.tracks
    ranges = [clip.source_range for clip in track.find_clips()]
    assert [_frames(each) for each in ranges] == EXPECTED
    assert shown(cut, ranges) == [0, *CUTS]
    assert read.name == "film.mp4"
    assert [clip.name for clip in track.find_clips()] == ["film.mp4"] * 4
    assert [clip.metadata["cmx_3600"]["reel"] for clip in track.find_clips()] == ["FILM"] * 4


def test_a_timeline_is_read_back_frame_by_frame(cut: RecordedSession) -> None:
    read = otio.adapters.read_from_string(exported(cut, "otio").decode(), "otio_json")
    clips = list(read.find_clips())
    assert [_frames(clip.source_range) for clip in clips] == EXPECTED
    assert [_frames(clip.available_range()) for clip in clips] == [(0, FRAMES)] * 4
    assert [clip.name for clip in clips] == ["Shot 1", "Shot 2", "Shot 3", "Shot 4"]
    assert {clip.media_reference.target_url for clip in clips} == {
        Path(cut.stored[0].path).as_uri()
    }
    assert shown(cut, [clip.source_range for clip in clips]) == [0, *CUTS]
    marked = [(c.name, m.name, _frames(m.marked_range)) for c in clips for m in c.markers]
    assert marked == [("Shot 2", "Cut! -->", (40, 47))]


def test_the_two_say_the_same_to_a_third(cut: RecordedSession) -> None:
    """The field's own writer of edit lists makes our times of our timeline."""
    rate = float(cut.options["rate"])
    read = otio.adapters.read_from_string(exported(cut, "otio").decode(), "otio_json")
    theirs = otio.adapters.write_to_string(read, "cmx_3600", rate=rate)
    # It drops frames at 29.97, which changes nothing but a sign in the first minute.
    theirs = theirs.replace(";", ":")
    ours = exported(cut, "edl").decode()
    assert [line.split()[4:6] for line in ours.splitlines() if line[:3].isdigit()] == [
        line.split()[4:6] for line in theirs.splitlines() if line[:3].isdigit()
    ]


def _frames(span: "otio.opentime.TimeRange") -> tuple[int, int]:
    start = span.start_time.to_frames()
    assert span.start_time.value == pytest.approx(start, abs=1e-6)
    return start, start + span.duration.to_frames()


def material(parts: list[Note], name: str = "film.mp4", hours: float = 4.0) -> Material:
    end_s = hours * 3600
    rate = FrameRate(Fraction(25))
    return Material("0123456789" * 6, name, "", end_s, rate, 0.0, end_s, tuple(parts))


def test_an_edl_whole() -> None:
    parts = [Note(10801.0, 10803.5, "step", "second: 中"), Note(10803.5, 10803.5, "step", "")]
    assert cmx3600(material(parts, "My clip №1.mp4")).decode().split("\r\n") == [
        "TITLE: My clip №1.mp4",
        "FCM: NON-DROP FRAME",
        "",
        "001  MYCLIPNO V     C        03:00:01:00 03:00:03:13 01:00:00:00 01:00:02:13",
        "* FROM CLIP NAME: My clip №1.mp4",
        "* COMMENT: second: 中",
        "",
        "002  MYCLIPNO V     C        03:00:03:13 03:00:03:14 01:00:02:13 01:00:02:14",
        "* FROM CLIP NAME: My clip №1.mp4",
        "",
        "",
    ]


def test_the_record_side_begins_at_nothing_where_a_day_would_be_passed() -> None:
    day = [Note(0.0, 23.5 * 3600, "step", "")]
    line = cmx3600(material(day, hours=23.5)).decode().split("\r\n")[3]
    assert line.split()[4:] == ["00:00:00:00", "23:30:00:00", "00:00:00:00", "23:30:00:00"]


@pytest.mark.parametrize(
    ("name", "reel"),
    [("film.mp4", "FILM"), ("A very long name.mkv", "AVERYLON"), ("Łódź é.mp4", "ODZE"),
     ("视频.mp4", "01234567"), ("...", "01234567"), ("clip", "CLIP")],
)  # fmt: skip
def test_a_reel_has_eight_plain_letters(name: str, reel: str) -> None:
    assert reel_of(name, "0123456789ab") == reel
