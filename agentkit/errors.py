"""Every error a user can meet: one line that says what, where and what to do."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class AgentkitError(Exception):
    """Base of all errors that are not a defect of this program."""


class UsageError(AgentkitError, ValueError):
    """A value given by the user cannot be used."""


class UnknownNameError(UsageError):
    """A name that is not among the known ones; the nearest is suggested."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"unknown {what} {name!r}; {hint}")
        self.name = name


class ModelFilesError(AgentkitError, OSError):
    """Weights are missing, damaged or unreachable."""


class PluginError(AgentkitError):
    """A plugin failed; names the plugin and the hook."""


class VideoError(AgentkitError, OSError):
    """Something is wrong with a video; base of the family in docs/bad-inputs.md."""

    def __init__(self, message: str, path: Path | str | None = None) -> None:
        super().__init__(message)
        self.path = path


class VideoPathError(VideoError):
    """The path does not exist, is no regular file, or is not allowed."""


class VideoOpenError(VideoError):
    """The file cannot be opened as video."""


class VideoLimitError(VideoError):
    """The video is beyond a limit of size, time or number of frames."""


class VideoDamagedError(VideoError):
    """Too much of the video cannot be decoded."""


class ChunkLostError(VideoError):
    """The process that looked at a part of the video died, each time it was tried."""


class StaleVideoError(VideoError):
    """The file at a known path is not the one that was ingested."""


class OtherEncoderError(VideoError):
    """The video's stored tokens are not for the model that is asked."""


class RemadeError(VideoError):
    """Another process made the video anew with other settings while it was asked."""


class TimeRangeError(VideoError, ValueError):
    """A time or range outside the video."""


class QuestionError(UsageError):
    """The question is empty, too long, or holds control characters."""
