"""Small frozen settings, checked where they are made. Knows no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from numbers import Integral
from typing import Any, Literal, get_args

from videoxl2_model.errors import SettingError

StepWeights = Literal["auto", "model", "bfloat16", "int8"]
SparseKind = Literal["pooled", "time_only", "left_out"]
WeightKind = Literal["model", "int8", "int4"]  # "model": as the checkpoint holds them
RelevanceKind = Literal["all", "none", "chunks", "units", "attention", "scores"]

FRAMES_PER_GROUP = 4
GRID = 24  # positions a side of a frame after interpolation: what DTS works on
POOL_STRIDE = 2
TOKENS_PER_GROUP = (GRID // POOL_STRIDE) ** 2  # 144


def whole(name: str, value: object, least: int) -> int:
    """Return a number that counts something.

    Raises:
        SettingError: it is no whole number, or less than `least`.
    """
    if not isinstance(value, Integral) or value < least:
        raise SettingError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    return int(value)


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The vision tower's sizes; the defaults are SigLIP-SO400M patch 14 at 384 pixels.

    `num_hidden_layers` counts the public tower's layers; the last one is dropped.
    """

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    image_size: int = 384
    patch_size: int = 14
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise SettingError(
                f"the tower's width {self.hidden_size} does not divide by its"
                f" {self.num_attention_heads} heads"
            )
        if self.num_hidden_layers < 2:
            raise SettingError("the tower needs 2 layers or more: the last one is dropped")

    @property
    def kept_layers(self) -> int:
        return self.num_hidden_layers - 1

    @property
    def patches_per_side(self) -> int:
        return self.image_size // self.patch_size


@dataclass(frozen=True, slots=True)
class VideoXL2Config:
    """A Video-XL-2's sizes; `language_model` holds the fields of transformers' Qwen2Config."""

    vision: VisionConfig
    language_model: Mapping[str, Any]

    @property
    def hidden_size(self) -> int:
        """Width of a token in the language model."""
        return int(self.language_model["hidden_size"])


@dataclass(frozen=True, slots=True)
class PrefillConfig:
    """How groups are run into the cache.

    A block closes once it has `block_groups` groups and `min_block_rows` rows. Its rows see the
    system text, every older timestamp, the last `lookback_blocks` blocks and their own block;
    None means everything before them (plain causal attention).
    """

    block_groups: int = 4
    lookback_blocks: int | None = 3
    min_block_rows: int = 0
    max_segment_positions: int | None = None

    def __post_init__(self) -> None:
        whole("block_groups", self.block_groups, 1)
        whole("min_block_rows", self.min_block_rows, 0)
        for name in ("lookback_blocks", "max_segment_positions"):  # None: no limit
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)


@dataclass(frozen=True, slots=True)
class SparseRule:
    """What is kept of a chunk that is not dense.

    `pooled`: timestamps whole, group tokens averaged in runs of `step`; `time_only`: timestamps;
    `left_out`: nothing. The reference drops the last `n % step` tokens of a group
    (`keep_remainder=False`); a short line of text would vanish that way, so by default their
    average is kept as one more entry.
    """

    kind: SparseKind = "pooled"
    step: int = 4
    keep_remainder: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("pooled", "time_only", "left_out"):
            raise SettingError(f"unknown sparse kind {self.kind!r}; pooled, time_only or left_out")
        whole("the pooling step", self.step, 1)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a video may stay dense: chunks, tokens, or a share of the video's tokens.

    Exactly one of the three.
    """

    top_k: int | None = None
    tokens: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        given = [each for each in (self.top_k, self.tokens, self.share) if each is not None]
        if len(given) != 1:
            raise SettingError("a budget is one of top_k, tokens and share")
        if self.share is None:
            whole("a budget", given[0], 0)
        elif not 0 <= self.share <= 1:
            raise SettingError(f"a share of {self.share}; it must lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class Relevance:
    """How the dense chunks of a question are chosen.

    `all`, `none`: every chunk, or none but the ends. `chunks`, `units`: those of `which`; a unit
    is 8 frames. `attention`: by what the question looks at (`relevance.score`), `scores`: by
    scores given with the question (from a search), both as far as `budget` goes.
    """

    by: RelevanceKind = "all"
    which: tuple[int, ...] = ()
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if self.by not in get_args(RelevanceKind):
            known = ", ".join(get_args(RelevanceKind))
            raise SettingError(f"unknown relevance {self.by!r}; {known}")
        if (self.by in ("attention", "scores")) != (self.budget is not None):
            raise SettingError("relevance by attention or scores needs a budget, and no other does")
        if self.which and self.by not in ("chunks", "units"):
            raise SettingError(f"relevance by {self.by} takes no list of chunks or units")


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How an answer is drawn. Temperature 0 is greedy; the penalty acts on generated ids only."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop_ids: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        whole("max_new_tokens", self.max_new_tokens, 1)
        if not 0 <= self.temperature < inf:
            raise SettingError(f"temperature is {self.temperature}; it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top_p is {self.top_p}; it must lie in (0, 1]")
        if not 0 < self.repetition_penalty < inf:
            raise SettingError(
                f"repetition_penalty is {self.repetition_penalty}; it must be positive"
            )
