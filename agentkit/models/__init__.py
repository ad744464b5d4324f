"""Weights: what is known, where it lies, how it comes here. No torch until a pull needs it."""

from agentkit.models.fetch import (
    PullProgress,
    available,
    folder_of,
    path,
    pull,
    pull_defaults,
    verify,
)
from agentkit.models.sources import Folder, Hub, Source, default_sources
from agentkit.models.spec import Digest, FileSpec, Member, ModelSpec
from agentkit.models.table import catalogue, defaults, spec

__all__ = [
    "Digest",
    "FileSpec",
    "Folder",
    "Hub",
    "Member",
    "ModelSpec",
    "PullProgress",
    "Source",
    "available",
    "catalogue",
    "default_sources",
    "defaults",
    "folder_of",
    "path",
    "pull",
    "pull_defaults",
    "spec",
    "verify",
]
