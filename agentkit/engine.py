"""What a session runs on, each part loaded when first needed: nothing is read twice, or in vain."""

import logging
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit import models
from agentkit.config import Settings
from agentkit.embedder import MiniLM
from agentkit.encoder_choice import EncoderChoice, choose_encoder, language_model_folder
from agentkit.encoders import load_encoder
from agentkit.errors import UsageError
from agentkit.instruments import Instruments, InstrumentSettings
from agentkit.plugin_manager import Domain
from agentkit.types import Encoder, SamplingPlan

if TYPE_CHECKING:
    import torch

    from videoxl2_model.config import PrefillConfig
    from videoxl2_model.model import LanguageModel

logger = logging.getLogger(__name__)

CHUNK_GROUPS = 4


class Engine:
    """The models that one set of settings names."""

    def __init__(self, settings: Settings, domain: Domain) -> None:
        self.settings = settings
        self.domain = domain

    @cached_property
    def choice(self) -> EncoderChoice:
        """Which encoder runs, and why; logged once, kept with every answer."""
        choice = choose_encoder(self.settings)
        logger.info("encoder %s: %s", choice.name, choice.reason)
        return choice

    @property
    def name(self) -> str:
        """What a coverage shows: encoder, language model and the reason of the choice."""
        return f"{self.choice.name}/{self.settings.language_model} ({self.choice.reason})"

    @cached_property
    def model(self) -> "LanguageModel":
        import torch

        from videoxl2_model.model import LanguageModel

        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        return LanguageModel.from_folder(self._model_folder, device=self._device)

    @cached_property
    def encoder(self) -> Encoder:
        tokenizer = sha256((self._model_folder / "tokenizer.json").read_bytes()).hexdigest()[:16]
        return load_encoder(
            self.choice.name, self.model, tokenizer, self.settings.notes.budget_tokens
        )

    @cached_property
    def embedder(self) -> MiniLM:
        return MiniLM(models.path("minilm"), threads=self.settings.threads)

    @cached_property
    def instruments(self) -> Instruments:
        settings = InstrumentSettings(self.settings.threads or InstrumentSettings().threads)
        instruments = Instruments.load(self.settings.notes.instruments, settings)
        self.domain.register_instruments(instruments.register)
        return instruments

    @property
    def prefill_config(self) -> "PrefillConfig":
        from videoxl2_model.config import PrefillConfig

        wanted = self.settings.prefill
        return PrefillConfig(
            block_groups=wanted.block_groups,
            lookback_blocks=wanted.lookback_blocks,
            min_block_rows=wanted.min_block_rows,
            max_segment_positions=wanted.max_segment_positions,
        )

    @cached_property
    def weights_fingerprint(self) -> str:
        """What the KV depends on besides tokens, prompt and settings."""
        return weights_fingerprint(self._model_folder)

    @property
    def kv_dtype(self) -> "torch.dtype":
        """The number type in which KV is stored."""
        import torch

        return {"float32": torch.float32, "float16": torch.float16}[self.settings.prefill.kv_dtype]

    @property
    def sampling_plan(self) -> SamplingPlan:
        """The plan for a video whose domain names none."""
        return self.settings.sampling.plan()

    @property
    def _device(self) -> str:
        """Where the model that reads notes runs: a small one is at home on a CPU.

        Raises:
            UsageError: the device is not here.
        """
        import torch

        device = "cpu" if self.settings.device == "auto" else self.settings.device
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UsageError(f"device {device!r}: this torch finds no GPU; set device to 'auto'")
        return device

    @property
    def _model_folder(self) -> Path:
        return language_model_folder(self.settings)


def weights_fingerprint(folder: Path) -> str:
    """Return what tells these weights from others: the manifest's hashes, else names and stamps."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return sha256(manifest.read_bytes()).hexdigest()[:16]
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr(stamps).encode()).hexdigest()[:16]
