"""What a session runs on, each part loaded when first needed: nothing is read twice, or in vain."""

import logging
import os
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit import models
from agentkit.config import Settings
from agentkit.embedder import MiniLM
from agentkit.encoder_choice import (
    EncoderChoice,
    choose_encoder,
    language_model_folder,
    videoxl2_folder,
)
from agentkit.encoders import NotesEncoder, VideoXL2Encoder
from agentkit.errors import UsageError
from agentkit.instruments import Instruments, InstrumentSettings
from agentkit.note_line import VERSION
from agentkit.plugin_manager import Domain
from agentkit.rules import VIDEOXL2, Rules, rules_of
from agentkit.types import Encoder, SamplingPlan, VideoInfo

if TYPE_CHECKING:
    import torch

    from videoxl2_model.config import GenerationSettings, PrefillConfig
    from videoxl2_model.model import LanguageModel
    from videoxl2_model.videoxl2 import VideoXL2

logger = logging.getLogger(__name__)

CHUNK_GROUPS = 4
SAMPLES, SAMPLE_BYTES = 256, 4096  # of a file of weights, for its fingerprint
PICTURES_VERSION = 1  # of how frames become rows: raise it when that changes


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
        reader = "its own" if self._sees else self.settings.language_model
        return f"{self.choice.name}/{reader} ({self.choice.reason})"

    @property
    def _sees(self) -> bool:
        return self.choice.name == VIDEOXL2

    @cached_property
    def rules(self) -> Rules:
        """What runs under these settings with this encoder."""
        return rules_of(self.choice.name, self.settings)

    @cached_property
    def model(self) -> "LanguageModel":
        """The language model: the one that reads notes, or the video model's own."""
        if self._sees:
            return self.video_model.language
        from videoxl2_model.model import LanguageModel

        self._set_threads()
        return LanguageModel.from_folder(self._model_folder, device=self._device)

    @cached_property
    def video_model(self) -> "VideoXL2":
        """The model that sees pictures; on a GPU in the checkpoint's own type, else float32."""
        from videoxl2_model.videoxl2 import VideoXL2

        self._set_threads()
        return VideoXL2.from_pretrained(
            self._model_folder, device=self._device, weights=self.settings.videoxl2_weights
        )

    @property
    def generation(self) -> "GenerationSettings":
        """How the model's makers want answers drawn; greedy."""
        from videoxl2_model.config import GenerationSettings

        return self.video_model.settings if self._sees else GenerationSettings()

    def _set_threads(self) -> None:
        import torch

        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)

    @cached_property
    def encoder(self) -> Encoder:
        if self._sees:
            return VideoXL2Encoder(self.video_model, self.encoder_fingerprint)
        return NotesEncoder(
            tokenize=self.model.encode,
            embed_ids=self.model.embed_ids,
            budget_tokens=self.settings.notes.budget_tokens,
            fingerprint=self.encoder_fingerprint,
        )

    @cached_property
    def encoder_fingerprint(self) -> str:
        """What the tokens depend on besides frames and notes; read from files, loads no model."""
        if self._sees:
            return f"{VIDEOXL2}/{PICTURES_VERSION}/{self.files_fingerprint}"
        tokenizer = sha256((self._model_folder / "tokenizer.json").read_bytes()).hexdigest()[:16]
        return f"notes/{VERSION}/{tokenizer}/{self.settings.notes.budget_tokens}"

    def can_read(self, making: str) -> bool:
        """Say whether tokens of this making (the store's fingerprint) are for this model.

        Lines of notes are text for any language model of the tokenizer that made their ids; rows
        are for the model that made them.
        """
        parts = making.split("|")
        if self._sees:
            return self.encoder_fingerprint in parts
        kind, _, tokenizer, _ = self.encoder_fingerprint.split("/")
        return any(part.split("/")[::2] == [kind, tokenizer] for part in parts)

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
            max_segment_positions=self.rules.max_segment_positions or None,
        )

    @cached_property
    def files_fingerprint(self) -> str:
        """What the pictures' rows depend on: packing touches the language model alone."""
        return weights_fingerprint(self._model_folder)

    @property
    def visual_space(self) -> str:
        """The space of the pooled vectors of chunks."""
        from agentkit.retrieval import visual_space

        return visual_space(self.choice.name, self.files_fingerprint)

    @property
    def weights_fingerprint(self) -> str:
        """What the KV depends on besides tokens, prompt and settings."""
        files, kind = self.files_fingerprint, self.settings.videoxl2_weights
        if not self._sees or kind == "model":
            return files
        return sha256(f"{files}/{kind}".encode()).hexdigest()[:16]

    @property
    def kv_dtype(self) -> "torch.dtype":
        """The number type in which KV is stored."""
        import torch

        dtype: torch.dtype = getattr(torch, self.rules.kv_dtype)
        return dtype

    def require_room(self, info: VideoInfo, num_frames: int) -> None:
        """Make sure that a video of so many frames fits the GPU, where the model is on one.

        Raises:
            RoomError: it does not; the message says what would.
        """
        if not self._sees or self._device_bytes is None:
            return
        from agentkit.room import require

        config = self.video_model.config
        require(config, self.settings, self.rules, self._device_bytes, info, num_frames)

    @property
    def _device_bytes(self) -> int | None:
        """What the model may take of the GPU it is on; None on a CPU."""
        device = self.model.decoder.device
        if device.type != "cuda":
            return None
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)

    @property
    def sampling_plan(self) -> SamplingPlan:
        """The plan for a video whose domain names none."""
        return self.settings.sampling.plan()

    @property
    def _device(self) -> str:
        """Where the model runs: the one that reads notes is small and at home on a CPU.

        Raises:
            UsageError: the device is not here.
        """
        import torch

        device = self.settings.device
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UsageError(f"device {device!r}: this torch finds no GPU; set device to 'auto'")
        return "cpu" if device == "auto" and not self._sees else device

    @cached_property
    def _model_folder(self) -> Path:
        if not self._sees:
            return language_model_folder(self.settings)
        folder = videoxl2_folder(self.settings)
        assert folder is not None, "choose_encoder looked"
        return folder


def weights_fingerprint(folder: Path) -> str:
    """Return what tells these weights from others: the manifest's hashes, else their own bytes.

    Of each file of weights the header and a spread of samples are hashed: a copy stays the same
    model, other training does not, and gigabytes are not read for it.
    """
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return sha256(manifest.read_bytes()).hexdigest()[:16]
    told = sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        told.update(f"{path.name}/{path.stat().st_size}".encode())
        told.update(_sampled(path))
    return told.hexdigest()[:16]


def _sampled(path: Path) -> bytes:
    """Return pieces of a file, from its first byte to its last, evenly spread."""
    last = max(path.stat().st_size - SAMPLE_BYTES, 0)
    starts = sorted({last * i // (SAMPLES - 1) for i in range(SAMPLES)})
    with path.open("rb") as file:
        return b"".join(os.pread(file.fileno(), SAMPLE_BYTES, start) for start in starts)
