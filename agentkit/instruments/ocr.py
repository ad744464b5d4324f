"""Text on screen: PP-OCR through rapidocr, read where it is new.

Finding where text stands takes 0.1 s a frame, reading a line 0.03 to 0.1 s. So the last frame of a
group is searched, unless nothing moved since the group before, and only lines that were not there
are read. A chunk's first group reads all it finds: nothing is remembered beyond the chunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agentkit.detecting import detection
from agentkit.instruments.pictures import Rgb, grey, resized
from agentkit.instruments.weights import once, require_extra
from agentkit.instruments.yolox import iou
from agentkit.types import Detection, FrameBatch, Note, VideoInfo

if TYPE_CHECKING:
    from rapidocr import RapidOCR

KIND = "ocr"
LOOK_KIND = "text"
LOOK_SIDE_PX = 960  # small print must be found where it is to be hidden


@dataclass(frozen=True, slots=True)
class OcrConfig:
    """What counts as text, and as the same text.

    On frames without text the reader invents single characters at up to 0.84, and half-hidden
    print comes out wrong below 0.72; clean captions have 0.97 and more.
    """

    side_px: int = 640  # the longer side while searching
    min_chars: int = 3  # letters and digits
    score: float = 0.8
    max_lines: int = 12  # of a frame, the largest first
    same_place: float = 0.5  # IoU
    same_look: float = 16.0  # mean difference of two small pictures of a line, 0..255
    still_share: float = 0.002  # of the small picture, changed by more than `still_difference`
    still_difference: float = 6.0


class Reader(Protocol):
    """Finds and reads lines of text."""

    def find(self, image: Rgb) -> NDArray[np.float32]:
        """Return boxes around lines in pixels: left, top, right, bottom, [N, 4]."""

    def read(self, line: Rgb) -> tuple[str, float]:
        """Return the text of a cut-out line and how sure that is, 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    corners: NDArray[np.float32]  # [4] in pixels
    look: NDArray[np.float32]  # [8, 64] grey
    text: str
    score: float


class RapidReader:
    """The reader on rapidocr's own models."""

    def __init__(self, threads: int, config: OcrConfig) -> None:
        self._engine = once(lambda: _engine(threads, config))

    def find(self, image: Rgb) -> NDArray[np.float32]:
        return self.find_scored(image)[0]

    def find_scored(self, image: Rgb) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes around lines in pixels, [N, 4], and how sure each is, [N] 0..1."""
        found = self._engine()(_bgr(image), use_det=True, use_cls=False, use_rec=False)
        if found.boxes is None:
            return np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32)
        corners = np.asarray(found.boxes, dtype=np.float32)  # [N, 4 corners, x and y]
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return boxes, np.asarray(found.scores, dtype=np.float32)

    def read(self, line: Rgb) -> tuple[str, float]:
        out = self._engine()(_bgr(line), use_det=False, use_cls=False, use_rec=True)
        return (str(out.txts[0]), float(out.scores[0])) if out.txts else ("", 0.0)


class Ocr:
    """Notes of kind "ocr", one a line of text and group."""

    name = "ocr"

    def __init__(self, reader: Reader, config: OcrConfig | None = None, version: str = "") -> None:
        self._reader = reader
        self._config = config or OcrConfig()
        self._before: NDArray[np.float32] | None = None  # [36, 64], the group before's last frame
        self._lines: list[_Line] = []
        self.version = f"1 {self._config} {version}"

    def start(self, video: VideoInfo) -> None:
        self._before, self._lines = None, []

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        if first_of_chunk:
            self._before, self._lines = None, []
        image = batch.images[-1]
        small = grey(resized(image, 64, 36, smooth=True))
        known = self._lines
        if self._before is None or not self._is_still(self._before, small):
            self._lines = self._read(image, known)
        self._before = small
        size = np.tile(np.array(image.shape[1::-1], dtype=np.float32), 2)
        return [
            self._note(line, batch, is_new=line not in known, size=size)
            for line in self._lines
            if self._is_text(line)
        ]

    def _is_still(self, before: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
        changed = np.abs(now - before) > self._config.still_difference
        return float(changed.mean()) <= self._config.still_share

    def _read(self, image: Rgb, known: Sequence[_Line]) -> list[_Line]:
        """Return the frame's lines: those that stayed as they were known, the others read."""
        boxes = self._reader.find(image)
        sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        largest = np.sort(np.argsort(-sizes, kind="stable")[: self._config.max_lines])
        return [line for box in boxes[largest] if (line := self._line(image, box, known))]

    def _line(self, image: Rgb, box: NDArray[np.float32], known: Sequence[_Line]) -> _Line | None:
        left, top = np.maximum(np.floor(box[:2]), 0).astype(int)
        right, bottom = np.ceil(box[2:]).astype(int)
        cut_out = np.ascontiguousarray(image[top:bottom, left:right])
        if 0 in cut_out.shape:
            return None
        look = grey(resized(cut_out, 64, 8, smooth=True))
        for line in known:
            if self._is_same(line, box, look):
                return line
        text, score = self._reader.read(cut_out)
        return _Line(box, look, text.strip(), score)

    def _is_same(self, line: _Line, box: NDArray[np.float32], look: NDArray[np.float32]) -> bool:
        return (
            float(iou(line.corners, box[None])[0]) >= self._config.same_place
            and float(np.abs(line.look - look).mean()) <= self._config.same_look
        )

    def _is_text(self, line: _Line) -> bool:
        characters = sum(character.isalnum() for character in line.text)
        return characters >= self._config.min_chars and line.score > self._config.score

    def _note(
        self, line: _Line, batch: FrameBatch, is_new: bool, size: NDArray[np.float32]
    ) -> Note:
        """A line that was there before holds for the whole group, a new one from its frame on."""
        start_s = float(batch.times_s[-1 if is_new else 0])
        left, top, right, bottom = (
            np.clip(line.corners / size, 0, 1).astype(float).round(4).tolist()
        )
        box = (left, top, right, bottom)
        return Note(start_s, batch.end_s, KIND, line.text, round(line.score, 3), box)


def load_ocr(threads: int) -> Ocr:
    """Return the instrument; its models come with the extra.

    Raises:
        InstrumentMissingError: the extra is not installed.
    """
    require_extra("ocr", "rapidocr")
    config = OcrConfig()
    return Ocr(RapidReader(threads, config), config, f"rapidocr {version('rapidocr')}")


def load_look(threads: int) -> Callable[[Rgb], list[Detection]]:
    """Return what finds lines of text in one picture, without reading them.

    Raises:
        InstrumentMissingError: the extra is not installed.
    """
    require_extra("ocr", "rapidocr")
    reader = RapidReader(threads, OcrConfig(side_px=LOOK_SIDE_PX))

    def look(image: Rgb) -> list[Detection]:
        size = np.tile(np.array(image.shape[1::-1], dtype=np.float32), 2)
        boxes, scores = reader.find_scored(image)
        order = np.argsort(-scores, kind="stable")
        return [detection(LOOK_KIND, scores[index], boxes[index] / size) for index in order]

    return look


def _engine(threads: int, config: OcrConfig) -> "RapidOCR":
    from rapidocr import RapidOCR

    params = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Det.limit_side_len": config.side_px,
        "Det.limit_type": "max",
    }
    return RapidOCR(params=params)


def _bgr(image: Rgb) -> Rgb:
    return np.ascontiguousarray(image[:, :, ::-1])
