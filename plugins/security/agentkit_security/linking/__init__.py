"""Which tracks of different cameras may be of one thing, and how far their clocks are apart.

It compares clothes, times and paths. It knows no face, no name and no identity.
"""

from collections.abc import Sequence

from agentkit.types import Section, SessionView, StoredVideo
from agentkit_security.linking.results import Link, LinkResult, Offset, as_json

__all__ = ["Link", "LinkResult", "Offset", "as_json", "link", "sections"]


def link(videos: Sequence[StoredVideo], session: SessionView) -> LinkResult:
    """Return the offsets between the videos' clocks, and the links between their tracks.

    What is looked at is kept in the store piece by piece: a killed run goes on where it was.

    Raises:
        UsageError: a setting is not of its kind, or fewer than two different videos are given.
    """
    from agentkit_security.linking.cameras import link_cameras

    return link_cameras(videos, session)


def sections(videos: Sequence[StoredVideo], session: SessionView) -> list[Section]:
    """Return a report's section over all cameras; none where there is but one."""
    from agentkit_security.linking.section import sections_of

    return sections_of(videos, session)
