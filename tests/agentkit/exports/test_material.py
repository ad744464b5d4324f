"""What is exported of a video: which parts, cut to the range, redacted, at which rate."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from agentkit.errors import PluginError, TimeRangeError, UnknownNameError, UsageError
from agentkit.exports.formats import FORMATS, export, titles
from agentkit.exports.material import Wanted, gather
from agentkit.exports.timecode import FrameRate
from agentkit.hookspecs import RegisterExporter, hookimpl
from agentkit.plugin_manager import Domain, Plugin
from agentkit.redaction import Redaction
from agentkit.testing import RecordedSession, make_video, stored_video
from agentkit.types import Note, SessionView, StoredVideo


def recorded(parts: Sequence[Note], domain: Domain | None = None) -> RecordedSession:
    video = stored_video(duration_s=10.0)
    return RecordedSession([video], {video.video_id: parts}, domain or Domain.load("general"))


def gathered(parts: Sequence[Note], wanted: Wanted, source: str = "notes") -> list[Note]:
    session = recorded(parts)
    redaction = Redaction(session.domain, session)
    return list(gather(session, redaction, session.stored[0], source, wanted).parts)  # type: ignore[arg-type]


def test_parts_are_cut_to_the_range_and_to_the_video() -> None:
    parts = [Note(0, 4, "speech", "a"), Note(4, 4, "ocr", "b"), Note(6, 30, "speech", "c")]
    parts += [Note(11, 12, "speech", "beyond"), Note(2, 3, "speech", "d")]
    assert gathered(parts, Wanted()) == [
        Note(0, 4, "speech", "a"),
        Note(2, 3, "speech", "d"),
        Note(4, 4, "ocr", "b"),
        Note(6, 10, "speech", "c"),
    ]
    assert gathered(parts, Wanted(None, 3.0, 7.0)) == [
        Note(3, 4, "speech", "a"),
        Note(4, 4, "ocr", "b"),
        Note(6, 7, "speech", "c"),
    ]
    assert gathered(parts, Wanted("ocr")) == [Note(4, 4, "ocr", "b")]
    assert gathered(parts, Wanted(), "speech") == [
        Note(0, 4, "speech", "a"),
        Note(2, 3, "speech", "d"),
        Note(6, 10, "speech", "c"),
    ]


@pytest.mark.parametrize("span", [(-1.0, 5.0), (0.0, 11.0), (5.0, 4.0), (float("nan"), 5.0)])
def test_a_range_outside_the_video_is_refused(span: tuple[float, float]) -> None:
    session = recorded([])
    redaction = Redaction(session.domain, session)
    with pytest.raises(TimeRangeError):
        export(session, redaction, session.stored[0], "csv", Wanted(None, *span))


def test_a_kind_that_nobody_notes_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'speech'"):
        gathered([], Wanted("speach"))
    assert gathered([], Wanted("ocr")) == []


class Spoken:
    """A domain whose segments are given, and which hides a name."""

    def __init__(self, segments: Sequence[Note]) -> None:
        self._segments = list(segments)

    @hookimpl
    def segments(self) -> list[Note]:
        return self._segments

    @hookimpl
    def redact_text(self, text: str) -> str:
        return text.replace("Alice", "[name]")


def of_domain(segments: Sequence[Note], parts: Sequence[Note] = ()) -> RecordedSession:
    return recorded(parts, Domain("spoken", [Plugin("spoken", Spoken(segments), "tests")]))


@pytest.mark.parametrize("name", ["vtt", "srt", "csv", "edl", "otio", "chapters"])
def test_no_name_leaves_in_any_format_unless_asked(name: str) -> None:
    told = [Note(1, 2, "speech", "Alice waves")]
    session = of_domain([Note(0, 5, "step", "Alice comes")], told)
    video = replace(session.stored[0], path="/wards/Alice.mp4")
    session.stored = [video]
    redacted = export(session, Redaction(session.domain, session), video, name, Wanted())
    assert b"Alice" not in redacted
    assert b"[name]" in redacted
    whole = export(session, Redaction(session.domain, session, is_on=False), video, name, Wanted())
    assert b"Alice" in whole


def test_a_segment_without_a_time_is_no_export() -> None:
    session = of_domain([Note(float("nan"), 5, "step", "lost")])
    redaction = Redaction(session.domain, session)
    with pytest.raises(PluginError, match="has no time"):
        export(session, redaction, session.stored[0], "edl", Wanted())


def test_the_rate_is_the_files_or_as_it_was_stored(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=1, fps=Fraction(30000, 1001), size_px=(64, 48))
    video = stored_video(path)
    session = RecordedSession([video])
    redaction = Redaction(session.domain, session)
    for _ in range(2):
        made = gather(session, redaction, video, "notes", Wanted())
        assert made.rate == FrameRate(Fraction(30000, 1001))
        path.unlink(missing_ok=True)


class Writer:
    """A domain with formats of its own, some of which are no good."""

    @hookimpl
    def register_exporters(self, register: RegisterExporter) -> None:
        register("list", lambda video, session: b"\x00" + video.video_id.encode())
        register("text", lambda video, session: "no bytes")  # type: ignore[arg-type,return-value]
        register("fails", lambda video, session: [][0])
        register("asks", _asks)


def _asks(video: StoredVideo, session: SessionView) -> bytes:
    raise UsageError("set protocol = FILE")


def test_a_domains_formats_are_found_by_name_and_its_failures_named() -> None:
    session = recorded([], Domain("writer", [Plugin("writer", Writer(), "tests")]))
    redaction, video = Redaction(session.domain, session), session.stored[0]
    assert list(titles(session.domain)) == [*FORMATS, "clip", "list", "text", "fails", "asks"]
    assert export(session, redaction, video, "list", Wanted()) == b"\0" + b"ab" * 32
    with pytest.raises(UnknownNameError, match="unknown format 'lisst'; did you mean 'list'"):
        export(session, redaction, video, "lisst", Wanted())
    with pytest.raises(PluginError, match="'writer', format 'text': gave str, not bytes"):
        export(session, redaction, video, "text", Wanted())
    with pytest.raises(PluginError, match="'writer', format 'fails': IndexError"):
        export(session, redaction, video, "fails", Wanted())
    with pytest.raises(UsageError, match="set protocol = FILE"):
        export(session, redaction, video, "asks", Wanted())
    for part in (Wanted("speech"), Wanted(start_s=1.0), Wanted(end_s=2.0)):
        with pytest.raises(UsageError, match="'list' of the domain writer is of the whole video"):
            export(session, redaction, video, "list", part)


class Clash:
    @hookimpl
    def register_exporters(self, register: RegisterExporter) -> None:
        register("edl", lambda video, session: b"")


def test_a_domain_cannot_take_the_name_of_our_format(caplog: pytest.LogCaptureFixture) -> None:
    domain = Domain("clash", [Plugin("clash", Clash(), "tests")])
    assert titles(domain) == titles(Domain.load("general"))
    assert caplog.messages == ["domain 'clash': the format 'edl' is there already"]


class Closed:
    @hookimpl
    def redact_text(self, text: str) -> str:
        raise RuntimeError("no list of names")


def test_where_redaction_fails_nothing_is_exported() -> None:
    told = [Note(1, 2, "speech", "Alice waves")]
    session = recorded(told, Domain("closed", [Plugin("closed", Closed(), "tests")]))
    redaction = Redaction(session.domain, session)
    for name in FORMATS:
        with pytest.raises(PluginError, match="hook redact_text: RuntimeError: no list of names"):
            export(session, redaction, session.stored[0], name, Wanted())
