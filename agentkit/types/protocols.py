"""What plugins and parts are to each other, by their calls."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from agentkit.types.answers import Answer
from agentkit.types.evaluations import Evaluation, Examples
from agentkit.types.videos import (
    Detection,
    FrameBatch,
    GroupTokens,
    SamplingPlan,
    VideoInfo,
    VideoName,
    Where,
    Which,
)
from agentkit_storage.types import Chunk, ChunkHit, Note, StoredVideo

What = Literal["objects", "faces", "texts"]
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture
Json = TypeVar("Json")  # what `json` writes and reads back equal: lists, dicts, texts, numbers


class Instrument(Protocol):
    """Looks at frames. May remember the group before, no more: an ingest resumes at any chunk."""

    name: str

    def start(self, video: VideoInfo) -> None:
        """Forget the video before."""

    def observe(self, batch: FrameBatch, first_of_chunk: bool) -> list[Note]:
        """Return what is seen in one group; groups come in order."""


class SoundInstrument(Protocol):
    """Listens to the whole sound track, once, before the frames."""

    name: str

    def listen(self, video: VideoInfo, progress: Callable[[float], None]) -> list[Note]:
        """Return notes in order of time; `progress` is called with the seconds heard so far."""


class Embedder(Protocol):
    """Text to unit vectors, all of one space; `fingerprint` names the space."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def size(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), size]."""


class Encoder(Protocol):
    """Turns a chunk's frames and notes into tokens of the language model."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """What the tokens depend on besides frames and notes."""

    @property
    def picture_px(self) -> int:
        """The side of the squares it brings pictures to, which is all it needs; 0: needs none."""

    def encode(
        self, batches: Sequence[FrameBatch], notes: Sequence[Sequence[Note]]
    ) -> list[GroupTokens]:
        """Return each group's tokens; `notes` has one entry a group. A chunk stands alone."""

    def pooled(self, groups: Sequence[GroupTokens]) -> NDArray[np.float32]:
        """Return one unit vector [E] for a chunk's groups."""


class VideoModel(Protocol):
    """A language model over a prefilled video."""

    def generate(self, prompt: str, dense: Iterable[int]) -> Iterable[str]:
        """Yield the answer's pieces of text as they come."""


class Evaluator(Protocol):
    """A metric of a domain; `source` names the paper or the field's own code.

    `ranges` has each metric's (worst, best) value; infinite where there is no bound. A metric
    "NAME/LABEL" is NAME of one label and has its range; one that is undefined is left out.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]: ...

    def evaluate(self, predictions: Path, ground_truth: Path) -> Evaluation:
        """Return the metrics of predictions, read from the field's own file formats.

        Raises:
            UsageError: a file is not of that format, or the two do not belong together.
        """

    def examples(self, folder: Path) -> Examples:
        """Write a small ground truth, perfect predictions and bad ones into an empty folder."""


class SessionView(Protocol):
    """What a plugin may do with a session."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The domain's own settings: `[plugins.DOMAIN]` in agentkit.toml and `--set KEY=VALUE`."""

    @property
    def language(self) -> str:
        """The language of reports: "en" or "zh"."""

    def ask(
        self,
        text: str,
        videos: VideoName | None = None,
        *,
        options: Sequence[str] = (),
        task: str = "",
        chunks: Sequence[int] | None = None,
        **where: Unpack[Where],
    ) -> Answer:
        """Answer from a video; `chunks` are those to read whole, `start_s` and `end_s` bound it."""

    def search(
        self, text: str, videos: Sequence[VideoName] = (), k: int = 10, **where: Unpack[Where]
    ) -> list[ChunkHit]:
        """Return what holds what `text` names, best first."""

    def videos(self, **which: Unpack[Which]) -> list[StoredVideo]:
        """Return the videos of the store."""

    def video(self, name: VideoName) -> StoredVideo:
        """Return a video by its id, an unambiguous prefix of it, its path or its file's name."""

    def chunks(self, name: VideoName) -> list[Chunk]:
        """Return a video's chunks, in order."""

    def notes(
        self, name: VideoName, start_s: float = 0.0, end_s: float | None = None
    ) -> list[Note]:
        """Return what was noted between two times, in order of time."""

    def frames(self, name: VideoName, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
        """Return the frames shown at these times, each [H, W, 3] RGB, from the file itself."""

    def sample(
        self, name: VideoName, plan: SamplingPlan, start_s: float = 0.0, end_s: float | None = None
    ) -> Iterator[FrameBatch]:
        """Yield the frames of a plan between two times, a group at a time, from the file itself."""

    def sound(self, name: VideoName) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Yield (start in s, samples [n] mono at 16 kHz), about 5 s each; nothing without sound."""

    def detect(
        self, images: Sequence[NDArray[np.uint8]], what: What = "objects"
    ) -> list[list[Detection]]:
        """Return what is in each picture, best first.

        Raises:
            InstrumentMissingError: the weights or the extra for it are not here.
        """

    def blur(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[Sequence[Box]]
    ) -> list[NDArray[np.uint8]]:
        """Return copies of pictures with what is in their boxes unrecognisable for good.

        A margin around each box is blurred too. `boxes` has one list a picture.
        """

    def analysis(self, name: VideoName, key: str, version: str, make: Callable[[], Json]) -> Json:
        """Return what `make` gave once for this video: it is kept in the store as JSON.

        `key` names it (begin it with the plugin's name), `version` says what it depends on
        besides the stored video. Cut long work into several: what is made survives a kill.
        """

    def progress(self, what: str, done: int, of: int) -> None:
        """Say how far a long piece of work is."""
