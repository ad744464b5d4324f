"""One ingest of one video: what is looked at becomes tokens and vectors, stored chunk by chunk.

Knows the store and the encoder; does not know which process looks.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentkit.note_line import named, notes_of_group, searchable
from agentkit.observing import Look, ObservedChunk, Sight
from agentkit.stages import StageClock
from agentkit.types import (
    Chunk,
    GroupTokens,
    IngestEvent,
    Note,
    OnEvent,
    SamplingPlan,
    StoredVideo,
    VideoInfo,
)
from agentkit_storage import ChunkRecord, GroupRecord, Segment

if TYPE_CHECKING:
    from agentkit.pipeline import Pipeline

logger = logging.getLogger(__name__)


class Ingesting:
    """One ingest of one video."""

    def __init__(
        self,
        pipeline: "Pipeline",
        info: VideoInfo,
        plan: SamplingPlan,
        times_s: NDArray[np.float64],  # [frames]
        fingerprint: str,
        on_event: OnEvent,
    ) -> None:
        self._pipeline = pipeline
        self._store = pipeline.store
        self._info = info
        self._times_s = times_s
        self._fingerprint = fingerprint
        self._on_event = on_event
        self._clock = StageClock()
        self._missing_before: tuple[str, ...] = ()  # in a run that was killed
        self._warnings = list(info.warnings)
        groups = math.ceil(len(times_s) / plan.frames_per_group)
        self._sight = Sight(
            info, plan, pipeline.chunk_groups, math.ceil(groups / pipeline.chunk_groups)
        )
        self.before: StoredVideo | None = None  # as it was stored when this ingest began
        self.anew = False  # what is stored is replaced, in one transaction

    def wait(self, waited_s: float) -> None:
        """Tell that another process is at work on this very video, and which."""
        owner = self._store.owner(self._info.video_id)
        who = f" ({owner.host}, process {owner.pid})" if owner else ""
        self._tell("stage", stage="waiting", message=f"another process{who} ingests this video")

    def skip(self) -> StoredVideo:
        """Return what is stored, its KV completed where it is of other settings or was dropped."""
        self._store.update_video(self._info.video_id, path=str(self._info.path))
        stored = self._store.video(self._info.video_id)
        kv = self._pipeline.kv.of(stored)
        if kv.missing():
            self._tell("stage", stage="prefill")
            kv.fill()
        self._tell("skip", stored.chunks, stored.chunks, message="in the store already")
        return stored

    def work(self) -> StoredVideo:
        """Do what is left of this video."""
        self._pipeline.instruments.start(self._info)
        video = self._stored(self._times_s)
        self._store.add_video(video, self._fingerprint, self.anew)
        self._missing_before = self._store.video(self._info.video_id).missing
        done = self._store.num_chunks(self._info.video_id)
        self._tell("start", chunk=done)
        kept = self._store.sound_notes(self._info.video_id)
        with closing(self._look(done, listens=kept is None)) as look:
            sound = self._hear(look) if kept is None else kept
            prefill = self._pipeline.kv.of(video).prefill()
            for chunk in self._new_chunks(look, sound):
                with self._clock.stage("prefill"):
                    prefill.add(chunk)
                self._tell("chunk", chunk=chunk.index + 1, stage="frames")
            with self._clock.stage("prefill"):
                prefill.close()
            return self._finish(look)

    def _look(self, first: int, listens: bool) -> Look:
        return self._pipeline.looker.look(
            self._sight, first, listens, self._clock, self._warnings.append
        )

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
            chunks=self._sight.chunks,
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

    def _hear(self, look: Look) -> Sequence[Note]:
        """Return the notes of the sound track, listened to once and kept."""
        duration_s = max(self._info.duration_s, 1e-9)
        self._tell("stage", stage="speech")
        with self._clock.stage("speech"):
            notes = look.listen(
                lambda heard_s: self._tell("stage", stage="speech", share=heard_s / duration_s)
            )
        if self._note_missing(look):
            return notes  # a listener failed: what it would have heard is not known
        self._store.put_sound_notes(self._info.video_id, notes)
        return notes

    def _note_missing(self, look: Look) -> bool:
        """Keep which instruments failed so far, so that a kill forgets none; say if any did."""
        missing = self._missing(look)
        failed = set(missing) != set(self._missing_before)
        if failed:
            self._store.update_video(self._info.video_id, missing=missing)
            self._missing_before = missing
        return failed

    def _missing(self, look: Look) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._missing_before, *look.missing]))

    def _new_chunks(self, look: Look, sound: Sequence[Note]) -> Iterator[Chunk]:
        """Yield the chunks that were not stored yet, each after its transaction."""
        for observed in look.chunks(sound):
            record = self._record(observed, sound)
            with self._clock.stage("store"):
                self._store.add_chunk(record)
            self._note_missing(look)
            yield record.chunk

    def _record(self, observed: ObservedChunk, sound: Sequence[Note]) -> ChunkRecord:
        """Encode and embed a chunk that was looked at."""
        seen = [note for notes in observed.seen for note in notes]
        heard = self._sight.heard_in(observed.chunk, sound)
        tokens = self._encode(observed, [*sound, *observed.added])
        notes = (*seen, *heard, *observed.added)
        with self._clock.stage("embed"):
            segments = self._segments(notes)
            visual = self._pipeline.encoder.pooled(tokens)
        return ChunkRecord(
            chunk=observed.chunk,
            notes=notes,
            groups=tuple(
                _stored_group(batch.index, group)
                for batch, group in zip(observed.batches, tokens, strict=True)
            ),
            segments=segments,
            visual=visual,
            visual_space=self._pipeline.visual_space,
        )

    def _encode(self, observed: ObservedChunk, others: Sequence[Note]) -> list[GroupTokens]:
        notes = [
            notes_of_group([*seen, *others], batch)
            for batch, seen in zip(observed.batches, observed.seen, strict=True)
        ]
        with self._clock.stage("encode"):
            return self._pipeline.encoder.encode(observed.batches, notes)

    def _segments(self, notes: Sequence[Note]) -> tuple[Segment, ...]:
        passages = searchable(notes)
        vectors = self._pipeline.embedder.embed([named(p.kind, p.text) for p in passages])
        return tuple(
            Segment(p.start_s, p.end_s, p.kind, p.text, vector)
            for p, vector in zip(passages, vectors, strict=True)
        )

    def _finish(self, look: Look) -> StoredVideo:
        video_id = self._info.video_id
        chunks = self._store.num_chunks(video_id)
        self._store.update_video(
            video_id,
            state="ready",
            instruments=look.names,
            missing=self._missing(look),
            warnings=tuple(self._warnings),
        )
        for line in self._warnings:
            logger.warning("%s", line)
        self._tell("done", chunks, chunks)
        logger.info("%s: seconds per stage %s", self._info.path, dict(self._clock.seconds))
        return self._store.video(video_id)

    def _tell(
        self,
        event: str,
        chunk: int = 0,
        of: int | None = None,  # by default what is expected
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
                of=self._sight.chunks if of is None else of,
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
