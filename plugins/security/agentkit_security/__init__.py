"""Cameras that watch a place: events, zones, what stands out, and faces that are not shown.

A hook that is not here, or that returns None, is answered by the defaults. What does the work is
imported where it is needed: listing the domain takes no time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentkit.hookspecs import (
    Image,
    RegisterEvaluator,
    RegisterExporter,
    Tool,
    hookimpl,
)
from agentkit.types import (
    Answer,
    Evidence,
    Finding,
    Note,
    Question,
    Section,
    SessionView,
    StoredVideo,
)

if TYPE_CHECKING:
    from typer import Typer


@hookimpl
def user_prompt(question: Question, encoder: str) -> str | None:
    from agentkit_security.answers import prompt

    return prompt(question, encoder)


@hookimpl
def parse_answer(question: Question, text: str, evidence: Evidence) -> Answer | None:
    from agentkit_security.answers import answer

    return answer(question, text, evidence)


@hookimpl
def check_answer(answer: Answer, evidence: Evidence) -> list[Finding]:
    from agentkit_security.claims import findings

    return findings(answer, evidence)


@hookimpl
def segments(video: StoredVideo, session: SessionView) -> list[Note]:
    """Give the events that are more than for the record."""
    from agentkit_security.watched import parts_of

    return parts_of(session, video)


@hookimpl
def report_sections(video: StoredVideo, session: SessionView) -> list[Section]:
    from agentkit_security.sections import sections_of

    return sections_of(video, session)


@hookimpl
def overview_sections(videos: Sequence[StoredVideo], session: SessionView) -> list[Section]:
    from agentkit_security.overview import overview_of

    return overview_of(videos, session)


@hookimpl
def notices(language: str) -> list[str]:
    from agentkit_security.wording import texts

    return [texts()(f"notice.{name}", language) for name in ("identity", "proof", "privacy")]


@hookimpl
def redact_frames(images: Sequence[Image], video: StoredVideo, session: SessionView) -> list[Image]:
    from agentkit_security.privacy import redacted

    return redacted(images, session)


@hookimpl
def register_tools(session: SessionView) -> list[Tool]:
    from agentkit_security.tools import tools

    return tools(session)


@hookimpl
def register_evaluators(register: RegisterEvaluator) -> None:
    from agentkit_security.evaluators import EVALUATORS

    for evaluator in EVALUATORS:
        register(evaluator)


@hookimpl
def register_exporters(register: RegisterExporter) -> None:
    from agentkit_security import files

    register("mot", files.mot)
    register("events", files.events)
    register("anomaly", files.anomaly)
    register("anomaly-frames", files.anomaly_frames)
    register("ucf-crime", files.ucf_crime)


@hookimpl
def register_commands(cli: "Typer") -> None:
    from agentkit_security.commands import add_to

    add_to(cli)
