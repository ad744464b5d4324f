"""How well events, anomalies and tracks were found, by the field's own metrics and files."""

from agentkit.types import Evaluator
from agentkit_security.evaluators.anomalies import AnomalyAuc
from agentkit_security.evaluators.events import EventF1
from agentkit_security.evaluators.tracking import Mot

EVALUATORS: tuple[Evaluator, ...] = (AnomalyAuc(), EventF1(), Mot())

__all__ = ["EVALUATORS"]
