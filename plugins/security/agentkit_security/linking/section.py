"""Links and clocks as a section of a report over several cameras."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from agentkit.types import (
    Citation,
    Lane,
    Row,
    Section,
    SessionView,
    Span,
    StoredVideo,
    Table,
    Timeline,
)
from agentkit_security.linking.cameras import camera_tracks, link_cameras
from agentkit_security.linking.reasons import words
from agentkit_security.linking.results import Link, LinkResult, Offset
from agentkit_security.tracks import Track
from agentkit_security.wording import thing


def sections_of(videos: Sequence[StoredVideo], session: SessionView) -> list[Section]:
    """Return one section with tables of links and clocks and a timeline of all cameras."""
    by_id = {video.video_id: video for video in videos}
    if len(by_id) < 2:
        return []
    result = link_cameras(videos, session)
    writer = _Writer(by_id, session.language)
    tracks = {video_id: camera_tracks(video, session) for video_id, video in by_id.items()}
    tables = [writer.links(result.links)] if result.links else []
    tables.append(writer.offsets(result.offsets))
    timelines = (writer.timeline(result, tracks),) if len(result.clock_s) > 1 else ()
    return [
        Section(
            writer("title"),
            body=writer.body(result),
            tables=tuple(tables),
            timelines=timelines,
        )
    ]


class _Writer:
    """Puts results into a report's words, in its language."""

    def __init__(self, videos: Mapping[str, StoredVideo], language: str) -> None:
        self._videos = videos
        self._language = language

    def __call__(self, name: str, **values: object) -> str:
        return words()(f"report.{name}", self._language, **values)

    def camera(self, video_id: str) -> str:
        return PurePath(self._videos[video_id].path).stem or video_id[:12]

    def body(self, result: LinkResult) -> str:
        paragraphs = [self("about")]
        paragraphs.append(self("numbers" if result.links else "no_links"))
        lost = [self.camera(video) for video in self._videos if video not in result.clock_s]
        if lost:
            paragraphs.append(self("no_clock", cameras=", ".join(lost)))
        return "\n\n".join(paragraphs)

    def links(self, links: Sequence[Link]) -> Table:
        head = ("number", "here", "there", "probability", "reasons")
        rows = tuple(self._link(number, link) for number, link in enumerate(links, start=1))
        return Table(self("links"), tuple(self(name) for name in head), rows)

    def _link(self, number: int, link: Link) -> Row:
        cells = (
            str(number),
            self._track(link.a),
            self._track(link.b),
            f"{link.probability * 100:.0f} %",
            "; ".join(link.reasons),
        )
        return Row(cells, tuple(self._cited(number, track) for track in (link.a, link.b)))

    def _track(self, track: Track) -> str:
        return self(
            "track",
            camera=self.camera(track.video_id),
            kind=thing(track.kind, self._language),
            number=track.number,
            start=clock(track.start_s),
            end=clock(track.end_s),
        )

    def _cited(self, number: int, track: Track) -> Citation:
        """Cite a track with the frame in which it is largest and surest."""
        sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in track.boxes]
        best = max(range(len(sizes)), key=lambda sight: sizes[sight] * track.scores[sight])
        why = self("cited", number=number)
        return Citation(track.video_id, track.start_s, track.end_s, why, track.times_s[best])

    def offsets(self, offsets: Sequence[Offset]) -> Table:
        head = ("camera", "other_camera", "offset", "how", "sure")
        rows = tuple(self._offset(offset) for offset in offsets)
        return Table(self("offsets"), tuple(self(name) for name in head), rows)

    def _offset(self, offset: Offset) -> Row:
        known = math.isfinite(offset.seconds)
        cells = (
            self.camera(offset.a),
            self.camera(offset.b),
            f"{offset.seconds:+.2f} s" if known else "",
            words()(f"how.{offset.how}", self._language),
            self._sure(offset),
        )
        # What the user gave, or nothing gave, is not shown by any video.
        shown = known and offset.how not in ("given", "none")
        return Row(cells, self._shared(offset) if shown else ())

    def _sure(self, offset: Offset) -> str:
        if offset.is_sure or offset.how == "chain":
            return self("is_sure")
        if math.isfinite(offset.runner_up_s):
            return self("ambiguous", seconds=f"{offset.runner_up_s:+.1f}")
        return self("unsure")

    def _shared(self, offset: Offset) -> tuple[Citation, ...]:
        """Cite what both recorded at once."""
        one, other = self._videos[offset.a], self._videos[offset.b]
        start_s = max(0.0, offset.seconds)
        end_s = min(one.duration_s, other.duration_s + offset.seconds)
        if end_s <= start_s:
            return ()
        why = self("clock_cited")
        return (
            Citation(offset.a, start_s, end_s, why),
            Citation(offset.b, start_s - offset.seconds, end_s - offset.seconds, why),
        )

    def timeline(self, result: LinkResult, tracks: Mapping[str, Sequence[Track]]) -> Timeline:
        """Lay out the cameras whose clocks are known; linked tracks carry the link's number."""
        numbers: dict[tuple[str, int], list[str]] = {}
        for number, link in enumerate(result.links, start=1):
            for track in (link.a, link.b):
                numbers.setdefault((track.video_id, track.number), []).append(str(number))
        cameras = sorted(result.clock_s.items())
        lanes = tuple(
            Lane(
                self.camera(video_id),
                tuple(self._span(track, numbers) for track in tracks[video_id]),
                video_id,
                offset_s,
            )
            for video_id, offset_s in cameras
        )
        ends_s = [self._videos[video_id].duration_s + offset_s for video_id, offset_s in cameras]
        return Timeline(
            self("timeline"), max(ends_s), lanes, start_s=min(offset_s for _, offset_s in cameras)
        )

    def _span(self, track: Track, numbers: Mapping[tuple[str, int], Sequence[str]]) -> Span:
        linked = numbers.get((track.video_id, track.number), ())
        label = f"{thing(track.kind, self._language)} {track.number}"
        label += f" ({', '.join(linked)})" if linked else ""
        return Span(track.start_s, track.end_s, label, self("linked" if linked else "alone"))


def clock(seconds: float) -> str:
    """Return a time as people read it: 1:02:03, or 2:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
