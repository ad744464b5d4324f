"""Every error of the store: one line that says what, where and what to do."""

import difflib
import math
import os
from collections.abc import Iterable


class StoreError(Exception):
    """Base of all errors that are not a defect of the store."""


class StoreFullError(StoreError, OSError):
    """No room on the disk; what was acknowledged before is whole."""


class StoreBusyError(StoreError):
    """Another process held the write lock for longer than the time-out."""


class StoreDamagedError(StoreError):
    """The database file, or what it says of a row, cannot be trusted."""


class StoreVersionError(StoreError):
    """The store was made by a newer version than this one."""


class RecordError(StoreError, ValueError):
    """A value cannot be stored as it is: a time, a shape or a number is wrong."""


class VectorError(RecordError):
    """A vector with NaN, without direction, or of the wrong size."""


class IncompatibleError(StoreError, ValueError):
    """Vectors or tokens of another model, sampling or prompt than the stored ones."""


class UnknownVideoError(StoreError, LookupError):
    """No video of the store has this id, prefix, path or file name; the nearest is suggested."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        if os.path.isfile(name):  # noqa: PTH113  # where Path raises, this says no
            hint = "the file is there, but was not ingested; agentkit ingest it first"
        elif near:
            hint = f"did you mean {near[0]!r}?"
        elif known:
            hint = f"known: {_some(known)}; a new one is to be ingested first"
        else:
            hint = "this store has none yet; ingest it first"
        super().__init__(f"unknown video {name!r}; {hint}")
        self.name = name


class AmbiguousVideoError(StoreError, LookupError):
    """More than one video has this prefix, path or file name."""

    def __init__(self, name: str, video_ids: Iterable[str]) -> None:
        self.name = name
        self.video_ids = tuple(sorted(video_ids))
        shown = _some([video_id[:12] for video_id in self.video_ids])
        super().__init__(f"{name!r} names more than one video; use an id: {shown}")


class DamagedChunkError(StoreError):
    """Stored tokens or KV of one chunk fail their checksum; nothing of them was returned."""

    def __init__(self, video_id: str, start_s: float, end_s: float, what: str, remedy: str) -> None:
        span = f"{_clock(start_s)}-{_clock(end_s)}"
        super().__init__(f"video {video_id[:12]} at {span}: {what}; {remedy}")
        self.video_id = video_id
        self.start_s = start_s
        self.end_s = end_s


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _clock(seconds: object) -> str:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return "?"  # the time itself is what was damaged
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
