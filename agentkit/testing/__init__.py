"""For tests, of this project and of plugins: drawn videos, and a session without models."""

from typing import TYPE_CHECKING, Any

from agentkit.plugin_manager import Domain
from agentkit.testing.sessions import RecordedSession, stored_video
from agentkit.testing.videos import (
    LONG_GOP,
    SOUND_RATE_HZ,
    Draw,
    Image,
    barcode,
    frame_number,
    long_gop,
    make_video,
    numbered,
    scenes,
    tone,
)

if TYPE_CHECKING:
    from agentkit.testing.contract import PluginContract

__all__ = [
    "LONG_GOP",
    "SOUND_RATE_HZ",
    "Domain",
    "Draw",
    "Image",
    "PluginContract",
    "RecordedSession",
    "barcode",
    "frame_number",
    "long_gop",
    "make_video",
    "numbered",
    "scenes",
    "stored_video",
    "tone",
]


def __getattr__(name: str) -> Any:
    """Import the contract when it is asked for: it needs hypothesis, which the rest does not."""
    if name != "PluginContract":
        raise AttributeError(f"module 'agentkit.testing' has no attribute {name!r}")
    from agentkit.testing.contract import PluginContract

    return PluginContract
