"""Ingest: source -> frames -> notes -> tokens and vectors -> store -> KV, chunk after chunk.

One transaction a chunk, so an ingest that was killed goes on from its last whole chunk. Knows no
question and no terminal; tells its progress through events.
"""

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments import Instruments
from agentkit.kv_tier import KVTier
from agentkit.making import sampling_text
from agentkit.note_line import named, notes_of_group, searchable
from agentkit.plugin_manager import Domain
from agentkit.rules import NOTES
from agentkit.stages import StageClock
from agentkit.types import (
    Chunk,
    Embedder,
    Encoder,
    FrameBatch,
    GroupTokens,
    IngestEvent,
    Note,
    OnEvent,
    SamplingPlan,
    StoredVideo,
    VideoInfo,
)
from agentkit.video import plan_times, probe, sample
from agentkit_storage import ChunkRecord, GroupRecord, Segment, Store

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
        run = _Run(self, info, plan, times_s, fingerprint, on_event or (lambda event: None))
        with self.store.ingest_lock(info.video_id, run.wait):
            run.before = self._before(info.video_id)
            ready = self._ready(info.video_id, fingerprint, why_anew)
            return run.skip() if ready else run.work()

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

    def _ready(self, video_id: str, fingerprint: str, why_anew: WhyAnew) -> bool:
        """Say whether the store has exactly this; forget what it has that is to be made anew."""
        stored = self.store.fingerprint(video_id)
        if stored is None:
            return False
        if why := why_anew() or ("" if stored == fingerprint else "stored with other settings"):
            logger.warning("%s: %s; made anew", video_id[:12], why)
            self.store.remove_video(video_id)
            return False
        return self.store.video(video_id).state == "ready"


class _Run:
    """One ingest of one video."""

    def __init__(
        self,
        pipeline: Pipeline,
        info: VideoInfo,
        plan: SamplingPlan,
        times_s: NDArray[np.float64],  # [frames]
        fingerprint: str,
        on_event: OnEvent,
    ) -> None:
        self._pipeline = pipeline
        self._store = pipeline.store
        self._info = info
        self._plan = plan
        self._times_s = times_s
        self._fingerprint = fingerprint
        self._on_event = on_event
        self._clock = StageClock()
        self._missing_before: tuple[str, ...] = ()  # in a run that was killed
        self._warnings = list(info.warnings)
        self._chunks_expected = 0
        self.before: StoredVideo | None = None  # as it was stored when this ingest began

    def wait(self, waited_s: float) -> None:
        """Tell that another process is at work on this very video."""
        self._tell("stage", stage="waiting", message="another process ingests this video")

    def skip(self) -> StoredVideo:
        """Return what is stored, its KV completed where it is of other settings or was dropped."""
        self._store.update_video(self._info.video_id, path=str(self._info.path))
        stored = self._store.video(self._info.video_id)
        kv = self._pipeline.kv.of(stored)
        if kv.missing():
            self._tell("stage", stage="prefill")
            kv.fill()
        self._chunks_expected = stored.chunks
        self._tell("skip", chunk=stored.chunks, message="in the store already")
        return stored

    def work(self) -> StoredVideo:
        """Do what is left of this video."""
        groups = math.ceil(len(self._times_s) / self._plan.frames_per_group)
        self._chunks_expected = math.ceil(groups / self._pipeline.chunk_groups)
        video = self._stored(self._times_s)
        self._store.add_video(video, self._fingerprint)
        if video.pinned:
            self._store.pin_kv(video.video_id)
        self._missing_before = self._store.video(self._info.video_id).missing
        done = self._store.num_chunks(self._info.video_id)
        self._tell("start", chunk=done)
        self._pipeline.instruments.start(self._info)
        sound = self._sound_notes()
        prefill = self._pipeline.kv.of(video).prefill()
        for chunk in self._new_chunks(done, sound):
            with self._clock.stage("prefill"):
                prefill.add(chunk)
            self._tell("chunk", chunk=chunk.index + 1, stage="frames")
        with self._clock.stage("prefill"):
            prefill.close()
        return self._finish()

    def _stored(self, times_s: NDArray[np.float64]) -> StoredVideo:
        info, instruments, before = self._info, self._pipeline.instruments, self.before
        step_s = float(np.diff(times_s).mean()) if len(times_s) > 1 else info.duration_s
        return StoredVideo(
            video_id=info.video_id,
            path=str(info.path),
            duration_s=info.duration_s,
            frames_in_file=info.frames_in_file,
            frames_seen=len(times_s),
            step_s=step_s,
            chunks=self._chunks_expected,
            state="ingesting",
            tiers=(),
            title=info.title,
            width_px=info.size_px[0],
            height_px=info.size_px[1],
            has_sound=info.has_sound,
            instruments=instruments.names,
            missing=instruments.missing,
            warnings=info.warnings,
            collection=before.collection if before else self._pipeline.collection,
            pinned=before is not None and before.pinned,
            tags=before.tags if before else (),
            domain=self._pipeline.domain.name,
        )

    def _sound_notes(self) -> list[Note]:
        """Return the notes of the sound track, listened to once and kept."""
        kept = self._store.sound_notes(self._info.video_id)
        if kept is not None:
            return list(kept)
        duration_s = max(self._info.duration_s, 1e-9)
        self._tell("stage", stage="speech")
        with self._clock.stage("speech"):
            notes = self._pipeline.instruments.listen(
                self._info,
                lambda heard_s: self._tell("stage", stage="speech", share=heard_s / duration_s),
            )
        if self._note_missing():
            return notes  # a listener failed: what it would have heard is not known
        self._store.put_sound_notes(self._info.video_id, notes)
        return notes

    def _note_missing(self) -> bool:
        """Keep which instruments failed so far, so that a kill forgets none; say if any did."""
        missing = self._missing()
        failed = set(missing) != set(self._missing_before)
        if failed:
            self._store.update_video(self._info.video_id, missing=missing)
            self._missing_before = missing
        return failed

    def _missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._missing_before, *self._pipeline.instruments.missing]))

    def _new_chunks(self, done: int, sound: Sequence[Note]) -> Iterator[Chunk]:
        """Yield the chunks that were not stored yet, each after its transaction."""
        first_group = done * self._pipeline.chunk_groups
        observed = self._observed(first_group)
        for index in itertools.count(done):
            groups = list(itertools.islice(observed, self._pipeline.chunk_groups))
            if not groups:
                return
            record = self._record(index, groups, sound)
            with self._clock.stage("store"):
                self._store.add_chunk(record)
            self._note_missing()
            yield record.chunk

    def _observed(self, first_group: int) -> Iterator[tuple[FrameBatch, list[Note]]]:
        """Yield each group with its notes; the group before the first is shown, not kept."""
        instruments, size = self._pipeline.instruments, self._pipeline.chunk_groups
        warm_up = max(first_group - 1, 0)
        batches = sample(
            self._info, self._plan, start_group=warm_up, on_warning=self._warnings.append
        )
        for batch in self._clock.each("decode", batches):
            with self._clock.stage("instruments"):
                notes = instruments.observe(batch, batch.index % size == 0)
            if batch.index >= first_group:
                yield batch, notes

    def _record(
        self, index: int, groups: list[tuple[FrameBatch, list[Note]]], sound: Sequence[Note]
    ) -> ChunkRecord:
        chunk = Chunk(
            video_id=self._info.video_id,
            index=index,
            start_s=float(groups[0][0].times_s[0]),
            end_s=groups[-1][0].end_s,
            first_group=groups[0][0].index,
            num_groups=len(groups),
        )
        heard = [note for note in sound if chunk.start_s <= note.start_s < self._sound_end_s(chunk)]
        seen = [note for _, notes in groups for note in notes]
        batches = [batch for batch, _ in groups]
        added = self._pipeline.domain.describe_chunk(chunk, batches, [*seen, *heard])
        tokens = self._encode(groups, [*sound, *added])
        notes = (*seen, *heard, *added)
        with self._clock.stage("embed"):
            segments = self._segments(notes)
            visual = self._pipeline.encoder.pooled(tokens)
        return ChunkRecord(
            chunk=chunk,
            notes=notes,
            groups=tuple(
                _stored_group(batch.index, group)
                for batch, group in zip(batches, tokens, strict=True)
            ),
            segments=segments,
            visual=visual,
            visual_space=self._pipeline.visual_space,
        )

    def _sound_end_s(self, chunk: Chunk) -> float:
        """Return where this chunk's sound ends: the last one has what outlasts the picture too."""
        last = chunk.index == self._chunks_expected - 1
        return math.inf if last else chunk.end_s

    def _encode(
        self, groups: list[tuple[FrameBatch, list[Note]]], others: Sequence[Note]
    ) -> list[GroupTokens]:
        batches = [batch for batch, _ in groups]
        notes = [notes_of_group([*seen, *others], batch) for batch, seen in groups]
        with self._clock.stage("encode"):
            return self._pipeline.encoder.encode(batches, notes)

    def _segments(self, notes: Sequence[Note]) -> tuple[Segment, ...]:
        passages = searchable(notes)
        vectors = self._pipeline.embedder.embed([named(p.kind, p.text) for p in passages])
        return tuple(
            Segment(p.start_s, p.end_s, p.kind, p.text, vector)
            for p, vector in zip(passages, vectors, strict=True)
        )

    def _finish(self) -> StoredVideo:
        video_id = self._info.video_id
        chunks = self._store.num_chunks(video_id)
        self._store.update_video(
            video_id,
            state="ready",
            instruments=self._pipeline.instruments.names,
            missing=self._missing(),
            warnings=tuple(self._warnings),
        )
        for line in self._warnings:
            logger.warning("%s", line)
        self._chunks_expected = chunks
        self._tell("done", chunk=chunks)
        logger.info("%s: seconds per stage %s", self._info.path, dict(self._clock.seconds))
        return self._store.video(video_id)

    def _tell(
        self,
        event: str,
        chunk: int = 0,
        stage: str = "",
        share: float = 0.0,
        message: str = "",
    ) -> None:
        self._on_event(
            IngestEvent(
                event=event,  # type: ignore[arg-type] # the callers above name known events
                video_id=self._info.video_id,
                path=str(self._info.path),
                chunk=chunk,
                of=self._chunks_expected,
                seconds=self._clock.total_s,
                stage=stage,
                share=min(share, 1.0),
                message=message,
            )
        )


def _stored_group(index: int, group: GroupTokens) -> GroupRecord:
    return GroupRecord(
        index=index,
        start_s=group.start_s,
        end_s=group.end_s,
        time_text=group.time_text,
        text=group.text,
        ids=None if group.ids is None else tuple(int(i) for i in group.ids),
        rows=group.rows,
    )
