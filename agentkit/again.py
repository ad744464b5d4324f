"""The dearest tier: tokens made again from a video's own file, where no stored ones can be read.

Knows which stored tokens are for this model and where the file was; knows no question.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.engine import Engine
from agentkit.errors import OtherEncoderError, RemadeError, VideoError
from agentkit.making import plan_of, sampling_text
from agentkit.plugin_manager import Domain
from agentkit.types import OnEvent, SamplingPlan, StoredVideo
from agentkit.video import content_id
from agentkit_storage import Store
from agentkit_storage.errors import DamagedChunkError

if TYPE_CHECKING:
    from agentkit.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Again:
    """What one session may make again. What another encoder made is never replaced unasked."""

    store: Store
    engine: Engine
    domain: Domain
    pipeline: Callable[[], "Pipeline"]  # its models load only where they are needed

    def unreadable(self, video: StoredVideo) -> OtherEncoderError | None:
        """Return what to raise unless the tokens are made again; None: they are for this model.

        Raises:
            OtherEncoderError: another encoder made them.
            RemadeError: the video has gone.
        """
        name = self.engine.choice.name
        other = OtherEncoderError(
            f"{video.path}: ingested with another encoder or other weights than {name};"
            f" `agentkit ingest --encoder {name}` it again, or ask with the encoder that it"
            " was ingested with",
            video.path,
        )
        making = self.store.fingerprint(video.video_id)
        if making is None:
            raise RemadeError(f"{video.path}: removed from the store while it was asked")
        if not any(part.startswith(f"{name}/") for part in making.split("|")):
            raise other
        if video.chunks and "tokens" not in video.tiers:
            return OtherEncoderError(
                f"{video.path}: its tokens stayed behind when it was exported; import a bundle"
                " with tokens, or ingest the file",
                video.path,
            )
        return None if self.engine.can_read(making) else other

    def make(
        self, video: StoredVideo, error: Exception, on_event: OnEvent | None = None
    ) -> StoredVideo:
        """Ingest the video's file as it was ingested before, if it is still there.

        Raises:
            `error`: it is not, or it was ingested for another domain than this one.
        """
        path = Path(video.path)
        if video.domain not in ("", self.domain.name) or not _is_there(path, video.video_id):
            raise error
        plan = self._plan(self.store.fingerprint(video.video_id) or "")
        return self.pipeline().ingest(path, plan, on_event, lambda: self._why(video.video_id))

    def _plan(self, making: str) -> SamplingPlan | None:
        """Return the plan under which the video was looked at; None leaves it to the domain."""
        plan, usual = plan_of(making), self.engine.sampling_plan
        same = plan is not None and sampling_text(plan) == sampling_text(usual)
        return usual if same else plan  # the text has fewer digits than a plan may have

    def _why(self, video_id: str) -> str | None:
        """Return why a video is to be made again now: another process may have done it."""
        if self.unreadable(self.store.video(video_id)):
            return "its tokens are missing, or for other weights"
        for chunk in self.store.chunks(video_id):
            try:
                self.store.groups(video_id, chunk.first_group, chunk.first_group + chunk.num_groups)
            except DamagedChunkError:
                return f"its tokens are damaged from {chunk.start_s:.0f} to {chunk.end_s:.0f} s"
        return None


def _is_there(path: Path, video_id: str) -> bool:
    """Say whether a file still has the content that was ingested."""
    try:
        return content_id(path) == video_id
    except (VideoError, OSError):
        return False
