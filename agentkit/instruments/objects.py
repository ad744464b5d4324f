"""What things are in the picture, how many and roughly where: YOLOX-nano on the classes of COCO."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentkit.detecting import detection
from agentkit.instruments import yolox
from agentkit.instruments.pictures import Rgb
from agentkit.instruments.shots import cut_frames
from agentkit.instruments.weights import once, onnx_session, weight_file, weights_version
from agentkit.instruments.words import COCO_NAMES, PLACES, ObjectCount
from agentkit.instruments.yolox import Boxes
from agentkit.types import Detection, FrameBatch, Note, VideoInfo

KIND = "objects"
MODEL = "yolox-nano"
INPUT_NAME = "images"


@dataclass(frozen=True, slots=True)
class ObjectConfig:
    """Which detections count.

    A class is named only where its best box reaches `seen`; then its weaker boxes count too. On
    the example clips wrong names (a podium as a laptop 0.55, a shadow as a toilet 0.46) stay
    under 0.6 but for things the classes have no word for (a bollard is a fire hydrant at 0.79),
    while the smallest of five pedestrians has 0.47.
    """

    seen: float = 0.6
    counted: float = 0.4
    overlap: float = 0.45  # IoU within a class
    overlap_of_others: float = 0.8  # IoU between classes
    max_kinds: int = 6  # of a shot in a group: the most certain, in the order of the classes


class Detector(Protocol):
    """Finds things in one frame."""

    def __call__(self, image: Rgb) -> Boxes:
        """Return boxes as shares of the frame, 0..1, best first."""


class YoloxNano:
    """The detector on the released weights; about 20 ms a frame on two cores."""

    def __init__(self, weights: Path, threads: int, config: ObjectConfig) -> None:
        self._session = once(lambda: onnx_session(weights, threads))
        self._cells = yolox.grid()
        self._config = config

    def __call__(self, image: Rgb) -> Boxes:
        pixels, scale = yolox.letterbox(image)
        (raw,) = self._session().run(None, {INPUT_NAME: pixels})
        config = self._config
        found = yolox.decode(raw[0], self._cells, config.counted)
        kept = yolox.suppress(found, config.overlap, config.overlap_of_others)
        corners = yolox.shares_of_frame(kept.corners, scale, image)
        return Boxes(corners, kept.scores, kept.classes)


class Objects:
    """One note of kind "objects" for each class and shot in a group: "3 people left and centre".

    A count is the upper median over the shot's frames, so a box that flickers is neither news nor
    a thing; score and box are of a frame that shows this count.
    """

    name = "objects"
    reads_notes = True

    def __init__(
        self, detector: Detector, config: ObjectConfig | None = None, version: str = ""
    ) -> None:
        self._detector = detector
        self._config = config or ObjectConfig()
        self.version = f"2 {self._config} {version}"

    def start(self, video: VideoInfo) -> None:
        """Nothing is remembered between groups."""

    def observe(
        self, batch: FrameBatch, first_of_chunk: bool, notes: Sequence[Note] = ()
    ) -> list[Note]:
        found = [self._detector(image) for image in batch.images]
        return [
            note
            for first, last, end_s in shots_of(batch, notes)
            for note in self._counted(found[first:last], float(batch.times_s[first]), end_s)
        ]

    def _counted(self, frames: Sequence[Boxes], start_s: float, end_s: float) -> list[Note]:
        classes = np.unique(np.concatenate([boxes.classes for boxes in frames]))
        notes = [
            note
            for kind in classes.tolist()
            if (note := self._note(kind, frames, start_s, end_s)) is not None
        ]
        best = sorted(notes, key=lambda note: -(note.score or 0.0))[: self._config.max_kinds]
        return [note for note in notes if note in best]

    def _note(
        self, kind: int, frames: Sequence[Boxes], start_s: float, end_s: float
    ) -> Note | None:
        """Return the note of one class in one shot, or None where it is not certain or steady."""
        of_kind = [boxes[boxes.classes == kind] for boxes in frames]
        best = max(float(boxes.scores.max(initial=0)) for boxes in of_kind)
        count = sorted(len(boxes) for boxes in of_kind)[len(of_kind) // 2]
        if best < self._config.seen or count == 0:
            return None
        shown = max((b for b in of_kind if len(b) == count), key=lambda b: float(b.scores.sum()))
        text = ObjectCount(COCO_NAMES[kind], count, _places(shown.corners)).text
        score = round(float(shown.scores.mean()), 3)
        return Note(start_s, end_s, KIND, text, score, _around(shown.corners))


def load_objects(threads: int) -> Objects:
    """Return the instrument on the weights of the model folder.

    Raises:
        InstrumentMissingError: the weights are not there.
    """
    config = ObjectConfig()
    detector = YoloxNano(weight_file(MODEL, "*.onnx"), threads, config)
    return Objects(detector, config, weights_version(MODEL))


def load_look(threads: int) -> Callable[[Rgb], list[Detection]]:
    """Return what finds things in one picture, each on its own.

    Raises:
        InstrumentMissingError: the weights are not there.
    """
    detector = YoloxNano(weight_file(MODEL, "*.onnx"), threads, ObjectConfig())

    def look(image: Rgb) -> list[Detection]:
        found = detector(image)
        boxes = zip(found.classes.tolist(), found.scores.tolist(), found.corners, strict=True)
        return [detection(COCO_NAMES[kind], score, corners) for kind, score, corners in boxes]

    return look


def shots_of(batch: FrameBatch, notes: Sequence[Note]) -> Iterator[tuple[int, int, float]]:
    """Yield each shot's part of the group: first frame, the frame after its last, its end."""
    firsts = sorted({0, *cut_frames(batch, notes)})
    for first, after in zip(firsts, [*firsts[1:], len(batch.times_s)], strict=True):
        is_last = after == len(batch.times_s)
        yield first, after, batch.end_s if is_last else float(batch.times_s[after])


def _places(corners: NDArray[np.float32]) -> tuple[str, ...]:
    """Return which thirds of the picture hold the middle of a box."""
    middles = (corners[:, 0] + corners[:, 2]) / 2
    thirds = np.clip((middles * len(PLACES)).astype(int), 0, len(PLACES) - 1)
    return tuple(place for index, place in enumerate(PLACES) if index in thirds)


def _around(corners: NDArray[np.float32]) -> tuple[float, float, float, float]:
    left, top = corners[:, :2].min(axis=0).tolist()
    right, bottom = corners[:, 2:].max(axis=0).tolist()
    return round(left, 4), round(top, 4), round(right, 4), round(bottom, 4)
