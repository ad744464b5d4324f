"""What linking says: how far clocks are apart, and which tracks may be of one thing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentkit_security.tracks import Track

How = Literal["given", "activity", "trajectories", "sound", "light", "passages", "chain", "none"]

SURE = 0.9  # confidence from which an offset is used


@dataclass(frozen=True, slots=True)
class Offset:
    """`seconds` are added to the times of video `b` to come to those of video `a`.

    `confidence` is 1 where the user gave it; else how little noise explains that it stands out
    among all offsets, and how far above the next best, `runner_up_s` (NaN: there is none).
    Under `SURE` it is ambiguous, and is not used.
    """

    a: str
    b: str
    seconds: float
    confidence: float
    how: How
    runner_up_s: float = math.nan

    @property
    def is_sure(self) -> bool:
        """Whether it may be built upon; otherwise it is ambiguous, or nothing was found."""
        return self.confidence >= SURE

    def turned(self) -> "Offset":
        """Return the same offset, told from the other camera."""
        return Offset(self.b, self.a, -self.seconds, self.confidence, self.how, -self.runner_up_s)


@dataclass(frozen=True, slots=True)
class Link:
    """Two tracks of different cameras that may be the same thing. It names nobody."""

    a: Track
    b: Track
    probability: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkResult:
    """What is known of some cameras together.

    `offsets` has one entry for each pair; `clock_s` what is added to each video's times to come to
    the shared clock, without those whose clock is not known. `links` come best first.
    """

    offsets: tuple[Offset, ...]
    clock_s: Mapping[str, float]
    links: tuple[Link, ...]


def as_json(result: LinkResult) -> dict[str, Any]:
    """Return the result as `agentkit security link --json` prints it; NaN becomes null."""
    return {
        "offsets": [
            {
                "a": offset.a,
                "b": offset.b,
                "seconds": _plain(offset.seconds),
                "confidence": round(offset.confidence, 3),
                "how": offset.how,
                "runner_up_s": _plain(offset.runner_up_s),
                "sure": offset.is_sure,
            }
            for offset in result.offsets
        ],
        "clock_s": {video: _plain(seconds) for video, seconds in sorted(result.clock_s.items())},
        "links": [
            {
                "a": _track(link.a),
                "b": _track(link.b),
                "probability": round(link.probability, 3),
                "reasons": list(link.reasons),
            }
            for link in result.links
        ],
    }


def _track(track: Track) -> dict[str, Any]:
    return {
        "video_id": track.video_id,
        "track": track.number,
        "kind": track.kind,
        "start_s": _plain(track.start_s),
        "end_s": _plain(track.end_s),
    }


def _plain(seconds: float) -> float | None:
    return round(seconds, 3) if math.isfinite(seconds) else None
