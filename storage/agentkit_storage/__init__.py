"""What was seen and heard of videos, kept. Knows no model and no agent.

Values load at once; the store, with SQL and FAISS, when it is first named.
"""

from typing import TYPE_CHECKING, Any

from agentkit_storage.types import (
    Chunk,
    ChunkHit,
    Filter,
    Hit,
    Job,
    Note,
    Owner,
    Problem,
    StoredVideo,
    StoreStats,
    Tier,
    VideoBytes,
)

if TYPE_CHECKING:
    from agentkit_storage.records import ChunkRecord, GroupRecord, Segment
    from agentkit_storage.store import Store

__all__ = [
    "Chunk",
    "ChunkHit",
    "ChunkRecord",
    "Filter",
    "GroupRecord",
    "Hit",
    "Job",
    "Note",
    "Owner",
    "Problem",
    "Segment",
    "Store",
    "StoreStats",
    "StoredVideo",
    "Tier",
    "VideoBytes",
]

_LATER = {
    "Store": "store",
    "ChunkRecord": "records",
    "GroupRecord": "records",
    "Segment": "records",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
