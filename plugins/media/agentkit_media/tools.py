"""What agents may call: a video's scenes, highlights and characters."""

from typing import Any

from agentkit.types import SessionView
from agentkit_media import forms
from agentkit_media.breakdown import break_down


def tools_of(session: SessionView) -> list[Any]:
    """Return the tools over a session."""

    def scenes(video: str) -> list[dict[str, Any]]:
        """List the scenes of a video: place, people, what is said and seen, mood (a guess)."""
        return forms.scenes(break_down(session.video(video), session))

    def highlights(video: str, count: int = 5) -> list[dict[str, Any]]:
        """List the moments of a video that stand out, best first, each with its reasons."""
        return forms.highlights(break_down(session.video(video), session))[: max(count, 0)]

    def characters(video: str) -> list[dict[str, Any]]:
        """List who is named in a video, and where. Names are as they were said or written."""
        return forms.characters(break_down(session.video(video), session))

    return [scenes, highlights, characters]
