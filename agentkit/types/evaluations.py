"""What an evaluator gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The values of a metric, and the pieces that two runs can be compared by.

    `per_video` has each video's own values, for a bootstrap over videos; `correct` says of each
    item (a frame, a query) whether it was right, for McNemar's test. Either may be empty.
    """

    metrics: Mapping[str, float]
    per_video: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    correct: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Examples:
    """Files of an evaluator's format: what it must call perfect, and what it must not."""

    ground_truth: Path
    perfect: Path
    bad: Path
