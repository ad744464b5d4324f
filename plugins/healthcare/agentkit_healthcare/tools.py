"""What agents may call on a procedure. They see redacted texts and no picture."""

from collections.abc import Callable
from typing import Any

from agentkit.types import SessionView
from agentkit_healthcare import telling


def tools(session: SessionView) -> list[Callable[..., Any]]:
    """Return the tools of a session."""

    def procedure_steps(video: str) -> dict[str, Any]:
        """List the recognised steps of a procedure with times and evidence, by the video's id."""
        return telling.steps(session.video(video), session)

    def safety_checklist(video: str) -> dict[str, Any]:
        """List safety items: done, late, not_seen (which is not "not done") or denied, by id."""
        return telling.checklist(session.video(video), session)

    def instruments_seen(video: str) -> dict[str, Any]:
        """List the instruments that were named or seen in a video, with times, by its id."""
        return telling.instruments(session.video(video), session)

    return [procedure_steps, safety_checklist, instruments_seen]
