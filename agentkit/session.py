"""Session: ingest, ask, search, frames. Owns the store, the models and the domain.

with Session.open() as session:
    video = session.ingest("match.mp4")
    print(session.ask("When was the first goal?", video).text)
"""

import math
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from agentkit.checks import check_question, check_range
from agentkit.config import Settings
from agentkit.engine import CHUNK_GROUPS, Engine
from agentkit.errors import OtherEncoderError, StaleVideoError, UnknownNameError, UsageError
from agentkit.plugin_manager import Domain
from agentkit.types import (
    Answer,
    ChunkHit,
    Note,
    OnEvent,
    OnText,
    Question,
    SamplingPlan,
    StoredVideo,
    Tier,
    Turns,
)
from agentkit.video import content_id, frames_at, probe

if TYPE_CHECKING:  # these load torch, FAISS or ONNX Runtime: only when they are used
    from agentkit.asking import Asking
    from agentkit.kv_tier import KVTier
    from agentkit.pipeline import Pipeline
    from agentkit.retrieval import Retrieval
    from agentkit_storage import Store

MAX_TURNS = 4  # of a conversation that a question is read in the light of
VideoName = str | Path | StoredVideo


class Session:
    """One store, one set of models, one domain. Not for several threads at once."""

    def __init__(self, settings: Settings, domain: Domain, store: "Store") -> None:
        self._settings = settings
        self._domain = domain
        self._store = store
        self._engine = Engine(settings, domain)

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
        """Release the store."""
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
    ) -> StoredVideo:
        """Bring a video into the store; nothing to do if this content is there already.

        Raises:
            VideoError: the file cannot be read as video.
        """
        return self._pipeline.ingest(Path(path), plan, on_event)

    def ask(
        self,
        text: str,
        videos: VideoName | Sequence[VideoName] | None = None,
        *,
        on_text: OnText | None = None,
        history: Turns = (),
        chunks: Collection[int] | None = None,
        collection: str | None = None,
    ) -> Answer:
        """Answer from one stored video; of several, from the one with the best evidence.

        `collection` names the only one that is looked in.

        `on_text` gets the answer's pieces as they come; `history` are earlier questions and
        answers of this conversation; `chunks` are those of the video to read whole, by default
        those that the settings choose.

        Raises:
            QuestionError: the question is empty, too long or holds control characters.
            OtherEncoderError: the video was ingested with an encoder that is not this one.
            UnknownChunkError: the video has no such chunk.
        """
        question = Question(check_question(text))
        video = self._best(question.text, self._named(videos, collection))
        self._check_encoder(video)
        return self._asking.ask(
            question, video, history[-MAX_TURNS:], on_text or (lambda piece: None), chunks
        )

    def ask_many(self, text: str, videos: Sequence[VideoName] = ()) -> list[Answer]:
        """Answer from each video on its own, in the order given; all videos by default."""
        return [self.ask(text, video) for video in self._named(videos or None)]

    def search(
        self,
        text: str,
        videos: Sequence[VideoName] = (),
        k: int = 10,
        collection: str | None = None,
    ) -> list[ChunkHit]:
        """Return the chunks that hold what `text` names, best first; none where nothing does."""
        ids = [video.video_id for video in self._named(videos or None, collection)]
        return self._retrieval.search(check_question(text), ids, k) if ids else []

    def similar(self, video: VideoName, at_s: float, k: int = 10) -> list[ChunkHit]:
        """Return the chunks most like the one at a time, over all videos, itself left out."""
        stored = self.video(video)
        check_range(stored.duration_s, at_s, at_s)
        return self._retrieval.similar(stored.video_id, at_s, self._engine.visual_space, k)

    def videos(self, collection: str | None = None) -> list[StoredVideo]:
        """Return everything in the store, or in one of its collections."""
        return self._named(None, collection)

    def video(self, name: VideoName) -> StoredVideo:
        """Return a stored video by id, unambiguous prefix of it, path or file name."""
        return name if isinstance(name, StoredVideo) else self._store.video(str(name))

    def tiers(self, name: VideoName) -> list[Tier]:
        """Return what is kept of a video: bytes, number types and makings, tier by tier."""
        return self._store.tiers(self.video(name).video_id)

    def pin(self, name: VideoName, pinned: bool = True) -> None:
        """Let a video's KV stay whatever `tiers.kv_budget_gb` says, or no longer."""
        self._store.pin_kv(self.video(name).video_id, pinned)

    def remove(self, name: VideoName) -> None:
        """Take a video out of every tier and out of search, and free its bytes."""
        self._store.remove_video(self.video(name).video_id)
        self._store.gc()

    def notes(
        self, name: VideoName, start_s: float = 0.0, end_s: float | None = None
    ) -> list[Note]:
        """Return what was noted between two times."""
        video = self.video(name)
        check_range(video.duration_s, start_s, end_s)
        return self._store.notes(video.video_id, start_s, math.inf if end_s is None else end_s)

    def frames(self, name: VideoName, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
        """Return the frames shown at these times, each [H, W, 3] RGB, from the file itself.

        Raises:
            StaleVideoError: the file is not the one that was ingested.
        """
        video = self.video(name)
        path = Path(video.path)
        if content_id(path) != video.video_id:
            raise StaleVideoError(f"{path}: changed since it was ingested; ingest it again", path)
        return frames_at(probe(path, allowed_roots=self._settings.allowed_roots), times_s)

    def _named(
        self, videos: VideoName | Sequence[VideoName] | None, collection: str | None = None
    ) -> list[StoredVideo]:
        """Return the videos meant: those named, or all of the store or of one collection.

        Raises:
            UnknownNameError: there is no such collection.
            UsageError: a video that was named is not in it.
        """
        known = [] if collection is None else self._store.collections()
        if collection is not None and collection not in known:
            raise UnknownNameError("collection", collection, known)
        if videos is None:
            from agentkit_storage import Filter

            return self._store.videos(Filter(collection=collection))
        names = [videos] if isinstance(videos, str | Path | StoredVideo) else videos
        found = [self.video(name) for name in names]
        for video in found:
            if collection not in (None, video.collection):
                raise UsageError(f"{video.path}: not in the collection {collection!r}")
        return found

    def _best(self, text: str, videos: Sequence[StoredVideo]) -> StoredVideo:
        """Return the video whose passages are nearest to the question; the first where none is."""
        if not videos:
            raise UsageError("the store holds no video yet; agentkit ingest PATH")
        if len(videos) == 1:
            return videos[0]
        by_id = {video.video_id: video for video in videos}
        passages = self._retrieval.passages(text, list(by_id))
        return by_id[passages[0].video_id] if passages else videos[0]

    def _check_encoder(self, video: StoredVideo) -> None:
        """Refuse a video whose tokens are not for this model."""
        if video.chunks and "tokens" not in video.tiers:
            raise OtherEncoderError(
                f"{video.path}: its tokens stayed behind when it was exported; import a bundle"
                " with tokens, or ingest the file",
                video.path,
            )
        name = self._engine.choice.name
        if not self._engine.can_read(self._store.fingerprint(video.video_id) or ""):
            raise OtherEncoderError(
                f"{video.path}: ingested with another encoder or other weights than {name};"
                f" `agentkit ingest --encoder {name}` it again, or ask with the encoder that it"
                " was ingested with",
                video.path,
            )

    @cached_property
    def _retrieval(self) -> "Retrieval":
        from agentkit.retrieval import Retrieval, RetrievalConfig

        config = RetrievalConfig(min_near=self._settings.ask.min_score)
        return Retrieval(self._store, self._engine.embedder, config)

    @cached_property
    def _kv(self) -> "KVTier":
        from agentkit.kv_tier import KVTier, LastWhole

        engine = self._engine
        return KVTier(
            self._store,
            engine.model,
            engine.prefill_config,
            engine.weights_fingerprint,
            engine.kv_dtype,
            self._domain.system_prompt,
            LastWhole() if engine.rules.sees_pictures else None,
        )

    @cached_property
    def _asking(self) -> "Asking":
        from agentkit.asking import Asking

        engine = self._engine
        return Asking(
            settings=self._settings.ask,
            rules=engine.rules,
            kv=self._kv,
            retrieval=self._retrieval,
            domain=self._domain,
            generation=engine.generation,
            encoder=engine.choice.name,
            engine=engine.name,
            chunk_groups=CHUNK_GROUPS,
        )

    @cached_property
    def _pipeline(self) -> "Pipeline":
        from agentkit.pipeline import Pipeline

        engine = self._engine
        return Pipeline(
            store=self._store,
            domain=self._domain,
            instruments=engine.instruments,
            encoder=engine.encoder,
            embedder=engine.embedder,
            kv=self._kv,
            visual_space=engine.visual_space,
            default_plan=engine.sampling_plan,
            chunk_groups=CHUNK_GROUPS,
            collection=self._settings.collection,
            allowed_roots=self._settings.allowed_roots,
            require_room=engine.require_room,
        )
