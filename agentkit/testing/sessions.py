"""A session of given videos, notes, boxes and answers: what a plugin meets, without any model."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import UnknownNameError
from agentkit.plugin_manager import Domain
from agentkit.types import (
    Answer,
    Box,
    Chunk,
    ChunkHit,
    Citation,
    Coverage,
    Detection,
    Evidence,
    FrameBatch,
    Note,
    Question,
    SamplingPlan,
    StoredVideo,
    VideoInfo,
    VideoName,
    What,
    Where,
    Which,
)

Json = TypeVar("Json")
Images = NDArray[np.uint8]  # [H, W, 3] RGB
Say = Callable[[Question, StoredVideo, tuple[int, ...]], str]
See = Callable[[Images, What], list[Detection]]

CHUNK_S = 16.0


def stored_video(
    path: Path | str = "/films/film.mp4", duration_s: float = 64.0, **changes: Any
) -> StoredVideo:
    """Return a video as the store gives it; of a file that exists, with its own id and length."""
    values: dict[str, Any] = {"video_id": "ab" * 32, "duration_s": duration_s}
    if Path(path).is_file():
        info = _info(path)
        values = {"video_id": info.video_id, "duration_s": info.duration_s}
        values |= {"frames_in_file": info.frames_in_file, "has_sound": info.has_sound}
        values |= {"width_px": info.size_px[0], "height_px": info.size_px[1]}
    seconds = values["duration_s"]
    values = {"frames_in_file": round(seconds * 25), "frames_seen": math.ceil(seconds)} | values
    values |= {"chunks": math.ceil(seconds / CHUNK_S), "state": "ready", "tiers": ("notes",)}
    return StoredVideo(path=str(path), step_s=1.0, **{**values, **changes})


@dataclass
class RecordedSession:
    """What a plugin may do with a session (`SessionView`), with everything given.

    `say(question, video, chunks)` is what the model writes: it goes through the domain's own
    `parse_answer`; an answer cites the notes of the chunks it was asked of. `see(image, what)` is
    what a detector finds. Frames and sound come from the videos' files. `made` counts how often
    each analysis was made.
    """

    stored: Sequence[StoredVideo]
    noted: Mapping[str, Sequence[Note]] = field(default_factory=dict)  # by video id
    domain: Domain = field(default_factory=lambda: Domain.load("general"))
    say: Say = lambda question, video, chunks: ""
    see: See = lambda image, what: []
    options: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    asked: list[Question] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    told: list[tuple[str, int, int]] = field(default_factory=list)
    _kept: dict[tuple[str, str, str], str] = field(default_factory=dict)

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
        video = self.video(videos or self.stored[0])
        question = Question(text, tuple(options), task, self.language)
        self.asked.append(question)
        whole = tuple(chunks if chunks is not None else range(video.chunks))
        notes = [
            note
            for note in self.notes(video, where.get("start_s") or 0.0, where.get("end_s"))
            if any(
                c.start_s < note.end_s and note.start_s < c.end_s for c in self._of(video, whole)
            )
        ]
        cites = tuple(Citation(video.video_id, n.start_s, n.end_s, n.text) for n in notes[:3])
        coverage = Coverage(
            "recorded", video.frames_seen, video.frames_in_file, video.step_s, whole,
            video.chunks, 0, video.instruments,
        )  # fmt: skip
        evidence = Evidence((), tuple(notes), cites, coverage, bool(cites))
        answer = self.domain.parse_answer(question, self.say(question, video, whole), evidence)
        return replace(answer, findings=tuple(self.domain.check_answer(answer, evidence)))

    def search(
        self, text: str, videos: Sequence[VideoName] = (), k: int = 10, **where: Unpack[Where]
    ) -> list[ChunkHit]:
        """Return the chunks with a note that has all words of `text`."""
        words = set(text.lower().split())
        return [
            ChunkHit(chunk, 1.0, note.text, (note.start_s, note.end_s))
            for video in ([self.video(name) for name in videos] or self.stored)
            for note in self.notes(video, where.get("start_s") or 0.0, where.get("end_s"))
            if words <= set(note.text.lower().split())
            for chunk in self.chunks(video)
            if chunk.start_s <= note.start_s < chunk.end_s
        ][:k]

    def videos(self, **which: Unpack[Which]) -> list[StoredVideo]:
        return list(self.stored)

    def video(self, name: VideoName) -> StoredVideo:
        if isinstance(name, StoredVideo):
            return name
        for video in self.stored:
            if video.video_id.startswith(str(name)) or video.path == str(name):
                return video
        raise UnknownNameError("video", str(name), [video.video_id for video in self.stored])

    def chunks(self, name: VideoName) -> list[Chunk]:
        """Return chunks of 16 s."""
        video = self.video(name)
        return [
            Chunk(
                video.video_id, i, i * CHUNK_S, min((i + 1) * CHUNK_S, video.duration_s), i * 4, 4
            )
            for i in range(video.chunks)
        ]

    def notes(
        self, name: VideoName, start_s: float = 0.0, end_s: float | None = None
    ) -> list[Note]:
        until_s = math.inf if end_s is None else end_s
        notes = self.noted.get(self.video(name).video_id, ())
        inside = (n for n in notes if n.start_s < until_s and max(n.end_s, n.start_s) >= start_s)
        return sorted(inside, key=lambda note: (note.start_s, note.end_s))

    def frames(self, name: VideoName, times_s: Sequence[float]) -> list[Images]:
        from agentkit.video import frames_at

        return frames_at(_info(self.video(name).path), times_s)

    def sample(
        self, name: VideoName, plan: SamplingPlan, start_s: float = 0.0, end_s: float | None = None
    ) -> Iterator[FrameBatch]:
        from agentkit.video import group_span, sample

        info = _info(self.video(name).path)
        first, stop = group_span(info, plan, start_s, info.duration_s if end_s is None else end_s)
        return sample(info, plan, start_group=first, stop_group=stop)

    def sound(self, name: VideoName) -> Iterator[tuple[float, NDArray[np.float32]]]:
        from agentkit.video import audio

        return audio(_info(self.video(name).path))

    def detect(self, images: Sequence[Images], what: What = "objects") -> list[list[Detection]]:
        return [self.see(image, what) for image in images]

    def info(self, name: VideoName) -> VideoInfo:
        """Return what the file says of a video."""
        return _info(self.video(name).path)

    def blur(self, images: Sequence[Images], boxes: Sequence[Sequence[Box]]) -> list[Images]:
        from agentkit.blurring import blur

        return [blur(image, of_image) for image, of_image in zip(images, boxes, strict=True)]

    def analysis(self, name: VideoName, key: str, version: str, make: Callable[[], Json]) -> Json:
        place = self.video(name).video_id, key, version
        if place not in self._kept:
            self.made[key] = self.made.get(key, 0) + 1
            self._kept[place] = json.dumps(make())
        kept: Json = json.loads(self._kept[place])
        return kept

    def progress(self, what: str, done: int, of: int) -> None:
        self.told.append((what, done, of))

    def _of(self, video: StoredVideo, indices: Sequence[int]) -> list[Chunk]:
        chunks = self.chunks(video)
        return [chunks[index] for index in indices]


def _info(path: Path | str) -> VideoInfo:
    from agentkit.video import probe

    return probe(Path(path))
