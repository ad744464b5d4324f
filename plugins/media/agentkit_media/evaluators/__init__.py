"""How well shots, scenes, moments and summaries were found, by the field's own metrics."""

from agentkit.types import Evaluator
from agentkit_media.evaluators.moments import QvHighlights
from agentkit_media.evaluators.scenes import SceneSegmentation
from agentkit_media.evaluators.shots import ShotF1
from agentkit_media.evaluators.summaries import Summaries

EVALUATORS: tuple[Evaluator, ...] = (ShotF1(), SceneSegmentation(), QvHighlights(), Summaries())

__all__ = ["EVALUATORS"]
