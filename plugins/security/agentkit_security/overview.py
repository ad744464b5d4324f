"""The security domain's part of a report on several cameras. How they are linked is linking's."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from agentkit.types import (
    AgentkitError,
    Lane,
    Section,
    SessionView,
    Span,
    StoredVideo,
    Timeline,
    UsageError,
)
from agentkit_security.sections import GRAVE
from agentkit_security.watched import watch
from agentkit_security.wording import joined, kind_of, label, texts


def overview_of(videos: Sequence[StoredVideo], session: SessionView) -> list[Section]:
    """Return a timeline of all cameras on one clock, and what may link them."""
    from agentkit_security.linking import sections

    try:
        clocks = _clocks(videos, session)
        return [_timeline(videos, clocks, session), *sections(videos, session)]
    except UsageError:
        raise
    except AgentkitError as error:
        return [Section(texts()("report.failed", session.language), str(error))]


def _clocks(videos: Sequence[StoredVideo], session: SessionView) -> Mapping[str, float]:
    from agentkit_security.linking import link

    return link(videos, session).clock_s


def _timeline(
    videos: Sequence[StoredVideo], clocks: Mapping[str, float], session: SessionView
) -> Section:
    words, language = texts(), session.language
    lanes = tuple(_lane(video, clocks.get(video.video_id, 0.0), session) for video in videos)
    starts_s = [clocks.get(video.video_id, 0.0) for video in videos]
    ends_s = [at + video.duration_s for at, video in zip(starts_s, videos, strict=True)]
    title = words("report.overview_title", language)
    drawn = Timeline(title, max(ends_s), lanes, start_s=min(starts_s))
    unset = [name_of(video) for video in videos if video.video_id not in clocks]
    body = words("report.no_clock", language, names=joined(unset, language)) if unset else ""
    return Section(words("report.overview", language), body, timelines=(drawn,))


def _lane(video: StoredVideo, offset_s: float, session: SessionView) -> Lane:
    """Return a camera's graver events; all of them where none is grave."""
    events = watch(session, video).events
    grave = [event for event in events if event.severity >= GRAVE]
    told = grave or [event for event in events if event.severity]
    spans = tuple(
        Span(
            event.start_s,
            min(max(event.end_s, event.start_s + 1.0), video.duration_s),
            label(event, session.language),
            kind_of(event, session.language),
        )
        for event in told
    )
    return Lane(name_of(video), spans, video.video_id, offset_s)


def name_of(video: StoredVideo) -> str:
    """Return what people call a camera: its file's name."""
    return PurePath(video.path).stem or video.video_id[:12]
