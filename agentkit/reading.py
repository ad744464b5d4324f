"""One question's way into a video's KV: what of it is read, scored and assembled.

Knows the KV tier and the rules; knows no note and no words of the answer.
"""

import logging
from collections.abc import Callable, Collection
from functools import cached_property
from typing import TypeVar

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
        kv = self._whole
        if kv is None:
            kv = self._read(whole if kind == "left_out" else None)
        self._stored.require_same_tokens()
        with self._clock.stage("assemble"):
            cache = kv.assemble(
                whole,
                room=room,
                chunk_groups=self._chunk_groups,
                sparse=SparseRule(kind, self._ask.pool_step),
                keep_ends=False,
                max_positions=None if self._rules.beyond_native else self._native,
            )
        self._tell_long(cache.length + room)
        return cache

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
