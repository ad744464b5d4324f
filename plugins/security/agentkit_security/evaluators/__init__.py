"""How well events, anomalies and tracks were found, by the field's own metrics and files."""

from agentkit.types import Evaluator
from agentkit_security.evaluators.events import EventF1

EVALUATORS: tuple[Evaluator, ...] = (EventF1(),)

__all__ = ["EVALUATORS"]
