"""What a report says of its videos themselves: names, and how closely each was looked at."""

from collections import Counter
from collections.abc import Mapping, Sequence

from agentkit.redaction import SHORT_ID, Redaction
from agentkit.reports.redacting import Redactor
from agentkit.types import Chunk, ReportedVideo, SessionView, StoredVideo

FRAMES_PER_GROUP = 4


def names(videos: Sequence[StoredVideo], redaction: Redaction) -> dict[str, str]:
    """Return what each video is called, by id; two of one name get the beginning of their ids."""
    told = {video.video_id: redaction.name(video) for video in videos}
    often = Counter(told.values())
    return {
        video_id: f"{name} ({video_id[:SHORT_ID]})" if often[name] > 1 else name
        for video_id, name in told.items()
    }


def reported(
    video: StoredVideo, name: str, session: SessionView, redaction: Redaction, redactor: Redactor
) -> ReportedVideo:
    """Return how closely a video was looked at; of one that is not finished, as far as it is."""
    frames_seen, finished = video.frames_seen, video.state == "ready"
    if not finished:
        frames_seen = min(frames_seen, _frames_in(session.chunks(video)))
    missing = [redactor.text(line, video.video_id) for line in (*video.missing, *video.warnings)]
    return ReportedVideo(
        video_id=video.video_id,
        name=name,
        duration_s=video.duration_s,
        frames_seen=frames_seen,
        frames_in_file=video.frames_in_file,
        step_s=round(video.step_s, 3),
        instruments=video.instruments,
        missing=tuple(missing),
        path=redaction.path(video),
        finished=finished,
    )


def known_until_s(video: StoredVideo, session: SessionView) -> float:
    """Return up to where a video is in the store."""
    chunks = session.chunks(video)
    return chunks[-1].end_s if chunks else 0.0


def _frames_in(chunks: Sequence[Chunk]) -> int:
    return sum(chunk.num_groups for chunk in chunks) * FRAMES_PER_GROUP


def by_id(videos: Sequence[StoredVideo]) -> Mapping[str, StoredVideo]:
    """Return videos by id, each once, in their order."""
    return {video.video_id: video for video in videos}
