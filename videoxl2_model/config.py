"""Small frozen settings, checked where they are made. Knows no torch."""

from dataclasses import dataclass
from typing import Literal

from videoxl2_model.errors import SettingError

StepWeights = Literal["auto", "model", "bfloat16", "int8"]
SparseKind = Literal["pooled", "time_only", "left_out"]


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
        if self.block_groups < 1:
            raise SettingError(f"block_groups is {self.block_groups}; it must be 1 or more")
        if self.lookback_blocks is not None and self.lookback_blocks < 1:
            raise SettingError(
                f"lookback_blocks is {self.lookback_blocks}; it must be 1 or more, or None"
            )
        if self.max_segment_positions is not None and self.max_segment_positions < 1:
            raise SettingError("max_segment_positions must be positive, or None for no limit")


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
        if self.step < 1:
            raise SettingError(f"the pooling step is {self.step}; it must be 1 or more")


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
        if self.max_new_tokens < 1:
            raise SettingError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more")
        if self.temperature < 0:
            raise SettingError(f"temperature is {self.temperature}; it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top_p is {self.top_p}; it must lie in (0, 1]")
        if self.repetition_penalty <= 0:
            raise SettingError(
                f"repetition_penalty is {self.repetition_penalty}; it must be positive"
            )
