"""What a session writes for other programs: files of its videos' notes, and clips of them."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from agentkit.looking import Looking
from agentkit.types import UsageError, VideoName

if TYPE_CHECKING:
    from agentkit.exports.clips import Clip
    from agentkit.exports.material import ExportSession
    from agentkit.redaction import Redaction


class Exporting(Looking):
    """The part of a session that exports."""

    def export(
        self,
        video: VideoName,
        format: str,
        *,
        kind: str | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        redact: bool = True,
    ) -> bytes:
        """Return a video's notes or segments as a file of a format: `formats` has the names.

        `kind` are the notes to export, by default what the format usually holds. Everything passes
        the domain's redaction unless `redact` is false.

        Raises:
            UsageError: no such format or kind; a clip, which `clip` writes.
            TimeRangeError: the range is not inside the video.
            PluginError: the domain's segments, exporter or redaction fail.
        """
        from agentkit.exports.formats import CLIP, export
        from agentkit.exports.material import Wanted

        if format == CLIP:
            raise UsageError("a clip is written to a file: Session.clip(video, path)")
        wanted = Wanted(kind, start_s, end_s)
        return export(self._exported(), self._redaction(redact), self.video(video), format, wanted)

    def clip(
        self,
        video: VideoName,
        output: str | Path,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        redact: bool = True,
    ) -> "Clip":
        """Write a part of a video as MP4, MOV or Matroska, as the path's suffix says.

        Raises:
            UsageError: an empty range, or a path that cannot be the clip's.
            TimeRangeError: the range is not inside the video.
            StaleVideoError: the file is not the one that was ingested.
            PluginError: the domain's redaction fails; nothing is written.
        """
        from agentkit.exports.clips import write_clip
        from agentkit.exports.material import Wanted

        wanted = Wanted(None, start_s, end_s)
        redaction, stored = self._redaction(redact), self.video(video)
        return write_clip(self._exported(), redaction, stored, wanted, Path(output))

    def formats(self) -> dict[str, str]:
        """Return the names of all formats, the domain's too, and what each is."""
        from agentkit.exports.formats import titles

        return titles(self._domain)

    def _redaction(self, is_on: bool) -> "Redaction":
        from agentkit.redaction import Redaction

        return Redaction(self._domain, self._exported(), is_on)

    def _exported(self) -> "ExportSession":
        return cast("ExportSession", self)  # a Session is one; this half of it is not yet
