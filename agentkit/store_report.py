"""What a store takes and who works on it, in one value. Knows the store; knows no terminal."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath

from agentkit.types import StoredVideo
from agentkit_storage import Job, Owner, Store, VideoBytes

TIERS = ("notes", "vectors", "tokens", "kv")


@dataclass(frozen=True, slots=True)
class VideoReport:
    """The bytes of one video, who holds it, and which of its chunks workers have."""

    video_id: str
    name: str
    notes: int
    vectors: int
    tokens: int
    kv: int
    owner: Owner | None
    jobs: tuple[Job, ...]

    def owner_words(self) -> Iterator[str]:
        """Yield who works on it, and how long ago that was said."""
        if self.owner is not None:
            ago_s = max(time.time() - self.owner.beat_at, 0.0)
            yield f"process {self.owner.pid} on {self.owner.host}, heard of {ago_s:.0f} s ago"

    def job_words(self) -> Iterator[str]:
        """Yield the chunks that workers were given and that are not stored, like ones together."""
        for _, alike in groupby(enumerate(self.jobs), lambda item: _alike(*item)):
            jobs = [job for _, job in alike]
            first, last = jobs[0], jobs[-1]
            which = (
                f"chunk {first.chunk}" if first is last else f"chunks {first.chunk}-{last.chunk}"
            )
            error = f": {first.error}" if first.error else ""
            yield f"{which} with {first.worker}, attempt {first.attempts}{error}"


def _alike(at: int, job: Job) -> tuple[int, str, int, str]:
    """Return what is the same for chunks that follow each other and of which the same is said."""
    return job.chunk - at, job.worker, job.attempts, job.error


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The bytes of a store; `tiers` are the sums of its videos, which may share blobs."""

    videos: tuple[VideoReport, ...]
    tiers: Mapping[str, int]
    database: int
    index: int
    blobs: int
    unreferenced: int
    kv_budget: int | None


def report_of(store: Store, kv_budget_bytes: int | None) -> StoreReport:
    """Count a store's bytes, and ask who works on what."""
    stats, known = store.stats(), {video.video_id: video for video in store.videos()}
    return StoreReport(
        videos=tuple(
            _video(store, each, known[each.video_id])
            for each in stats.videos
            if each.video_id in known  # else removed since it was counted
        ),
        tiers={tier: sum(getattr(each, tier) for each in stats.videos) for tier in TIERS},
        database=stats.database,
        index=stats.index,
        blobs=stats.blobs,
        unreferenced=stats.unreferenced,
        kv_budget=kv_budget_bytes,
    )


def _video(store: Store, found: VideoBytes, video: StoredVideo) -> VideoReport:
    # Chunks that were given away and that a damaged end never brought are nobody's work any more.
    jobs = () if video.state == "ready" else tuple(store.jobs(video.video_id))
    return VideoReport(
        video_id=found.video_id,
        name=PurePath(video.path).name or found.video_id[:12],
        notes=found.notes,
        vectors=found.vectors,
        tokens=found.tokens,
        kv=found.kv,
        owner=store.owner(found.video_id),
        jobs=jobs,
    )
