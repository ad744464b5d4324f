"""Notes as subtitles, tables and chapters, read back by parsers that are not ours."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from agentkit.exports.chapters import ffmetadata
from agentkit.exports.edl import cmx3600
from agentkit.exports.material import Material
from agentkit.exports.otio import timeline
from agentkit.exports.subtitles import cues, subrip
from agentkit.exports.subtitles import webvtt as vtt
from agentkit.exports.tables import HEAD, comma_separated, harmless
from agentkit.exports.texts import one_line, width
from agentkit.exports.timecode import FrameRate
from agentkit.types import Note

HOUR_S = 3600.0
NASTY = [
    "plain",
    "a --> b & <i>c</i> {\\an8}d",
    "שלום, עולם",
    "中文字幕，没有空格的一句很长的话，长到一行写不下，所以要分成几行来显示给观众看。",
    "  two\n\nlines\x00 ",
    '=HYPERLINK("http://x")',
    "long " * 60,
]


def material(parts: Sequence[Note], duration_s: float = 4 * HOUR_S, **changes: object) -> Material:
    """Return parts cleaned as `gather` gives them."""
    clean = tuple(replace(part, text=one_line(part.text)) for part in parts)
    rate = FrameRate(Fraction(25))
    made = Material("ab" * 32, "film.mp4", "", duration_s, rate, 0.0, duration_s, clean)
    return replace(made, **changes)


@st.composite
def notes(draw: st.DrawFn) -> list[Note]:
    """Draw notes in order of time, some long, some of no length, some over each other."""
    spans = st.tuples(
        st.floats(0, 3 * HOUR_S), st.floats(0, 20), st.sampled_from(NASTY) | st.text()
    )
    drawn = draw(st.lists(spans, max_size=6))
    found = [Note(start, start + length, "speech", text) for start, length, text in drawn]
    return sorted(found, key=lambda note: (note.start_s, note.end_s))


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(notes())
def test_cues_do_not_overlap_and_hold_every_word(parts: list[Note]) -> None:
    made = material(parts)
    found = cues(made.parts, round(made.end_s * 1000))
    assert all(cue.start_ms < cue.end_ms for cue in found)
    assert all(one.end_ms <= two.start_ms for one, two in pairwise(found))
    assert squeezed("".join("".join(cue.lines) for cue in found)) == squeezed(
        "".join(part.text for part in made.parts)
    )
    assert all(width(line) <= 42 for cue in found for line in cue.lines)


@given(notes())
def test_webvtt_is_read_back_by_another_parser(parts: list[Note]) -> None:
    made = material(parts)
    found = cues(made.parts, round(made.end_s * 1000))
    read = webvtt.from_string(vtt(made).decode())
    times = [(cue.start_ms, cue.end_ms) for cue in found]
    assert [(_ms(cue.start), _ms(cue.end)) for cue in read] == times
    assert [cue.raw_text for cue in read] == ["\n".join(map(_escaped, cue.lines)) for cue in found]


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ms(clock: str) -> int:
    hours, minutes, seconds = clock.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


@given(notes())
def test_both_kinds_of_subtitles_are_read_back_by_a_second_parser(parts: list[Note]) -> None:
    made = material(parts)
    found = cues(made.parts, round(made.end_s * 1000))
    times = [(cue.start_ms, cue.end_ms) for cue in found]
    assert [(e.start, e.end) for e in pysubs2.SSAFile.from_string(vtt(made).decode())] == times
    read = pysubs2.SSAFile.from_string(subrip(made).decode(), "srt")
    assert [(event.start, event.end) for event in read] == times
    changed = str.maketrans("<>{}", "\u2039\u203a()")
    for event, cue in zip(read, found, strict=True):
        if "\\" not in "".join(cue.lines):  # which is a command in that parser's own texts
            assert squeezed(event.plaintext) == squeezed("".join(cue.lines)).translate(changed)


def test_a_long_sentence_shares_its_time_by_width() -> None:
    text = "one two three four five six seven eight nine ten " * 4
    made = cues(material([Note(10.0, 20.0, "speech", text)]).parts, 99_000)
    assert len(made) == 3
    assert (made[0].start_ms, made[-1].end_ms) == (10_000, 20_000)
    shares = [sum(map(width, cue.lines)) for cue in made]
    for cue, share in zip(made, shares, strict=True):
        assert cue.end_ms - cue.start_ms == pytest.approx(10_000 * share / sum(shares), abs=1.5)


def test_instants_last_a_second_or_until_the_next_and_those_together_are_one() -> None:
    spans = [(1.0, 1.0, "a"), (1.5, 1.5, "b"), (5.0, 6.0, "c"), (5.0, 9.0, "d"), (8.0, 9.0, "e")]
    parts = [Note(start, end, "ocr", text) for start, end, text in spans]
    assert [(c.start_ms, c.end_ms, c.lines) for c in cues(parts, 99_000)] == [
        (1000, 1500, ("a",)),
        (1500, 2500, ("b",)),
        (5000, 8000, ("c d",)),
        (8000, 9000, ("e",)),
    ]


def test_known_subtitles_whole() -> None:
    parts = [Note(3 * HOUR_S + 61.5, 3 * HOUR_S + 63.0, "speech", "5 > 4 & <b>so</b> --> on")]
    assert vtt(material(parts)).decode() == (
        "WEBVTT\n\n03:01:01.500 --> 03:01:03.000\n5 &gt; 4 &amp; &lt;b&gt;so&lt;/b&gt; --&gt; on\n"
    )
    assert subrip(material(parts)).decode() == (
        "1\n03:01:01,500 --> 03:01:03,000\n"
        "5 \u203a 4 & \u2039b\u203aso\u2039/b\u203a --\u203a on\n\n"
    )


def test_no_notes_make_files_that_are_empty_and_right() -> None:
    nothing = material([])
    assert vtt(nothing) == b"WEBVTT\n"
    assert len(webvtt.from_string(vtt(nothing).decode())) == 0
    assert subrip(nothing) == b""
    assert list(csv.reader(io.StringIO(comma_separated(nothing).decode()))) == [list(HEAD)]
    assert cmx3600(nothing).decode() == "TITLE: film.mp4\r\nFCM: NON-DROP FRAME\r\n\r\n"


@given(notes())
def test_a_table_is_read_back_as_it_was_and_runs_nothing(parts: list[Note]) -> None:
    made = material(parts)
    written = comma_separated(made).decode()
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [row["text"].removeprefix("'") for row in rows] == [
        part.text.removeprefix("'") for part in made.parts
    ]
    assert [(float(row["start_s"]), float(row["end_s"])) for row in rows] == [
        (round(part.start_s, 3), round(part.end_s, 3)) for part in made.parts
    ]
    assert not any(cell[:1] in ("=", "+", "-", "@") for row in rows for cell in row.values())
    assert written.count("\r\n") == len(parts) + 1  # no cell holds a line break


def test_a_row_whole() -> None:
    part = Note(1.0, 2.5, "ocr", 'say "hi", you', 0.875, (0.1, 0.2, 0.3, 0.4))
    rows = comma_separated(material([part])).decode().split("\r\n")
    assert rows[1:] == [
        f'{"ab" * 32},1.000,2.500,25,63,ocr,"say ""hi"", you",0.875,0.1,0.2,0.3,0.4',
        "",
    ]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\uff1d1"])
def test_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert harmless(cell) == "'" + cell
    assert harmless("a" + cell) == "a" + cell


SHOTS = [
    Note(0, 2, "shot", "One; =two # \\three"),
    Note(1.6, 3, "shot", "第二章"),
    Note(3, 3, "shot", ""),
]


def test_chapters_are_read_by_ffmpeg_and_survive_its_muxer(tmp_path: Path) -> None:
    made = material(SHOTS, rate=FrameRate(Fraction(24000, 1001)))
    (tmp_path / "chapters.txt").write_bytes(ffmetadata(made))
    with av.open(str(tmp_path / "chapters.txt"), format="ffmetadata") as read:
        chapters = read.chapters()
        assert read.metadata == {"title": "film.mp4"}
    # 1.6 s is nearest to frame 38, where the first chapter now ends
    assert [(c["start"], c["end"], c["time_base"]) for c in chapters] == [
        (0, 38, Fraction(1001, 24000)),
        (38, 72, Fraction(1001, 24000)),
        (72, 73, Fraction(1001, 24000)),
    ]
    assert [c["metadata"].get("title") for c in chapters] == ["One; =two # \\three", "第二章", ""]
    with av.open(str(tmp_path / "film.mkv"), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width = stream.height = 32
        out.set_chapters(chapters)
        out.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        out.mux(stream.encode(None))
    with av.open(str(tmp_path / "film.mkv")) as film:
        kept = film.chapters()
    starts = [float(c["start"] * c["time_base"]) for c in kept]
    assert starts == pytest.approx([0, 38 * 1001 / 24000, 72 * 1001 / 24000], abs=1e-3)


@given(notes())
def test_every_format_takes_any_notes(parts: list[Note]) -> None:
    made = material(parts)
    for write in (vtt, subrip, comma_separated, ffmetadata, cmx3600, timeline):
        assert isinstance(write(made).decode(), str)
