"""A session's report: its settings, its domain and the time of day brought to `build`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version

from agentkit.config import Settings
from agentkit.plugin_manager import Domain
from agentkit.reports.build import Wanted, build
from agentkit.reports.document import Document
from agentkit.types import SessionView, VideoName

# What a model's answer depends on besides the stored video and the question.
SPEAKS = {
    "domain",
    "encoder",
    "language_model",
    "videoxl2_path",
    "videoxl2_weights",
    "ask",
    "plugins",
}


def make(
    session: SessionView,
    names: Sequence[VideoName],
    settings: Settings,
    domain: Domain,
    engine: str,
    *,
    summary: bool,
    redact: bool,
) -> Document:
    """Return the report on videos under a session's settings; raises what `build` raises."""
    wanted = Wanted(
        settings=settings.report,
        summary=summary,
        redact=redact,
        engine=engine,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        made_with=_made_with(settings, engine),
        version=version("videoxl2-agentkit"),
    )
    return Document(build(session, domain, names, wanted), domain)


def _made_with(settings: Settings, engine: str) -> str:
    chosen = settings.model_dump(mode="json", include=SPEAKS)
    return sha256(f"{engine}|{json.dumps(chosen, sort_keys=True)}".encode()).hexdigest()
