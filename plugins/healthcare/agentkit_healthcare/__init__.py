"""Procedures against their protocol: steps, instruments, a safety checklist, and who stays hidden.

No medical device. The work is in the modules beside this one; here are the hooks alone.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agentkit.hookspecs import Image, RegisterEvaluator, RegisterExporter, hookimpl
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
    from agentkit_healthcare.prompting import prompt

    # The video model has read no lines and was taught on bare questions.
    return prompt(question) if encoder == "notes" else None


@hookimpl
def parse_answer(question: Question, text: str, evidence: Evidence) -> Answer | None:
    from agentkit_healthcare.answers import TASKS, fields_of

    if question.task not in TASKS:
        return None
    return Answer(
        question,
        text.strip(),
        evidence.citations,
        evidence.coverage,
        fields=fields_of(question.task, text, question.options),
        supported=evidence.supported,
    )


@hookimpl
def check_answer(answer: Answer, evidence: Evidence) -> list[Finding] | None:
    from agentkit_healthcare.checking import findings

    return findings(answer, evidence)


@hookimpl
def segments(video: StoredVideo, session: SessionView) -> list[Note] | None:
    """Return the steps; where none is recognised, the defaults' shots."""
    from agentkit_healthcare.report import step_notes

    return step_notes(video, session) or None


@hookimpl
def report_sections(video: StoredVideo, session: SessionView) -> list[Section]:
    from agentkit_healthcare.report import sections

    return sections(video, session)


@hookimpl
def notices(language: str) -> list[str]:
    from agentkit_healthcare.texts import prompts

    return [prompts()(f"notice.{name}", language) for name in ("device", "absence", "privacy")]


@hookimpl
def redact_frames(images: Sequence[Image], video: StoredVideo, session: SessionView) -> list[Image]:
    from agentkit_healthcare.deidentify import redact_frames

    return redact_frames(images, video, session)


@hookimpl
def redact_text(text: str, video: StoredVideo, session: SessionView) -> str:
    from agentkit_healthcare.deidentify import redact_text

    return redact_text(text, video, session)


@hookimpl
def register_exporters(register: RegisterExporter) -> None:
    from agentkit_healthcare.exporting import cholec80, steps_csv

    register("cholec80", cholec80)
    register("steps", steps_csv)


@hookimpl
def register_evaluators(register: RegisterEvaluator) -> None:
    from agentkit_healthcare.evaluators import EVALUATORS

    for evaluator in EVALUATORS:
        register(evaluator)


@hookimpl
def register_tools(session: SessionView) -> list[Callable[..., Any]]:
    from agentkit_healthcare.tools import tools

    return tools(session)


@hookimpl
def register_commands(cli: "Typer") -> None:
    from agentkit_healthcare.commands import add_to

    add_to(cli)
