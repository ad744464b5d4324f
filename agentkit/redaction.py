"""What may leave the store: every frame and text of an export passes the domain's redaction here.

Where a domain's redaction fails, so does the export: nothing is shown in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from agentkit.hookspecs import Image
from agentkit.plugin_manager import Domain
from agentkit.types import Note, SessionView, StoredVideo

SHORT_ID = 12  # characters of a video id that people see


@dataclass(frozen=True, slots=True)
class Redaction:
    """One session's redaction; `is_on` is False where the user asked for what is unredacted."""

    domain: Domain
    session: SessionView
    is_on: bool = True

    @property
    def hides_names(self) -> bool:
        """Whether videos are told by their ids alone: a file's name may say who is in it."""
        return self.is_on and self.domain.redacts("redact_text")

    @property
    def hides_pictures(self) -> bool:
        """Whether frames are changed before they are shown."""
        return self.is_on and self.domain.redacts("redact_frames")

    def frames(self, video: StoredVideo, times_s: Sequence[float]) -> list[Image]:
        """Return the frames shown at these times, as they may be shown."""
        return self.images(video, self.session.frames(video, times_s))

    def images(self, video: StoredVideo, images: Sequence[Image]) -> list[Image]:
        """Return frames of a video as they may be shown."""
        if not self.is_on:
            return list(images)
        return self.domain.redact_frames(images, video, self.session)

    def text(self, video: StoredVideo, text: str) -> str:
        """Return a text about a video as it may be shown."""
        return self.domain.redact_text(text, video, self.session) if self.is_on else text

    def note(self, video: StoredVideo, note: Note) -> Note:
        """Return a note as it may be shown."""
        text = self.text(video, note.text)
        return Note(note.start_s, note.end_s, note.kind, text, note.score, note.box)

    def name(self, video: StoredVideo) -> str:
        """Return what people may call a video: its file's name, or the beginning of its id."""
        name = "" if self.hides_names else PurePath(video.path).name
        return name or video.video_id[:SHORT_ID]

    def path(self, video: StoredVideo) -> str:
        """Return where a link to the video may lead; empty where it may lead nowhere."""
        return "" if self.hides_names or self.hides_pictures else video.path
