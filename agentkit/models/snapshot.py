"""A model that only the hub has, taken as a whole repository; its files are listed by the hub."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from agentkit.errors import ModelFilesError
from agentkit.models.sources import Source
from agentkit.models.spec import HUB_URL, ModelSpec

logger = logging.getLogger(__name__)

# Weights, configuration and tokenizer. Never code: the model's own is in videoxl2_model.
_WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "LICENSE*", "README.md")
_INDEX, _SINGLE, _CONFIG = "model.safetensors.index.json", "model.safetensors", "config.json"


def is_complete(folder: Path) -> bool:
    """Return whether the configuration and every shard that the index names are there; cheap."""
    return (folder / _CONFIG).is_file() and not _missing(folder)


def pull(model: ModelSpec, folder: Path, sources: Sequence[Source]) -> None:
    """Fetch the repository into `folder`; what is there already is kept (huggingface_hub).

    Raises:
        ModelFilesError: offline, unreachable or gated; the message says what is needed.
    """
    if not any(source.network for source in sources):
        raise ModelFilesError(f"offline: {model.name} cannot be fetched. {_by_hand(model, folder)}")
    from huggingface_hub import errors, snapshot_download

    logger.info("fetching %s", model.hub_repo)
    try:
        snapshot_download(model.hub_repo, local_dir=folder, allow_patterns=list(_WANTED))
    except errors.RepositoryNotFoundError as error:  # gated, too: both look alike without a token
        raise ModelFilesError(_gated(model, folder)) from error
    except (OSError, ValueError, _broken_line(errors)) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFilesError(
            f"{model.hub_repo} cannot be fetched from the hub ({reason}). {_by_hand(model, folder)}"
        ) from error
    if left := _missing(folder):
        raise ModelFilesError(f"{folder} lacks {', '.join(left)}; pull again to go on")


def _broken_line(errors: ModuleType) -> type[Exception]:
    """Return the error of the hub's own HTTP client, whose name differs between its versions."""
    base: type[Exception] = errors.HTTPError
    return base


def problems(model: ModelSpec, folder: Path) -> list[str]:
    """Return what is wrong with the folder: missing files, and shards that are no safetensors.

    The hub lists its own hashes and checks them while fetching; here every header is read and held
    against the size of its file, which finds what was cut or put in by hand by mistake.
    """
    if not (folder / _CONFIG).is_file():
        return [f"model {model.name!r} is not here: {how_to_get(model, folder)}"]
    found = [f"{folder / name}: missing" for name in _missing(folder)]
    return found + [
        f"{path}: {wrong}; delete it, then `agentkit models pull {model.name}`"
        for path in sorted(folder.glob("*.safetensors"))
        if (wrong := _wrong(path))
    ]


def how_to_get(model: ModelSpec, folder: Path) -> str:
    """Return in words how the model comes into `folder`."""
    return (
        f"`agentkit models pull {model.name}` fetches {model.hub_repo} from the hub. "
        f"{_by_hand(model, folder)}"
    )


def _by_hand(model: ModelSpec, folder: Path) -> str:
    return (
        f"By hand: put the files of {HUB_URL}/{model.hub_repo} (config.json, *.safetensors, the "
        f"tokenizer) into {folder}, or name their folder in the setting {model.name}_path"
    )


def _gated(model: ModelSpec, folder: Path) -> str:
    return (
        f"{model.hub_repo} is refused by the hub: accept its licence at {HUB_URL}/{model.hub_repo} "
        f"and give a token (`hf auth login` or HF_TOKEN). {_by_hand(model, folder)}"
    )


def _missing(folder: Path) -> list[str]:
    index = folder / _INDEX
    if not index.is_file():
        return [] if (folder / _SINGLE).is_file() else [f"{_INDEX} or {_SINGLE}"]
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError):
        return [_INDEX]
    return sorted(shard for shard in shards if not (folder / shard).is_file())


def _wrong(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):  # checks the header against the file's size
            return ""
    except (SafetensorError, OSError) as error:
        return f"damaged ({error})"
