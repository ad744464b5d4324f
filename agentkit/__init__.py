"""Ask questions of long videos; every answer says where in the video it comes from."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkit.config import Settings
    from agentkit.session import Session

__all__ = ["Session", "Settings"]

_HOME_OF = {"Session": "agentkit.session", "Settings": "agentkit.config"}


def __getattr__(name: str) -> Any:
    """Import what a name needs when it is first used: `import agentkit` alone loads no torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'agentkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME_OF[name]), name)
