"""How well shots, scenes, moments and summaries were found, by the field's own metrics."""

from agentkit.types import Evaluator
from agentkit_media.evaluators.shots import ShotF1

EVALUATORS: tuple[Evaluator, ...] = (ShotF1(),)

__all__ = ["EVALUATORS"]
