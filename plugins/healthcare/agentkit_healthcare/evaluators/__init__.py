"""How well the phases of a procedure were recognised, by the field's own metrics and files."""

from agentkit.types import Evaluator
from agentkit_healthcare.evaluators.phases import PhaseRecognition

EVALUATORS: tuple[Evaluator, ...] = (PhaseRecognition(),)

__all__ = ["EVALUATORS"]
