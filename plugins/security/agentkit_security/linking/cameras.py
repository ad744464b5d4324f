"""All cameras together: what is looked at of each, one clock, and links between each two."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from agentkit.types import SessionView, StoredVideo, UsageError
from agentkit_security.linking.activity import activity_of
from agentkit_security.linking.appearance import pixels_of
from agentkit_security.linking.clocks import given_clocks, shared_clock
from agentkit_security.linking.links import Side, clues
from agentkit_security.linking.matching import one_to_one
from agentkit_security.linking.offsets import Camera, kept_offset
from agentkit_security.linking.options import LinkOptions
from agentkit_security.linking.reasons import reasons_for
from agentkit_security.linking.results import Link, LinkResult, Offset
from agentkit_security.linking.sound import sound_signals
from agentkit_security.tracking import tracks_of
from agentkit_security.tracks import Track

SHORTEST_S = 1.0  # a track seen for less is a glimpse, and is not linked

Follow = Callable[[SessionView, StoredVideo], list[Track]]


def link_cameras(
    videos: Sequence[StoredVideo], session: SessionView, follow: Follow = tracks_of
) -> LinkResult:
    """Return offsets and links of all pairs of videos; their order does not matter.

    Raises:
        UsageError: fewer than two different videos, or a setting that does not fit.
    """
    options = LinkOptions.read(session.options)
    distinct = sorted({video.video_id: video for video in videos}.items())
    if len(distinct) < 2:
        raise UsageError("linking needs two different videos or more")
    cameras = [camera_of(video, session, follow) for _, video in distinct]
    given = given_clocks([camera.video for camera in cameras], options.offsets)
    pairs = list(combinations(cameras, 2))
    offsets = [_offset(session, a, b, given, options) for a, b in pairs]
    clock_s = shared_clock([name for name, _ in distinct], offsets, given)
    links = [
        link
        for a, b in pairs
        for link in links_between(a, b, _difference_s(a, b, clock_s), options, session.language)
    ]
    links.sort(key=lambda link: (-link.probability, _name(link.a), _name(link.b)))
    chained = tuple(_chained(offset, clock_s) for offset in offsets)
    return LinkResult(chained, clock_s, tuple(links))


def camera_tracks(
    video: StoredVideo, session: SessionView, follow: Follow = tracks_of
) -> list[Track]:
    """Return the tracks of a video that can be linked."""
    return [one for one in follow(session, video) if one.end_s - one.start_s >= SHORTEST_S]


def camera_of(video: StoredVideo, session: SessionView, follow: Follow) -> Camera:
    """Look at a video, or read what was kept of it."""
    tracks = camera_tracks(video, session, follow)
    side = Side(tuple(tracks), pixels_of(session, video, tracks))
    return Camera(video, side, activity_of(session, video), sound_signals(session, video))


def links_between(
    a: Camera, b: Camera, clock_s: float | None, options: LinkOptions, language: str
) -> list[Link]:
    """Return the one-to-one links of two cameras that are likely enough."""
    weighed = clues(a.side, b.side, clock_s, options)
    chosen = one_to_one(weighed.probability, options.min_probability)
    return [
        Link(
            a.side.tracks[row],
            b.side.tracks[column],
            float(weighed.probability[row, column]),
            reasons_for(weighed, row, column, language),
        )
        for row, column in chosen
    ]


def _offset(
    session: SessionView,
    a: Camera,
    b: Camera,
    given: Mapping[str, float],
    options: LinkOptions,
) -> Offset:
    ids = a.video.video_id, b.video.video_id
    if given.keys() >= set(ids):
        return Offset(*ids, given[ids[1]] - given[ids[0]], 1.0, "given")
    return kept_offset(session, a, b, options)


def _difference_s(a: Camera, b: Camera, clock_s: Mapping[str, float]) -> float | None:
    """Return what is added to the times of b to come to those of a, if both clocks are known."""
    ids = a.video.video_id, b.video.video_id
    return clock_s[ids[1]] - clock_s[ids[0]] if clock_s.keys() >= set(ids) else None


def _chained(offset: Offset, clock_s: Mapping[str, float]) -> Offset:
    """Return an offset that is not sure as other cameras between the two give it."""
    if offset.is_sure or not clock_s.keys() >= {offset.a, offset.b}:
        return offset
    return replace(offset, seconds=clock_s[offset.b] - clock_s[offset.a], how="chain")


def _name(track: Track) -> tuple[str, int]:
    return track.video_id, track.number
