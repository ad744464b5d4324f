"""Which encoder runs, and why: never a silent fallback, never weights that are not there."""

import os
from dataclasses import dataclass
from pathlib import Path

from agentkit import models
from agentkit.config import Settings
from agentkit.errors import ModelFilesError
from agentkit.rules import NOTES, VIDEOXL2


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The encoder that runs, and the reason: shown by `doctor`, kept with every answer."""

    name: str
    reason: str


def choose_encoder(settings: Settings) -> EncoderChoice:
    """Return the encoder asked for; `auto` is videoxl2 where its weights and a GPU are, else notes.

    Raises:
        ModelFilesError: videoxl2 was asked for and its weights are not there.
    """
    if settings.encoder == NOTES:
        return EncoderChoice(NOTES, "asked for")
    folder = videoxl2_folder(settings)
    if settings.encoder == VIDEOXL2:
        if folder is None and settings.videoxl2_path:
            raise ModelFilesError(
                f"{settings.videoxl2_path}: no Video-XL-2 here (no config.json); name the folder"
                " of the checkpoint in videoxl2_path, or leave it out and"
                " `agentkit models pull videoxl2`"
            )
        return EncoderChoice(VIDEOXL2, f"asked for; its weights are in {folder or _pulled()}")
    if folder is None:
        return EncoderChoice(NOTES, "auto: the weights of videoxl2 are not here")
    gpu = gpu_name(settings)
    if gpu is None:
        return EncoderChoice(NOTES, f"auto: no GPU for videoxl2 (device {settings.device})")
    return EncoderChoice(VIDEOXL2, f"auto: its weights are in {folder} and there is a GPU, {gpu}")


def videoxl2_folder(settings: Settings) -> Path | None:
    """Return where the checkpoint is, None where it is not."""
    folder = settings.videoxl2_path
    if folder is not None:
        return folder if (folder / "config.json").is_file() else None
    return _pulled() if models.available(VIDEOXL2) else None


def language_model_folder(settings: Settings) -> Path:
    """Return the folder of the model that reads notes: of the catalogue, or one that is named.

    Raises:
        UnknownNameError: no such model, and no path.
        ModelFilesError: its files are not there.
    """
    name = settings.language_model
    if os.sep not in name:
        return models.path(name)
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelFilesError(f"{folder}: no language model here (no config.json)")
    return folder


def gpu_name(settings: Settings) -> str | None:
    """Return the name of the CUDA GPU that these settings allow, None where there is none."""
    if settings.device == "cpu":
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    index = torch.device("cuda" if settings.device == "auto" else settings.device).index
    return torch.cuda.get_device_name(index or 0)


def _pulled() -> Path:
    """Return the folder that `models pull` fills; it says what to do where it is empty."""
    return models.path(VIDEOXL2)
