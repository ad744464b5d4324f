"""What a session shows of a stored video beside its answers: notes, frames, sound, boxes.

Frames and sound come from the file itself, which must be the one that was ingested.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentkit.blurring import blur
from agentkit.checks import check_range
from agentkit.choosing import named
from agentkit.errors import StaleVideoError
from agentkit.parts import Parts
from agentkit.types import (
    Box,
    Chunk,
    Detection,
    FrameBatch,
    Note,
    SamplingPlan,
    StoredVideo,
    VideoInfo,
    VideoName,
    What,
)
from agentkit.video import VideoLimits, audio, content_id, frames_at, group_span, probe, sample

logger = logging.getLogger(__name__)

Json = TypeVar("Json")
OnProgress = Callable[[str, int, int], None]  # what is done, how much of it, of how much

# A plugin may look at every frame of a film: they come a group at a time and none is kept.
EVERY_FRAME = VideoLimits(max_sampled_frames=VideoLimits().max_frames_in_file)


def log_progress(what: str, done: int, of: int) -> None:
    logger.info("%s: %d of %d", what, done, of)


class Looking(Parts):
    """The half of a session that plugins see, but for questions and search."""

    on_progress: OnProgress = staticmethod(log_progress)

    @property
    def options(self) -> Mapping[str, Any]:
        """The domain's own settings."""
        return self._settings.plugins.get(self._domain.name, {})

    @property
    def language(self) -> str:
        """The language of reports."""
        return "en" if self._settings.language == "auto" else self._settings.language

    def progress(self, what: str, done: int, of: int) -> None:
        """Say how far a long piece of work is."""
        self.on_progress(what, done, of)

    def video(self, name: VideoName) -> StoredVideo:
        """Return a stored video by id, unambiguous prefix of it, path or file name."""
        return named(self._store, name)

    def chunks(self, name: VideoName) -> list[Chunk]:
        """Return a video's chunks, in order."""
        return self._store.chunks(self.video(name).video_id)

    def notes(
        self, name: VideoName, start_s: float = 0.0, end_s: float | None = None
    ) -> list[Note]:
        """Return what was noted between two times."""
        video = self.video(name)
        check_range(video.duration_s, start_s, end_s)
        until_s = math.inf if end_s is None else end_s
        # What was heard stands in the store for the video and for its chunk: it is said once.
        return list(dict.fromkeys(self._store.notes(video.video_id, start_s, until_s)))

    def frames(self, name: VideoName, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
        """Return the frames shown at these times, each [H, W, 3] RGB, from the file itself.

        Raises:
            StaleVideoError: the file is not the one that was ingested.
        """
        return frames_at(self.info(name), times_s, EVERY_FRAME)

    def sample(
        self, name: VideoName, plan: SamplingPlan, start_s: float = 0.0, end_s: float | None = None
    ) -> Iterator[FrameBatch]:
        """Yield the groups of a plan that touch [start_s, end_s), from the file itself.

        Raises:
            StaleVideoError: the file is not the one that was ingested.
        """
        info = self.info(name)
        start_s, end_s = check_range(info.duration_s, start_s, end_s)
        first, stop = group_span(info, plan, start_s, end_s, EVERY_FRAME)
        return sample(info, plan, start_group=first, stop_group=stop, limits=EVERY_FRAME)

    def sound(self, name: VideoName) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Yield (start in s, samples [n] mono at 16 kHz), about 5 s each; nothing without sound.

        Raises:
            StaleVideoError: the file is not the one that was ingested.
        """
        return audio(self.info(name), EVERY_FRAME)

    def detect(
        self, images: Sequence[NDArray[np.uint8]], what: What = "objects"
    ) -> list[list[Detection]]:
        """Return what is in each picture, best first.

        Raises:
            InstrumentMissingError: the weights or the extra for it are not here.
        """
        return self._detectors(images, what)

    def blur(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[Sequence[Box]]
    ) -> list[NDArray[np.uint8]]:
        """Return copies of pictures with what is in their boxes unrecognisable for good."""
        return [blur(image, of_image) for image, of_image in zip(images, boxes, strict=True)]

    def analysis(self, name: VideoName, key: str, version: str, make: Callable[[], Json]) -> Json:
        """Return what `make` gave once for this video under this key and version.

        It is kept in the store as JSON, goes with the video, and is made again where the video
        is ingested anew or the version is another. What was made of a part of a video holds for
        that part alone.
        """
        video = self.video(name)
        video_id = video.video_id
        if video.state != "ready":
            version = f"{version}/{len(self.chunks(video))} chunks"
        kept = self._store.analysis(video_id, key, version)
        if kept is None:
            kept = json.dumps(make())
            self._store.put_analysis(video_id, key, version, kept)
        made: Json = json.loads(kept)
        return made

    def info(self, name: VideoName) -> VideoInfo:
        """Return what the file says of a stored video.

        Raises:
            StaleVideoError: the file is not the one that was ingested.
        """
        video = self.video(name)
        path = Path(video.path)
        if content_id(path) != video.video_id:
            raise StaleVideoError(f"{path}: changed since it was ingested; ingest it again", path)
        return probe(path, EVERY_FRAME, self._settings.allowed_roots)
