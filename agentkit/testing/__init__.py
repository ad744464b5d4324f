"""For tests, of this project and of plugins: drawn videos, and a session without models."""

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

__all__ = [
    "LONG_GOP",
    "SOUND_RATE_HZ",
    "Draw",
    "Image",
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
