"""The tracks of a stored video. Knows the session; tracker.py knows how boxes become tracks."""

from hashlib import sha256
from typing import Any

from agentkit.types import SessionView, StoredVideo
from agentkit_security.options import options_of
from agentkit_security.seen import VERSION as SEEN_VERSION
from agentkit_security.seen import sights
from agentkit_security.tracker import TrackerConfig, track
from agentkit_security.tracks import Box, Track

VERSION = "1"


def tracks_of(session: SessionView, video: StoredVideo) -> list[Track]:
    """Return everything that was followed through a video, numbered as it begins.

    The first call looks at the video, at `track_fps` frames a second, a minute at a time, and what
    it saw is kept; the tracks are kept too.

    Raises:
        InstrumentMissingError: the detector's weights are not here.
        StaleVideoError: the file is not the one that was ingested, and was not looked at yet.
    """
    options = options_of(session)
    config = TrackerConfig(lost_s=options.track_lost_s)

    def make() -> list[Any]:
        seen = sights(session, video, options.track_fps, options.track_kinds)
        frames = ((one.time_s, one.found) for one in seen)
        return [_row(one) for one in track(frames, video.video_id, aspect(video), config)]

    on = f"{options.track_fps:g} fps {sorted(options.track_kinds)} {config}"
    version = f"{VERSION}/{SEEN_VERSION} {sha256(on.encode()).hexdigest()[:16]}"
    rows = session.analysis(video, "security/tracks", version, make)
    return [_track(row, video.video_id) for row in rows]


def aspect(video: StoredVideo) -> float:
    """Return the picture's width over its height; 16:9 where the store does not know."""
    if video.width_px and video.height_px:
        return video.width_px / video.height_px
    return 16 / 9


def _row(one: Track) -> list[Any]:
    return [one.number, one.kind, list(one.times_s), [list(box) for box in one.boxes], one.scores]


def _track(row: Any, video_id: str) -> Track:
    number, kind, times_s, boxes, scores = row
    return Track(
        video_id,
        number,
        kind,
        tuple(times_s),
        tuple(_box(box) for box in boxes),
        tuple(scores),
    )


def _box(values: Any) -> Box:
    left, top, right, bottom = values
    return left, top, right, bottom
