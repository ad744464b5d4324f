"""The places where a domain may speak. A hook answers None for "not mine".

A plugin is a module of functions marked `@hookimpl`; the entry point group `agentkit` names it.
A function may take fewer arguments than its hook. docs/hooks.md has an example of each.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pluggy
from numpy.typing import NDArray

from agentkit.types import (
    Answer,
    Chunk,
    ChunkHit,
    Evaluator,
    Evidence,
    Finding,
    FrameBatch,
    Instrument,
    Note,
    Question,
    Report,
    SamplingPlan,
    Section,
    SessionView,
    SoundInstrument,
    StoredVideo,
    VideoInfo,
)

if TYPE_CHECKING:
    from typer import Typer

PROJECT = "agentkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

RegisterInstrument = Callable[[Instrument | SoundInstrument], None]
RegisterEvaluator = Callable[[Evaluator], None]
Exporter = Callable[[StoredVideo, SessionView], bytes]
RegisterExporter = Callable[[str, Exporter], None]  # name of the format, what writes it
Image = NDArray[np.uint8]  # [H, W, 3] RGB
Tool = Callable[..., Any]


@hookspec(firstresult=True)
def plan_sampling(video: VideoInfo) -> SamplingPlan | None:
    """Say which frames to look at, before one is decoded; None leaves it to the settings."""


@hookspec
def register_instruments(register: RegisterInstrument) -> None:
    """Add what else should look at the frames or listen to the sound. Called once a session."""


@hookspec
def describe_chunk(
    chunk: Chunk, frames: Sequence[FrameBatch], notes: Sequence[Note]
) -> list[Note] | None:
    """Return more notes on a chunk, at ingest; `frames` has one batch per group."""


@hookspec(firstresult=True)
def system_prompt(video: StoredVideo) -> str | None:
    """Return the text before the video; it is part of the cache: another text, another cache."""


@hookspec(firstresult=True)
def user_prompt(video: StoredVideo, question: Question, encoder: str) -> str | None:
    """Return the text after the video, which asks the question.

    With the encoder "notes" the model has read lines, with "videoxl2" it has seen pictures.
    """


@hookspec(firstresult=True)
def select_chunks(question: Question, hits: list[ChunkHit]) -> list[ChunkHit] | None:
    """Return the hits whose chunks stay whole, best first; they may be fewer, more or others."""


@hookspec(firstresult=True)
def parse_answer(question: Question, text: str, evidence: Evidence) -> Answer | None:
    """Make the answer out of what the model wrote; citations come from the evidence."""


@hookspec
def check_answer(answer: Answer, evidence: Evidence) -> list[Finding] | None:
    """Return what the evidence says for and against the answer's claims."""


@hookspec(firstresult=True)
def segments(video: StoredVideo, session: SessionView) -> list[Note] | None:
    """Return the parts that a video falls into: scenes, events, steps; in order, with a label each.

    They are what is exported to an editor, and the chapters of a file.
    """


@hookspec
def report_sections(video: StoredVideo, session: SessionView) -> list[Section] | None:
    """Return sections for the report on a video."""


@hookspec
def overview_sections(videos: Sequence[StoredVideo], session: SessionView) -> list[Section] | None:
    """Return sections over all videos of a report; asked where there is more than one."""


@hookspec
def notices(language: str) -> list[str] | None:
    """Return what every reader of a report must know first."""


@hookspec(firstresult=True)
def redact_frames(
    images: Sequence[Image], video: StoredVideo, session: SessionView
) -> list[Image] | None:
    """Return frames as they may leave the store: as many, of the same sizes.

    Where this fails, nothing is exported.
    """


@hookspec(firstresult=True)
def redact_text(text: str, video: StoredVideo, session: SessionView) -> str | None:
    """Return a text as it may leave the store. A domain that answers has videos told by ids alone.

    Where this fails, nothing is exported.
    """


@hookspec(firstresult=True)
def render_report(report: Report, format: str) -> bytes | None:
    """Return the report as a file's bytes, for a format that this domain writes itself."""


@hookspec
def register_tools(session: SessionView) -> list[Tool] | None:
    """Return plain typed functions with a docstring, to be offered to agents."""


@hookspec
def register_evaluators(register: RegisterEvaluator) -> None:
    """Add the domain's metrics, each with its name and source."""


@hookspec
def register_exporters(register: RegisterExporter) -> None:
    """Add file formats that a video's notes can be exported to."""


@hookspec
def register_commands(cli: "Typer") -> None:
    """Add the subcommands that the entry-point group `agentkit.commands` names."""
