"""The parts of a session, each made when it is first needed: models load as late as can be."""

from functools import cached_property
from typing import TYPE_CHECKING

from agentkit.config import Settings
from agentkit.engine import CHUNK_GROUPS, Engine
from agentkit.plugin_manager import Domain

if TYPE_CHECKING:  # these load torch, FAISS or ONNX Runtime: only when they are used
    from agentkit.again import Again
    from agentkit.asking import Asking
    from agentkit.detecting import Detectors
    from agentkit.executors.choice import Workers
    from agentkit.kv_tier import KVTier
    from agentkit.pipeline import Pipeline
    from agentkit.retrieval import Retrieval
    from agentkit_storage import Store


class Parts:
    """What settings, a domain and a store make of an engine's models."""

    def __init__(self, settings: Settings, domain: Domain, store: "Store") -> None:
        self._settings = settings
        self._domain = domain
        self._store = store
        self._engine = Engine(settings, domain)

    @cached_property
    def _retrieval(self) -> "Retrieval":
        from agentkit.retrieval import Retrieval, RetrievalConfig

        config = RetrievalConfig(min_near=self._settings.ask.min_score)
        return Retrieval(self._store, self._engine.embedder, config)

    @cached_property
    def _kv(self) -> "KVTier":
        from agentkit.kv_tier import KVTier, LastRead

        engine = self._engine
        return KVTier(
            self._store,
            engine.model,
            engine.prefill_config,
            engine.weights_fingerprint,
            engine.kv_dtype,
            self._domain.system_prompt,
            LastRead() if engine.rules.sees_pictures else None,
            engine.rules.kept_pool_step,
        )

    @cached_property
    def _again(self) -> "Again":
        from agentkit.again import Again

        return Again(self._store, self._engine, self._domain, lambda: self._pipeline)

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
        from agentkit.retrieval import TEXT_SPACE

        engine = self._engine
        embedder = engine.embedder
        # Before the first vector: what is exported says who made its vectors, asked or not.
        self._store.use_space(TEXT_SPACE, embedder.fingerprint, embedder.size)
        return Pipeline(
            store=self._store,
            domain=self._domain,
            instruments=engine.instruments,
            encoder=engine.encoder,
            embedder=embedder,
            kv=self._kv,
            visual_space=engine.visual_space,
            default_plan=engine.sampling_plan,
            chunk_groups=CHUNK_GROUPS,
            collection=self._settings.collection,
            allowed_roots=self._settings.allowed_roots,
            require_room=engine.require_room,
            others=self._workers,
        )

    @cached_property
    def _workers(self) -> "Workers":
        from agentkit.executors.choice import Workers
        from agentkit.observing import Observer

        engine = self._engine
        observer = Observer(engine.instruments, self._domain)
        return Workers(self._settings, observer, engine.encoder.picture_px, self._store)

    @cached_property
    def _detectors(self) -> "Detectors":
        from agentkit.detecting import Detectors
        from agentkit.instruments import InstrumentSettings

        return Detectors(self._settings.threads or InstrumentSettings().threads)

    def _end_workers(self) -> None:
        """End the processes that look at frames, where an ingest has started any."""
        workers = vars(self).get("_workers")
        if workers is not None:
            workers.close()
