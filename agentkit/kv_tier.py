"""A video's prefilled KV: made once from stored tokens, kept in the store, read in part.

Knows the model's cache and the store; knows no frame, no instrument and no question.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray

from agentkit.errors import RemadeError
from agentkit.types import StoredVideo
from agentkit_storage import GroupRecord, Store
from agentkit_storage.errors import DamagedChunkError, StoreError
from agentkit_storage.types import Chunk
from videoxl2_model.config import PrefillConfig
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.kv_parts import names_of
from videoxl2_model.model import LanguageModel
from videoxl2_model.prefill import Prefill, TokenGroup

logger = logging.getLogger(__name__)

SYSTEM_PART = -1  # the index under which the store keeps the prompt's own KV
POOLED = "pooled."  # before the names of a chunk's pooled form, in the same blob

Key = tuple[str, int, bool]  # fingerprint, chunks, pooled


class LastRead:
    """The KV that was read of a whole video last, for the next question to it."""

    def __init__(self) -> None:
        self._key: Key | None = None
        self._kv: VideoKV | None = None

    def get(self, key: Key, read: Callable[[], VideoKV]) -> VideoKV:
        """Return the KV of `key`; another one is let go before this one is read."""
        if self._kv is None or self._key != key:
            self.forget()
            self._kv = read()
            self._key = key
        return self._kv

    def forget(self) -> None:
        self._key = self._kv = None


@dataclass(frozen=True, slots=True)
class KVTier:
    """How a session makes KV and where it keeps it; `making` names the weights.

    `last`, if there is one, spares reading the same gigabytes for every question. With a
    `pool_step` each chunk is kept twice, whole and pooled by it, so that a question reads a part.
    """

    store: Store
    model: LanguageModel
    config: PrefillConfig
    making: str
    dtype: torch.dtype
    system_prompt: Callable[[StoredVideo], str]
    last: LastRead | None = None
    pool_step: int | None = None

    @property
    def held_dtype(self) -> torch.dtype:
        """The number type in memory: the model's own, but 8 bits where KV is kept in 8."""
        return torch.int8 if self.dtype == torch.int8 else self.model.decoder.dtype

    def of(self, video: StoredVideo) -> "StoredKV":
        """Return one video's KV under its domain's prompt and these settings."""
        system = self.system_prompt(video)
        tokens = self.store.fingerprint(video.video_id)
        made = f"{self.making}|{self.dtype}|{self.config}|{system}|{tokens}"
        made += "" if self.pool_step is None else f"|pooled by {self.pool_step}"
        fingerprint = sha256(made.encode()).hexdigest()
        return StoredKV(self, video.video_id, video.chunks, system, tokens, fingerprint)


@dataclass(frozen=True, slots=True)
class StoredKV:
    """The KV of one video of one making; `tokens_making` is that of the tokens it is made from."""

    tier: KVTier
    video_id: str
    chunks: int  # that there were when this was made; more may come
    system: str
    tokens_making: str | None
    fingerprint: str

    def require_same_tokens(self) -> None:
        """Make sure that the video is still the one that this KV was named for.

        Raises:
            RemadeError: it was made anew since, so chunks and KV would be of two makings, or is
                being made anew, so that chunks are missing which a search may have needed.
        """
        store = self.tier.store
        is_same = store.fingerprint(self.video_id) == self.tokens_making
        if not is_same or store.num_chunks(self.video_id) < self.chunks:
            raise RemadeError(
                f"video {self.video_id[:12]}: made anew or removed while it was asked; ask again"
            )

    def missing(self) -> int:
        """Return how many chunks have stored tokens and no stored KV."""
        return self.tier.store.num_chunks(self.video_id) - self.leading()

    def leading(self) -> int:
        """Return how many chunks from the first on have their KV stored, without a gap."""
        have = self.tier.store.kv_indices(self.video_id, self.fingerprint)
        count = 0
        while count in have:
            count += 1
        return count if SYSTEM_PART in have else 0

    def complete(self) -> int:
        """Prefill what is missing, one process at a time; return how many chunks that were.

        Raises:
            RemadeError: another process made the video anew with other settings meanwhile.
            DamagedChunkError: the tokens are damaged.
        """
        if not self.missing():
            return 0
        with self.tier.store.ingest_lock(self.video_id):
            self.require_same_tokens()
            return self.fill()

    def fill(self) -> int:
        """Do what `complete` does, for a caller that holds the video's ingest lock already."""
        missing = self.missing()
        if missing:
            self.prefill().close()
        return missing

    def prefill(self) -> "VideoPrefill":
        """Return a prefill that goes on after what is stored."""
        return VideoPrefill(self)

    def read(self, wanted: Collection[int] | None = None) -> VideoKV:
        """Return the KV with the chunks in `wanted`, all by default; others may only be left out.

        Raises:
            DamagedChunkError: a stored part does not match its checksum.
        """
        self.tier.store.touch_kv(self.video_id, self.fingerprint)
        chunks, last = self.tier.store.chunks(self.video_id), self.tier.last
        if wanted is not None or last is None:
            return self.read_chunks(chunks, wanted)
        key = (self.fingerprint, len(chunks), False)
        return last.get(key, lambda: self.read_chunks(chunks, None))

    def read_pooled(self) -> VideoKV:
        """Return the KV with every chunk in its pooled form: a part of the bytes.

        Raises:
            DamagedChunkError: a stored part does not match its checksum.
        """
        chunks, last = self.tier.store.chunks(self.video_id), self.tier.last

        def read() -> VideoKV:
            parts = ((each.num_groups, self._part(each.index, POOLED)) for each in chunks)
            # Averages are not rounded again, whatever the type that they are kept in.
            return self._of_parts(parts, self.tier.model.decoder.dtype)

        if last is None:
            return read()
        return last.get((self.fingerprint, len(chunks), True), read)

    def read_chunks(self, chunks: Sequence[Chunk], wanted: Collection[int] | None) -> VideoKV:
        """Return the KV of a run of chunks from the first on, read where `wanted` says so."""
        parts = (
            (each.num_groups, self._part(each.index) if self._is_wanted(each, wanted) else None)
            for each in chunks
        )
        return self._of_parts(parts, self.tier.held_dtype)

    def _of_parts(
        self, parts: Iterable[tuple[int, Mapping[str, torch.Tensor] | None]], dtype: torch.dtype
    ) -> VideoKV:
        decoder = self.tier.model.decoder
        return VideoKV.from_parts(
            self._read(SYSTEM_PART, None),
            parts,
            dtype=dtype,
            device=decoder.device,
            compute_dtype=decoder.dtype,
        )

    @staticmethod
    def _is_wanted(chunk: Chunk, wanted: Collection[int] | None) -> bool:
        return wanted is None or chunk.index in wanted

    def tokens(self) -> list[int]:
        """Return how many tokens each chunk has; reads no key and no value."""
        store = self.tier.store
        return [
            sum(int(lengths.sum()) for lengths in self._lengths(chunk.index))
            for chunk in store.chunks(self.video_id)
        ]

    def _lengths(self, index: int) -> Iterable[NDArray[np.int64]]:
        """Return the lengths [groups] of one chunk's time texts, and of what comes after them."""
        names = ("time_lengths", "token_lengths")
        return self.tier.store.kv(self.video_id, self.fingerprint, index, names).values()

    def put_chunk(self, chunk: Chunk, kv: VideoKV) -> None:
        """Store one chunk's KV, in both forms where pooled ones are kept."""
        span, dtype = (chunk.first_group, chunk.first_group + chunk.num_groups), self.tier.dtype
        part = kv.part(*span, dtype)
        if self.tier.pool_step is not None:
            pooled = kv.pooled_part(*span, self.tier.pool_step, dtype)
            part |= {POOLED + name: tensor for name, tensor in pooled.items()}
        self.put(chunk.index, part)

    def put(self, index: int, part: Mapping[str, torch.Tensor]) -> None:
        """Store the arrays of a chunk, or the prompt's under SYSTEM_PART."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in part.items()}
        self.tier.store.put_kv(self.video_id, self.fingerprint, index, arrays)

    def _part(self, index: int, form: str = "") -> dict[str, torch.Tensor]:
        """Return one chunk's arrays in one form; of the other nothing is read."""
        return self._read(index, [form + name for name in names_of(self.tier.dtype)])

    def _read(self, index: int, names: Sequence[str] | None) -> dict[str, torch.Tensor]:
        stored = self.tier.store.kv(self.video_id, self.fingerprint, index, names)
        return {
            name.removeprefix(POOLED): torch.from_numpy(array) for name, array in stored.items()
        }


class VideoPrefill:
    """Prefills one video, chunk after chunk, and stores each chunk's KV as soon as it is whole."""

    def __init__(self, stored: StoredKV) -> None:
        self._stored = stored
        self._store, self._model = stored.tier.store, stored.tier.model
        if stored.tier.last is not None:
            stored.tier.last.forget()
        self._saved = stored.leading()
        self._chunks = self._store.chunks(stored.video_id)
        kv = self._stored_so_far()
        self._prefill = Prefill(
            self._model.decoder,
            self._model.system_ids(stored.system),
            stored.tier.config,
            kv,
            kv_dtype=stored.tier.held_dtype,
        )
        self._take(self._chunks[self._saved :])

    def add(self, chunk: Chunk) -> None:
        """Take in the next chunk; the store holds its tokens already."""
        self._chunks.append(chunk)
        self._take([chunk])

    def close(self) -> None:
        """Prefill what is pending and store it; other videos' KV makes room for it."""
        self._prefill.flush()
        self._save_whole()
        self._trim()

    def _stored_so_far(self) -> VideoKV | None:
        """Return the KV to go on from; none where there is none, or where it is damaged."""
        if not self._saved:
            return None
        try:
            return self._stored.read_chunks(self._chunks[: self._saved], None)
        except DamagedChunkError as error:
            logger.warning("%s; the KV is made anew from its tokens", error)
            self._store.drop_kv(self._stored.video_id, self._stored.fingerprint)
            self._saved = 0
            return None

    def _trim(self) -> None:
        try:
            self._store.trim_kv(keep=[self._stored.video_id])
        except StoreError as error:  # what was made is stored, and the next time trims again
            logger.warning("the KV is not kept to its budget: %s", error)

    def _take(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            stop = chunk.first_group + chunk.num_groups
            for group in self._store.groups(self._stored.video_id, chunk.first_group, stop):
                self._prefill.add(self._token_group(group))
            self._save_whole()

    def _save_whole(self) -> None:
        """Store the chunks whose last group is in the KV by now, the prompt's part first."""
        kv = self._prefill.kv
        for chunk in self._chunks[self._saved :]:
            stop = chunk.first_group + chunk.num_groups
            if stop > kv.num_groups:
                return
            if self._saved == 0:
                self._stored.put(SYSTEM_PART, kv.system_part(self._stored.tier.dtype))
            self._stored.put_chunk(chunk, kv)
            self._saved += 1

    def _token_group(self, group: GroupRecord) -> TokenGroup:
        return TokenGroup(
            time_ids=tuple(self._model.encode(group.time_text)),
            ids=group.ids,
            rows=None if group.rows is None else torch.from_numpy(group.rows),
        )
