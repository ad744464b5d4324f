"""What to do about each problem that the store found: said for people who have the commands."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from agentkit.types import StoredVideo
from agentkit_storage import Problem

ANALYSIS = "the analysis "  # begins what is said of what a domain found out
BLOB = "blob "  # begins what is said of a file that only its own hash contradicts


@dataclass(frozen=True, slots=True)
class Remedied:
    """One problem of a store, with its video's name and its remedy; without a video: of all."""

    what: str
    remedy: str
    video_id: str | None = None
    name: str = ""
    start_s: float | None = None
    end_s: float | None = None


def remedied(problems: Iterable[Problem], videos: Iterable[StoredVideo]) -> list[Remedied]:
    """Return each problem with its remedy, in the same order."""
    found, by_id = list(problems), {video.video_id: video for video in videos}
    # A file of tokens is contradicted by its chunk as well; one of KV by its own hash alone.
    of_chunks = {_place(problem) for problem in found if not problem.what.startswith(BLOB)}
    return [_with_remedy(problem, by_id, _place(problem) not in of_chunks) for problem in found]


def _place(problem: Problem) -> tuple[str | None, float | None, float | None]:
    return problem.video_id, problem.start_s, problem.end_s


def _with_remedy(problem: Problem, videos: Mapping[str, StoredVideo], is_of_kv: bool) -> Remedied:
    video_id = problem.video_id or ""
    video = videos.get(video_id)
    if video is None:
        return Remedied(problem.what, _of_the_database(problem.what), problem.video_id)
    remedy = _of_the_video(video)
    if problem.what.startswith(ANALYSIS):
        remedy = "no answer rests on it: the next report makes it anew"
    elif is_of_kv and problem.what.startswith(BLOB):
        remedy = _of_kv()
    name = PurePath(video.path).name or video_id[:12]
    span_s = problem.start_s, problem.end_s
    return Remedied(_without_place(problem.what), remedy, video_id, name, *span_s)


def _without_place(what: str) -> str:
    """Return what an error of a chunk says, without the video, the time and its own remedy."""
    if not what.startswith("video "):
        return what
    return what.partition(": ")[2].rpartition("; ")[0] or what


def _of_kv() -> str:
    return "no answer rests on it: the next question that reads it makes the KV anew"


def _of_the_video(video: StoredVideo) -> str:
    return f"make it anew: agentkit ingest --anew {shlex.quote(video.path)}"


def _of_the_database(what: str) -> str:
    if "agentkit store" in what:
        return ""  # it is said already
    return "put a copy of the store in its place, or ingest the videos into another store"
