"""One question's way into a video's KV: what of it is read, scored and assembled.

Knows the KV tier and the rules; knows no note and no words of the answer.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, TypeVar

from agentkit.config import AskSettings
from agentkit.kv_tier import KVTier, StoredKV
from agentkit.rules import Rules
from agentkit.stages import StageClock
from agentkit.types import StoredVideo
from agentkit_storage.errors import DamagedChunkError
from videoxl2_model.config import SparseRule
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.prompting import seconds_for_clock_times

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Reading:
    """The KV of one video, as it is when this is made, for one question.

    `tier` says what it is read from: at first the one given.
    """

    def __init__(
        self,
        kv: KVTier,
        video: StoredVideo,
        rules: Rules,
        ask: AskSettings,
        chunk_groups: int,
        clock: StageClock,
        tier: str = "kv",
    ) -> None:
        self.tier = tier
        self._kv, self._stored = kv, kv.of(video)
        self._rules, self._ask = rules, ask
        self._chunk_groups = chunk_groups
        self._clock = clock
        self._whole: VideoKV | None = None  # all of it, where it was read already

    @property
    def keeps_ends(self) -> bool:
        """Whether the first and the last chunk are read whole, whatever is chosen."""
        return self._rules.keep_ends and self._ask.context != "retrieval"

    def require_same(self) -> None:
        """Make sure that the video is still as it was; RemadeError where it is not."""
        self._stored.require_same_tokens()

    def chunk_tokens(self) -> list[int]:
        """Return how many tokens each chunk has."""
        return self._from_store(StoredKV.tokens)

    def scores(self, question: str) -> list[float]:
        """Return how much a question looks at each group; reads everything."""
        self._whole = self._read(None)
        with self._clock.stage("score"):
            scores: list[float] = self._kv.model.score(self._whole, self.as_read(question)).tolist()
        return scores

    def as_read(self, text: str) -> str:
        """Return a text as the model was taught to read it: the video model knows no MM:SS."""
        return seconds_for_clock_times(text) if self._rules.sees_pictures else text

    def assembled(self, dense: Collection[int], room: int) -> DecodeCache:
        """Return the cache to decode over, with `room` positions for question and answer."""
        alone = self._ask.context == "retrieval"
        kind, whole = ("left_out", ()) if alone else (self._rules.sparse, dense)
        limits: dict[str, Any] = {
            "room": room,
            "chunk_groups": self._chunk_groups,
            "max_positions": None if self._rules.beyond_native else self._native,
        }
        if kind == "pooled" and self._is_kept_pooled(dense):
            cache = self._beside_pooled(dense, limits)
        else:
            kv = self._whole
            if kv is None:
                kv = self._read(whole if kind == "left_out" else None)
            sparse = SparseRule(kind, self._ask.pool_step)
            self._stored.require_same_tokens()
            with self._clock.stage("assemble"):
                cache = kv.assemble(whole, sparse=sparse, keep_ends=False, **limits)
        self._tell_long(cache.length + room)
        return cache

    def _is_kept_pooled(self, dense: Collection[int]) -> bool:
        """Say whether there are other chunks, not read yet, whose averages the store keeps."""
        if self._whole is not None or self._kv.pool_step != self._ask.pool_step:
            return False
        return len(set(dense)) < self._kv.store.num_chunks(self._stored.video_id)

    def _beside_pooled(self, dense: Collection[int], limits: Mapping[str, Any]) -> DecodeCache:
        """Return the cache of the chosen chunks, read whole, and of the others as kept pooled."""
        with self._clock.stage("read"):
            pooled = self._from_store(StoredKV.read_pooled)
        chosen = self._read(dense)
        self._stored.require_same_tokens()
        with self._clock.stage("assemble"):
            return chosen.assemble_beside(pooled, dense, **limits)

    @cached_property
    def _native(self) -> int:
        return self._kv.model.max_positions

    def _tell_long(self, positions: int) -> None:
        if positions > self._native:
            logger.warning(
                "%d positions are more than the %d that the language model was trained for;"
                " keep fewer chunks whole, or pool more, if answers suffer",
                positions,
                self._native,
            )

    def _read(self, wanted: Collection[int] | None) -> VideoKV:
        """Return the KV with the chunks in `wanted`; None: with all."""
        with self._clock.stage("read"):
            return self._from_store(lambda stored: stored.read(wanted))

    def _from_store(self, read: Callable[[StoredKV], T]) -> T:
        """Return what `read` gives of the video's KV, made first where it is missing or damaged."""
        stored = self._completed()
        try:
            return read(stored)
        except DamagedChunkError as error:
            logger.warning("%s; the KV is made anew from its tokens", error)
            self._kv.store.drop_kv(stored.video_id, stored.fingerprint)
            return read(self._completed())

    def _completed(self) -> StoredKV:
        """Return the KV, whole.

        Raises:
            DamagedChunkError: the tokens that it has to be made from are damaged.
        """
        if self._stored.complete() and self.tier == "kv":
            self.tier = "tokens"
        return self._stored
