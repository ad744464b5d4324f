"""From frames, paths or chat messages to what the model takes. Opens no file itself.

Paths go through `load_video(path, rule)`, which yields (frame [H, W, 3] RGB uint8, time in
seconds) of the frames that the rule names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from typing import Any

import numpy as np
from torch import Tensor

from videoxl2_model.errors import SettingError
from videoxl2_model.frames import TimedFrame, timed
from videoxl2_model.prompting import SYSTEM_TEXT
from videoxl2_model.sampling import SamplingRule

LoadVideo = Callable[[str, SamplingRule], Iterable[TimedFrame]]
Message = Mapping[str, Any]

EVERY_SECOND = SamplingRule()
ROLES = ("system", "user", "assistant")
PARTS = ("video", "text")


@dataclass(frozen=True, slots=True)
class VideoInputs:
    """One conversation about one video: `model.prefill(model.encode_stream(inputs.frames))`."""

    frames: Iterable[TimedFrame]
    question: str
    history: tuple[tuple[str, str], ...] = ()
    system: str = SYSTEM_TEXT


@dataclass(frozen=True, slots=True)
class Processor:
    """Reads messages; `rule` says which frames of a path are looked at."""

    load_video: LoadVideo | None = None
    rule: SamplingRule = EVERY_SECOND

    def __call__(self, messages: Sequence[Message]) -> VideoInputs:
        """Return what messages of `role` and `content` ask of one video.

        Content is text, or a list of {"type": "video", "video": frames or path, "times_s": ...}
        and {"type": "text", "text": ...}. The video stands before the first question.

        Raises:
            SettingError: roles are out of turn, there is not one video, or a part is unknown.
        """
        system, turns = _turns(messages)
        videos = [part for _, parts in turns for part in parts if part["type"] == "video"]
        if len(videos) != 1:
            raise SettingError(f"{len(videos)} videos in the messages; one is needed")
        if not any(part is videos[0] for part in turns[0][1]):
            raise SettingError("the video belongs to the first question")
        texts = [_text(parts) for _, parts in turns]
        earlier = tuple(zip(texts[:-1:2], texts[1:-1:2], strict=True))
        frames = self.frames(videos[0]["video"], videos[0].get("times_s"))
        return VideoInputs(frames, texts[-1], earlier, system)

    def frames(self, video: Any, times_s: Sequence[float] | None = None) -> Iterable[TimedFrame]:
        """Return frames with their times.

        video: a path, an array [T, H, W, 3], a sequence of frames [H, W, 3] (both at 0, 1, 2, ...
        seconds where `times_s` is not given), or an iterable of (frame, time).
        """
        if isinstance(video, str | PathLike):
            return self._load(str(video))
        if isinstance(video, np.ndarray | Tensor) or (_is_list(video) and _are_frames(video)):
            return timed(video, times_s)
        if times_s is not None or not isinstance(video, Iterable):
            raise SettingError(
                f"a video of {type(video).__name__}; a path, frames [T, H, W, 3] with times_s, or"
                " (frame, time) pairs are needed"
            )
        return video

    def _load(self, path: str) -> Iterable[TimedFrame]:
        if self.load_video is None:
            raise SettingError(
                f"{path}: the model opens no video file; give load_video, a function of (path,"
                " SamplingRule) that yields (frame [H, W, 3] RGB uint8, time in seconds)"
            )
        return self.load_video(path, self.rule)


def known(given: Mapping[str, Any], names: Iterable[str], what: str) -> None:
    """Raise SettingError for the first name that is not known, with the nearest that is."""
    names = list(names)
    for name in given:
        if name not in names:
            near = get_close_matches(str(name), names, n=1)
            told = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise SettingError(f"unknown {what} {name!r}; {told}")


def _turns(messages: Sequence[Message]) -> tuple[str, list[tuple[str, list[Message]]]]:
    """Return the system text, and the turns from the first user's to the last user's."""
    read = [_message(message) for message in messages]
    system = SYSTEM_TEXT
    if read and read[0][0] == "system":
        system = _text(read.pop(0)[1])
    roles = [role for role, _ in read]
    if len(read) % 2 == 0 or roles != [("user", "assistant")[i % 2] for i in range(len(read))]:
        raise SettingError(
            f"messages of {', '.join(roles) or 'nobody'}; user and assistant take turns, the user"
            " first and last"
        )
    return system, read


def _message(message: Message) -> tuple[str, list[Message]]:
    known(message, ("role", "content"), "field of a message")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise SettingError(f"unknown role {role!r}; {', '.join(ROLES)}")
    if isinstance(content, str):
        return role, [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise SettingError(f"a message of {role} has no content; text or a list of parts is needed")
    return role, [_part(part) for part in content]


def _part(part: Message) -> Message:
    kind = part.get("type") if isinstance(part, Mapping) else part
    if kind not in PARTS:
        raise SettingError(f"unknown type of content {kind!r}; {' and '.join(PARTS)} are read")
    known(part, ("type", kind, "times_s") if kind == "video" else ("type", kind), f"{kind} field")
    if kind not in part:
        raise SettingError(f"content of type {kind} has no field {kind!r}")
    if kind == "text" and not isinstance(part["text"], str):
        raise SettingError(f"content of type text holds {part['text']!r}; words are needed")
    return part


def _text(parts: Sequence[Message]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _is_list(video: Any) -> bool:
    return isinstance(video, Sequence) and len(video) > 0


def _are_frames(video: Sequence[Any]) -> bool:
    return all(isinstance(each, np.ndarray | Tensor) for each in video)
