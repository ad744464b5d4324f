"""What a session reports on its videos: the document, and whether it can be written at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agentkit.looking import Looking, OnProgress
from agentkit.types import SessionView, StoredVideo, VideoName

if TYPE_CHECKING:
    from agentkit.reports.build import Wanted
    from agentkit.reports.document import Document

# What a model's answer depends on besides the stored video and the question.
SPEAKS = {
    "domain",
    "encoder",
    "language_model",
    "videoxl2_path",
    "videoxl2_weights",
    "ask",
    "plugins",
}


class Reporting(Looking):
    """The part of a session that reports."""

    def report(
        self,
        videos: VideoName | Sequence[VideoName],
        *,
        summary: bool | None = None,
        redact: bool = True,
        on_progress: OnProgress | None = None,
    ) -> "Document":
        """Return a report on one or several videos, in the language of the settings.

        What is dear in it is kept in the store: made again after a kill, it goes on. `summary` is
        the language model's; left open, the settings say. Without `redact` names and pictures are
        shown as they are, and the report says so.

        Raises:
            UsageError: no video is named.
            UnknownVideoError, AmbiguousVideoError: a name means no video, or several.
            PluginError: the domain's redaction failed; nothing is shown in its place.
        """
        from agentkit.reports.build import build
        from agentkit.reports.document import Document

        names = [videos] if isinstance(videos, str | Path | StoredVideo) else list(videos)
        wanted = self._wanted(summary, redact)
        before = self.on_progress
        self.on_progress = on_progress or before
        try:
            made = build(cast(SessionView, self), self._domain, names, wanted)
        finally:
            self.on_progress = before
        return Document(made, self._domain)

    def check_report(
        self, videos: Sequence[VideoName], format: str = "md", path: Path | None = None
    ) -> None:
        """Make sure, before a long report is made, that it can be written.

        Raises:
            UnknownNameError: neither the domain nor we write this format.
            UsageError: a PDF is wanted and nothing here makes one, or no file can be written there.
            UnknownVideoError, AmbiguousVideoError: a name means no video, or several.
        """
        from agentkit.reports.document import check_format, check_place

        paths = [self.video(name).path for name in videos]
        check_format(format, self._domain)
        if path is not None:
            check_place(path, paths)

    def _wanted(self, summary: bool | None, redact: bool) -> "Wanted":
        from datetime import UTC, datetime
        from importlib.metadata import version

        from agentkit.reports.build import Wanted

        settings = self._settings.report
        return Wanted(
            settings=settings,
            summary=settings.summary if summary is None else summary,
            redact=redact,
            engine=self._engine.name,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            made_with=self._made_with(),
            version=version("videoxl2-agentkit"),
        )

    def _made_with(self) -> str:
        import json
        from hashlib import sha256

        chosen = self._settings.model_dump(mode="json", include=SPEAKS)
        told = f"{self._engine.name}|{json.dumps(chosen, sort_keys=True)}"
        return sha256(told.encode()).hexdigest()
