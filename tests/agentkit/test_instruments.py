"""Instruments on tiny drawn frames, and the law that an ingest may resume at any chunk."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit.config import NotesSettings
from agentkit.errors import UnknownNameError, UsageError
from agentkit.instruments import Instruments, InstrumentSettings, bench, weights
from agentkit.instruments.motion import Motion
from agentkit.instruments.objects import Objects
from agentkit.instruments.ocr import Ocr
from agentkit.instruments.scene import Scene
from agentkit.instruments.shots import Shots
from agentkit.instruments.words import COCO_NAMES, PLACES, ObjectCount, plural
from agentkit.instruments.yolox import Boxes
from agentkit.types import FrameBatch, Note, VideoInfo

Image = NDArray[np.uint8]

VIDEO = VideoInfo(
    video_id="0" * 64,
    path=Path("drawn.mp4"),
    duration_s=60.0,
    size_px=(96, 64),
    rotation_deg=0,
    time_base=Fraction(1, 1000),
    frames_in_file=60,
    frames_per_s=1.0,
    has_sound=True,
    codec="h264",
)
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (230, 230, 120))


@dataclass(frozen=True)
class Drawn:
    """What a frame shows: a background, a block at a column, a caption or none."""

    colour: int = 0
    block: int = 0
    caption: int = 0

    def image(self) -> Image:
        image = np.zeros((64, 96, 3), dtype=np.uint8)
        image[:] = COLOURS[self.colour]
        image[20:40, self.block : self.block + 16] = 128
        if self.caption:
            image[52:60, 8:88] = 20 + 50 * self.caption
        return image


def batches(frames: Sequence[Drawn], size: int = 4) -> list[FrameBatch]:
    images = [frame.image() for frame in frames]
    return [
        FrameBatch(
            first // size,
            np.stack(images[first : first + size]),
            np.arange(first, min(first + size, len(images)), dtype=np.float64),
            float(min(first + size, len(images))),
        )
        for first in range(0, len(images), size)
    ]


def block_detector(image: Image) -> Boxes:
    """A detector that finds the grey block, as a person."""
    columns = np.flatnonzero((image[30] == 128).all(axis=-1))
    if not len(columns):
        return Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))
    left, right = columns[0] / 96, (columns[-1] + 1) / 96
    corners = np.array([[left, 20 / 64, right, 40 / 64]], dtype=np.float32)
    return Boxes(corners, np.array([0.9], np.float32), np.array([0]))


def colour_tagger(image: Image) -> list[tuple[str, float]]:
    return [(f"colour {image[0, 0].tolist()}", 0.8)]


@dataclass
class CaptionReader:
    """A reader that finds the caption's stripe; what it reads is the stripe's brightness."""

    read_lines: list[str] = field(default_factory=list)

    def find(self, image: Image) -> NDArray[np.float32]:
        has_caption = len(np.unique(image[56, 8:88])) == 1 and image[56, 8, 0] == image[56, 8, 1]
        return np.array([[8, 52, 88, 60]] if has_caption else np.zeros((0, 4)), np.float32)

    def read(self, line: Image) -> tuple[str, float]:
        self.read_lines.append(f"CAPTION {int(line[4, 40, 0])}")
        return self.read_lines[-1], 0.95


def fakes() -> Instruments:
    return Instruments(
        [Shots(), Motion(), Objects(block_detector), Scene(colour_tagger), Ocr(CaptionReader())]
    )


def observed(
    instruments: Instruments, groups: Sequence[FrameBatch], chunk_groups: int
) -> list[list[Note]]:
    instruments.start(VIDEO)
    return [instruments.observe(batch, batch.index % chunk_groups == 0) for batch in groups]


DRAWN = st.builds(
    Drawn, st.integers(0, 3), st.sampled_from([0, 2, 40, 70]), st.sampled_from([0, 0, 1, 2])
)


@settings(deadline=None)
@given(st.lists(DRAWN, min_size=5, max_size=24), st.integers(1, 3))
def test_resumed_at_any_chunk_the_notes_are_the_same(
    frames: list[Drawn], chunk_groups: int
) -> None:
    groups = batches(frames, size=2)
    whole = observed(fakes(), groups, chunk_groups)
    assert not fakes().missing
    for first in range(chunk_groups, len(groups), chunk_groups):
        resumed = observed(fakes(), groups[first - 1 :], chunk_groups)
        assert resumed[1:] == whole[first:]


def test_a_cut_is_noted_at_the_first_frame_of_the_new_shot() -> None:
    frames = [Drawn(0)] * 3 + [Drawn(1)] * 2 + [Drawn(1, block=10)] * 3 + [Drawn(2)] * 2
    notes = [n for group in observed(Instruments([Shots()]), batches(frames), 4) for n in group]
    assert notes == [Note(3.0, 3.0, "shot", "cut"), Note(8.0, 8.0, "shot", "cut")]


def test_noise_and_light_are_no_cut_and_no_motion() -> None:
    rng = np.random.default_rng(1)
    scene = np.repeat(np.repeat(rng.integers(60, 190, (9, 16, 3)), 20, axis=0), 20, axis=1)
    noisy = [scene + 10 * step + rng.normal(0, 6, scene.shape) for step in range(4)]
    images = np.stack(noisy).clip(0, 255).astype(np.uint8)
    batch = FrameBatch(0, images, np.arange(4.0), 4.0)
    instruments = Instruments([Shots(), Motion()])
    instruments.start(VIDEO)
    assert [note.text for note in instruments.observe(batch, True)] == ["still"]


@pytest.mark.parametrize(
    ("column", "text"),
    [(2, "some motion left"), (40, "some motion centre"), (70, "some motion right")],
)
def test_motion_says_where(column: int, text: str) -> None:
    frames = [Drawn(block=column), Drawn(block=column + 4)] * 2
    [[note]] = observed(Instruments([Motion()]), batches(frames), 4)
    assert (note.text, note.start_s, note.end_s) == (text, 0.0, 4.0)


def test_motion_across_a_cut_is_none() -> None:
    frames = [Drawn(0)] * 2 + [Drawn(1)] * 2
    [notes] = observed(Instruments([Shots(), Motion()]), batches(frames), 4)
    assert [note.text for note in notes] == ["cut", "still"]


def detected(*rows: tuple[int, float, float]) -> Boxes:
    """Boxes of (class, left share, score), each a tenth of the picture wide."""
    corners = np.array([[left, 0.2, left + 0.1, 0.6] for _, left, _ in rows], np.float32)
    return Boxes(
        corners.reshape(-1, 4),
        np.array([score for *_, score in rows], np.float32),
        np.array([kind for kind, *_ in rows], int),
    )


def counted(frames: Sequence[Boxes], cuts: Sequence[float] = ()) -> list[Note]:
    upcoming = iter(frames)
    batch = batches([Drawn()] * len(frames), len(frames))[0]
    notes = [Note(t, t, "shot", "cut") for t in cuts]
    return Objects(lambda image: next(upcoming)).observe(batch, True, notes)


def test_counts_are_of_most_frames_with_their_places_and_box() -> None:
    two = detected((0, 0.1, 0.9), (0, 0.4, 0.5))
    three = detected((0, 0.1, 0.8), (0, 0.4, 0.6), (0, 0.8, 0.45))
    [note] = counted([two, three, two, two])
    assert note == Note(0.0, 4.0, "objects", "2 people left and centre", 0.7, (0.1, 0.2, 0.5, 0.6))


def test_what_flickers_or_is_never_certain_is_left_out() -> None:
    nothing = detected()
    assert counted([detected((2, 0.1, 0.9)), nothing, nothing, nothing]) == []
    assert counted([detected((2, 0.1, 0.55))] * 4) == []


def test_each_shot_of_a_group_is_counted_alone() -> None:
    person, car = detected((0, 0.1, 0.9)), detected((2, 0.8, 0.9))
    notes = counted([person, person, person, car], cuts=[3.0])
    assert [(n.start_s, n.end_s, n.text) for n in notes] == [
        (0.0, 3.0, "1 person left"),
        (3.0, 4.0, "1 car right"),
    ]


@given(
    st.sampled_from(COCO_NAMES),
    st.integers(1, 99),
    st.sets(st.sampled_from(PLACES)).map(lambda s: tuple(p for p in PLACES if p in s)),
)
def test_a_count_is_read_back_as_it_was_written(
    name: str, number: int, places: tuple[str, ...]
) -> None:
    count = ObjectCount(name, number, places)
    assert ObjectCount.parse(count.text) == count


def test_plurals() -> None:
    names = ("person", "bus", "bench", "knife", "sheep", "toothbrush")
    assert [plural(n) for n in names] == [
        "people",
        "buses",
        "benches",
        "knives",
        "sheep",
        "toothbrushes",
    ]
    assert len(COCO_NAMES) == 80
    assert ObjectCount.parse("a red car") is None


def test_text_is_read_once_and_holds_while_it_stays() -> None:
    reader = CaptionReader()
    frames = [Drawn()] * 3 + [Drawn(caption=1)] * 9 + [Drawn(caption=2)] * 4 + [Drawn()] * 4
    groups = observed(Instruments([Ocr(reader)]), batches(frames), chunk_groups=5)
    spans = [[(n.start_s, n.end_s, n.text) for n in group] for group in groups]
    assert spans == [
        [(3.0, 4.0, "CAPTION 70")],
        [(4.0, 8.0, "CAPTION 70")],
        [(8.0, 12.0, "CAPTION 70")],
        [(15.0, 16.0, "CAPTION 120")],
        [],
    ]
    assert reader.read_lines == ["CAPTION 70", "CAPTION 120"]


def test_each_chunk_reads_for_itself() -> None:
    reader = CaptionReader()
    observed(Instruments([Ocr(reader)]), batches([Drawn(caption=1)] * 16), chunk_groups=2)
    assert reader.read_lines == ["CAPTION 70"] * 2


@pytest.mark.parametrize(("text", "score"), [("D", 0.99), ("~ . |x", 0.99), ("DENT OI", 0.8)])
def test_junk_is_no_text(text: str, score: float) -> None:
    reader = CaptionReader()
    reader.read = lambda line: (text, score)  # type: ignore[method-assign] # what the reader says
    assert observed(Instruments([Ocr(reader)]), batches([Drawn(caption=1)] * 4), 4) == [[]]


def test_scene_looks_at_chunks_beginnings_and_cuts_alone() -> None:
    looked = []

    def tagger(image: Image) -> list[tuple[str, float]]:
        looked.append(image[0, 0].tolist())
        return colour_tagger(image)

    frames = [Drawn(0)] * 6 + [Drawn(1)] * 6
    groups = observed(Instruments([Shots(), Scene(tagger)]), batches(frames, 2), 3)
    # The cut at 6 s is a chunk's beginning too.
    assert looked == [list(COLOURS[0]), list(COLOURS[1])]
    assert all([n.kind for n in group if n.kind == "scene"] for group in groups)


class Broken:
    name = "broken"

    def start(self, video: VideoInfo) -> None: ...

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        raise ZeroDivisionError("no light")


def test_an_instrument_that_fails_is_named_and_the_others_go_on() -> None:
    instruments = Instruments([Broken(), Objects(block_detector)])
    groups = observed(instruments, batches([Drawn()] * 8), 4)
    assert [len(notes) for notes in groups] == [1, 1]
    assert instruments.names == ("objects",)
    assert instruments.missing == ("broken: failed at 0.0 s: ZeroDivisionError: no light",)
    instruments.start(VIDEO)
    assert instruments.missing == ()


def test_prepare_tells_what_does_not_work() -> None:
    instruments = Instruments([Broken(), Shots()])
    instruments.prepare()
    assert instruments.names == ("shots",)


def test_a_plugins_instrument_runs_after_the_others_and_changes_the_fingerprint() -> None:
    instruments = Instruments([Shots()])
    before = instruments.fingerprint
    instruments.register(Broken())
    assert instruments.names == ("shots", "broken")
    assert instruments.fingerprint != before
    with pytest.raises(UsageError, match="already"):
        instruments.register(Broken())


class Ear:
    name = "ear"

    def listen(self, video: VideoInfo, progress: object) -> list[Note]:
        return [Note(5.0, 6.0, "speech", "late"), Note(1.0, 2.0, "speech", "early")]


def test_sound_is_noted_in_order_and_not_where_there_is_none() -> None:
    from dataclasses import replace

    instruments = Instruments([Ear()])
    instruments.start(VIDEO)
    assert [n.text for n in instruments.listen(VIDEO, lambda s: None)] == ["early", "late"]
    assert instruments.listen(replace(VIDEO, has_sound=False), lambda s: None) == []


def test_missing_weights_and_extras_are_said_with_their_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "find_spec", lambda module: None)
    instruments = Instruments.load(settings=InstrumentSettings(threads=1))
    assert instruments.names == ("shots", "motion", "colours")
    assert instruments.missing == (
        "objects: weights yolox-nano missing; agentkit models pull yolox-nano",
        "scene: weights efficientnet-lite0 missing; agentkit models pull efficientnet-lite0",
        "ocr: extra 'ocr' is not installed; pip install 'videoxl2-agentkit[ocr]'",
        "speech: extra 'audio' is not installed; pip install 'videoxl2-agentkit[audio]'",
    )


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'speech'"):
        Instruments.load(["speach"])
    assert set(NotesSettings().instruments) == set(bench.DEFAULT_NAMES)


def test_loading_builds_no_network() -> None:
    """Sessions that only answer questions load the instruments too: it must cost them nothing."""
    code = (
        "import sys; from agentkit.instruments import Instruments; Instruments.load();"
        "print([m for m in ('torch', 'onnxruntime', 'rapidocr', 'faster_whisper', 'cv2')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
