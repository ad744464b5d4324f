"""Ingest: source -> frames -> notes -> tokens and vectors -> store -> KV, chunk after chunk.

One transaction a chunk, so an ingest that was killed goes on from its last whole chunk. Knows no
question and no terminal; tells its progress through events.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentkit.ingesting import Ingesting
from agentkit.instruments import Instruments
from agentkit.kv_tier import KVTier
from agentkit.making import sampling_text
from agentkit.observing import Here, Looker, Observer
from agentkit.plugin_manager import Domain
from agentkit.rules import NOTES
from agentkit.types import (
    Embedder,
    Encoder,
    OnEvent,
    SamplingPlan,
    StoredVideo,
    VideoInfo,
)
from agentkit.video import plan_times, probe
from agentkit_storage import Store

logger = logging.getLogger(__name__)

WhyAnew = Callable[[], str | None]  # the reason, for people; None: there is none


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything an ingest runs on. One pipeline ingests any number of videos, one at a time."""

    store: Store
    domain: Domain
    instruments: Instruments
    encoder: Encoder
    embedder: Embedder
    kv: KVTier
    visual_space: str
    default_plan: SamplingPlan
    chunk_groups: int = 4
    collection: str = "default"  # of videos that are new
    allowed_roots: Sequence[Path] | None = None
    require_room: Callable[[VideoInfo, int], None] = lambda info, frames: None
    others: Looker | None = None  # who looks at the chunks in place of this process

    def ingest(
        self,
        path: Path,
        plan: SamplingPlan | None = None,
        on_event: OnEvent | None = None,
        why_anew: WhyAnew = lambda: None,
    ) -> StoredVideo:
        """Bring the video's content into the store, or find it there; return what is stored.

        `why_anew` is asked once no other process works on the video: what it says, if anything,
        is why the video is made anew although it is there.

        Raises:
            VideoError: the file cannot be read as video; nothing of it is kept then.
            RoomError: the video is too long for the device's memory; nothing is done then.
        """
        info = probe(path, allowed_roots=self.allowed_roots)
        plan = plan or self.domain.plan_sampling(info) or self.default_plan
        fingerprint = self.fingerprint(plan)
        times_s = plan_times(info, plan)  # may refuse the plan: before anything is removed
        self.require_room(info, len(times_s))
        run = Ingesting(self, info, plan, times_s, fingerprint, on_event or (lambda event: None))
        with self.store.ingest_lock(info.video_id, run.wait):
            run.before = self._before(info.video_id)
            run.anew = self._is_to_be_made_anew(info.video_id, fingerprint, why_anew)
            ready = run.before is not None and run.before.state == "ready" and not run.anew
            return run.skip() if ready else run.work()

    @property
    def looker(self) -> Looker:
        """Who looks at the chunks."""
        return self.others or Here(Observer(self.instruments, self.domain))

    def fingerprint(self, plan: SamplingPlan) -> str:
        """Return what the stored notes, tokens and vectors depend on besides the content."""
        as_int8 = self.encoder.name != NOTES and self.store.tokens_dtype != "lossless"
        return "|".join(
            [
                sampling_text(plan),
                f"chunk {self.chunk_groups}",
                self.instruments.fingerprint,
                self.encoder.fingerprint,
                self.embedder.fingerprint,
                self.domain.fingerprint,
                *([f"tokens {self.store.tokens_dtype}"] if as_int8 else []),
            ]
        )

    def _before(self, video_id: str) -> StoredVideo | None:
        """Return what people said of a video that is there: it stays when it is made anew."""
        known = self.store.fingerprint(video_id) is not None
        return self.store.video(video_id) if known else None

    def _is_to_be_made_anew(self, video_id: str, fingerprint: str, why_anew: WhyAnew) -> bool:
        """Say whether what the store has of a video is to be replaced."""
        stored = self.store.fingerprint(video_id)
        if stored is None:
            return False
        why = why_anew() or ("" if stored == fingerprint else "stored with other settings")
        if why:
            logger.warning("%s: %s; made anew", video_id[:12], why)
        return bool(why)
