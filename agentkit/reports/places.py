"""Links from a report into the video's file."""

from pathlib import Path

from agentkit.types import Citation


def clip_url(path: str, cite: Citation) -> str:
    """Return a link that opens a video's file at a citation's time; "" where there is no path.

    `#t=12,20` is a temporal media fragment (W3C, Media Fragments URI 1.0): browsers play that
    part, other players begin at the start.
    """
    if not path or not Path(path).is_absolute():
        return ""
    return f"{Path(path).as_uri()}#t={_seconds(cite.start_s)},{_seconds(cite.end_s)}"


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
