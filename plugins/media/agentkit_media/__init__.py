"""Films, matches and broadcasts: scenes, names, themes, highlights and a script, by rule.

A hook that is not here, or that returns None, is answered by the defaults. What does the work is
imported where it is needed: listing the domain takes no time. The title in a file's metadata stays
out of the prompt: whoever made the file wrote it, and it could give orders.
"""

from typing import TYPE_CHECKING

from agentkit.hookspecs import RegisterEvaluator, RegisterExporter, Tool, hookimpl
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
    from agentkit_media.answers import prompt

    return prompt(question, encoder)


@hookimpl
def parse_answer(question: Question, text: str, evidence: Evidence) -> Answer | None:
    from agentkit_media.answers import answer

    return answer(question, text, evidence)


@hookimpl
def check_answer(answer: Answer, evidence: Evidence) -> list[Finding]:
    from agentkit_media.claims import findings

    return findings(answer, evidence)


@hookimpl
def segments(video: StoredVideo, session: SessionView) -> list[Note]:
    from agentkit_media.breakdown import segments_of

    return segments_of(video, session)


@hookimpl
def report_sections(video: StoredVideo, session: SessionView) -> list[Section]:
    from agentkit_media.sections import sections_of

    return sections_of(video, session)


@hookimpl
def notices(language: str) -> list[str]:
    from agentkit_media.wording import Words

    words = Words(language)
    return [words(f"notice_{name}") for name in ("mood", "looks", "names")]


@hookimpl
def register_tools(session: SessionView) -> list[Tool]:
    from agentkit_media.tools import tools_of

    return tools_of(session)


@hookimpl
def register_evaluators(register: RegisterEvaluator) -> None:
    from agentkit_media.evaluators import EVALUATORS

    for evaluator in EVALUATORS:
        register(evaluator)


@hookimpl
def register_exporters(register: RegisterExporter) -> None:
    from agentkit_media import files

    register("qvhighlights", files.qvhighlights)
    register("script", files.script)
    register("shots", files.shots)
    register("shot-frames", files.shot_frames)


@hookimpl
def register_commands(cli: "Typer") -> None:
    from agentkit_media.commands import add_to

    add_to(cli)
