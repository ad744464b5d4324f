"""Session: ingest, ask, search, report. Owns the store, the models and the domain.

with Session.open() as session:
    video = session.ingest("match.mp4")
    print(session.ask("When was the first goal?", video).text)
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from agentkit.checks import check_question, check_range, check_tags, language_of
from agentkit.choosing import Names, as_filter, choose, span_of
from agentkit.config import Settings
from agentkit.errors import RemadeError, UsageError
from agentkit.exports.of_session import Exporting
from agentkit.plugin_manager import Domain
from agentkit.reports.of_session import Reporting
from agentkit.request import Request
from agentkit.stages import StageClock
from agentkit.types import (
    Answer,
    ChunkHit,
    Filter,
    OnEvent,
    OnText,
    Question,
    SamplingPlan,
    StoredVideo,
    Tier,
    Turns,
    VideoName,
    Where,
    Which,
)
from agentkit_storage.errors import DamagedChunkError, UnknownVideoError

logger = logging.getLogger(__name__)

MAX_TURNS = 4  # of a conversation that a question is read in the light of


class Session(Exporting, Reporting):
    """One store, one set of models, one domain. Not for several threads at once."""

    @classmethod
    def open(cls, settings: Settings | None = None, domain: str | None = None) -> Self:
        """Open the store that the settings name; models load when first needed."""
        settings = settings or Settings.load()
        from agentkit_storage import Store

        voice = Domain.load(domain or settings.domain, third_party=not settings.disable_plugins)
        tiers = settings.tiers
        store = Store.open(
            settings.store,
            kv_budget_bytes=tiers.kv_budget_bytes,
            tokens_dtype=tiers.tokens_dtype,
        )
        return cls(settings, voice, store)

    def close(self) -> None:
        """Release the store, and end the workers of an ingest."""
        self._end_workers()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ingest(
        self,
        path: str | Path,
        plan: SamplingPlan | None = None,
        on_event: OnEvent | None = None,
        *,
        tags: Collection[str] = (),
        anew: bool = False,
    ) -> StoredVideo:
        """Bring a video into the store; nothing to do if this content is there already.

        `tags` are put on it, beside those that it has; `anew` makes it again whatever is there.

        Raises:
            VideoError: the file cannot be read as video.
            UsageError: what is given is no tag.
        """
        check_tags(tags)
        why = "to be made anew" if anew else None
        video = self._pipeline.ingest(Path(path), plan, on_event, lambda: why)
        return self.tag(video, tags) if tags else video

    def ask(
        self,
        text: str,
        videos: Names = None,
        *,
        options: Sequence[str] = (),
        task: str = "",
        on_text: OnText | None = None,
        history: Turns = (),
        chunks: Collection[int] | None = None,
        on_event: OnEvent | None = None,
        **where: Unpack[Where],
    ) -> Answer:
        """Answer from one stored video; of several, from the one with the best evidence.

        `where` says which videos may be asked (`collection`, `domain`, `tags`), and where in them
        evidence may come from (`start_s`, `end_s`).

        `options` are the answers to choose from; `task` is one of the domain's own questions, whose
        answer has `fields`. `on_text` gets the answer's pieces as they come; `history` are earlier
        questions and answers of this conversation; `chunks` are those of the video to read whole,
        by default those that the settings choose. Tokens that are missing, damaged or for other
        weights are made again from the video's file, if it is still where it was; `on_event` is
        told.

        Raises:
            QuestionError: the question is empty, too long or holds control characters.
            OtherEncoderError: the video was ingested with an encoder that is not this one.
            DamagedChunkError: its tokens are damaged, and its file is gone.
            UnknownChunkError: the video has no such chunk.
            UnknownNameError, UsageError, TimeRangeError: `where` lets none of these videos through.
        """
        question = self._question(text, options, task)
        found, held_to = choose(self._store, videos, as_filter(where))
        video = self._best(question.text, found, held_to)
        turns, say = history[-MAX_TURNS:], on_text or (lambda piece: None)
        request = Request(turns, say, chunks, span_of(held_to))
        try:
            return self._ask(question, video, request, on_event)
        except (RemadeError, UnknownVideoError) as error:
            logger.info("%s: asked again: %s", video.video_id[:12], error)
        with self._store.ingest_lock(video.video_id):  # until whoever makes it anew is done
            video = self._store.video(video.video_id)
        return self._ask(question, video, request, on_event)

    def ask_many(
        self, text: str, videos: Sequence[VideoName] = (), **where: Unpack[Where]
    ) -> list[Answer]:
        """Answer from each video on its own, in the order given; all videos by default."""
        found, held_to = choose(self._store, videos or None, as_filter(where))
        times: Where = {"start_s": held_to.start_s, "end_s": held_to.end_s}
        return [self.ask(text, video, **times) for video in found]

    def search(
        self, text: str, videos: Names = (), k: int = 10, **where: Unpack[Where]
    ) -> list[ChunkHit]:
        """Return the chunks that hold what `text` names, best first; none where nothing does.

        Raises:
            UnknownNameError, UsageError, TimeRangeError: as `ask`.
        """
        found, held_to = choose(self._store, videos or None, as_filter(where))
        return self._retrieval.search(check_question(text), held_to, k) if found else []

    def similar(
        self, video: VideoName, at_s: float, k: int = 10, **where: Unpack[Where]
    ) -> list[ChunkHit]:
        """Return the chunks most like the one at a time, over all videos, itself left out.

        `where` says which chunks may be found; the one asked about need not be one of them.
        """
        stored = self.video(video)
        check_range(stored.duration_s, at_s, at_s)
        found, held_to = choose(self._store, None, as_filter(where))
        space = self._engine.visual_space
        return self._retrieval.similar(stored.video_id, at_s, space, k, held_to) if found else []

    def videos(self, **which: Unpack[Which]) -> list[StoredVideo]:
        """Return everything in the store, or what is of a collection, of a domain, with tags."""
        return choose(self._store, None, as_filter(which))[0]

    def tiers(self, name: VideoName) -> list[Tier]:
        """Return what is kept of a video: bytes, number types and makings, tier by tier."""
        return self._store.tiers(self.video(name).video_id)

    def pin(self, name: VideoName, pinned: bool = True) -> None:
        """Let a video's KV stay whatever `tiers.kv_budget_gb` says, or no longer."""
        self._store.pin_kv(self.video(name).video_id, pinned)

    def tag(
        self, name: VideoName, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> StoredVideo:
        """Put tags on a video and take others off; return it as it is then.

        Raises:
            UsageError: what is given is no tag.
        """
        check_tags(add)
        video_id = self.video(name).video_id
        self._store.tag_video(video_id, add, remove)
        return self._store.video(video_id)

    def remove(self, name: VideoName) -> None:
        """Take a video out of every tier and out of search, and free its bytes."""
        self._store.remove_video(self.video(name).video_id)
        self._store.gc()

    def _question(self, text: str, options: Sequence[str], task: str) -> Question:
        text = check_question(text)
        language = self._settings.language
        spoken = language_of(text) if language == "auto" else language
        return Question(text, tuple(map(check_question, options)), task, spoken)

    def _best(self, text: str, videos: Sequence[StoredVideo], where: Filter) -> StoredVideo:
        """Return the video whose passages are nearest to the question; the first where none is."""
        if not videos and self._store.videos():
            raise UsageError("no video is all that was asked for; see agentkit videos list")
        if not videos:
            raise UsageError("the store holds no video yet; agentkit ingest PATH")
        if len(videos) == 1:
            return videos[0]
        passages = self._retrieval.passages(text, where)
        by_id = {video.video_id: video for video in videos}
        near = (by_id[found.video_id] for found in passages if found.video_id in by_id)
        return next(near, videos[0])

    def _ask(
        self, question: Question, video: StoredVideo, request: Request, on_event: OnEvent | None
    ) -> Answer:
        """Answer from the cheapest tier that is exact: KV, else tokens, else the file's frames."""
        error: Exception | None = self._again.unreadable(video)
        try:
            if error is None:
                return self._asking.ask(question, video, request)
        except DamagedChunkError as damage:
            if damage.video_id != video.video_id:
                raise
            error = damage
        clock = StageClock()
        again = self._again.make(video, error, on_event)
        return self._asking.ask(question, again, replace(request, frames_s=clock.total_s))
