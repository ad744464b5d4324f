"""From a folder of config.json and safetensors to a decoder, mapped where types allow."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videoxl2_model.config import StepWeights
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import CheckpointError

NAMED = 6  # keys of one kind that an error names


def load_decoder(
    folder: Path | str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    steps: StepWeights = "auto",
) -> Decoder:
    """Return the Qwen2 decoder of a folder with config.json and model*.safetensors.

    Tensors stay mapped to the files where type and device are the stored ones. A tied output
    layer stays tied.

    Raises:
        CheckpointError: files are missing or damaged, or tensors are missing, unknown or of
            another shape; all are named at once.
    """
    folder = Path(folder)
    model = empty_model(read_config(folder))
    tensors = {key: tensor.to(device, dtype) for key, tensor in read_tensors(folder)}
    fill(model, tensors, folder)
    return Decoder(model.eval(), steps)


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json as a mapping."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as a configuration: {error}") from error
    if not isinstance(config, dict) or config.get("model_type") != "qwen2":
        raise CheckpointError(f"{path}: not the configuration of a Qwen2 model")
    return config


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of the folder's safetensors files, mapped."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: no safetensors file; pull the model again")
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 — the handle is no mapping
                    yield key, file.get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: damaged: {error}; pull the model again") from error


def empty_model(config: Mapping[str, Any]) -> Any:
    """Return a Qwen2ForCausalLM without storage."""
    # Imported here: transformers takes seconds, and not every caller loads a checkpoint.
    from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    with torch.device("meta"):
        return Qwen2ForCausalLM(Qwen2Config.from_dict(dict(config)))


def fill(model: Any, tensors: dict[str, Tensor], folder: Path) -> None:
    """Give a model without storage its tensors.

    Raises:
        CheckpointError: naming what is missing, unknown or of another shape.
    """
    tied = bool(model.config.tie_word_embeddings)
    if tied:
        tensors.pop("lm_head.weight", None)
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if tied:
        del wanted["lm_head.weight"]
    check(wanted, tensors, folder)
    model.load_state_dict(tensors, strict=False, assign=True)
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    # Its tables are no part of a checkpoint and were made without storage.
    rotary = type(model.model.rotary_emb)(config=model.config)
    model.model.rotary_emb = rotary.to(model.model.embed_tokens.weight.device)


def check(
    wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], folder: Path
) -> None:
    """Compare keys and shapes; the rotary buffer of old checkpoints may be there."""
    misshaped = [
        f"{key} {list(tensors[key].shape)} for {list(shape)}"
        for key, shape in wanted.items()
        if key in tensors and tuple(tensors[key].shape) != shape
    ]
    extra = [key for key in tensors if key not in wanted and not key.endswith("inv_freq")]
    faults = {
        "missing": [key for key in wanted if key not in tensors],
        "unknown": extra,
        "misshaped": misshaped,
    }
    told = [f"{kind}: {_listed(keys)}" for kind, keys in faults.items() if keys]
    if told:
        raise CheckpointError(f"{folder}: the weights do not fit config.json; {'; '.join(told)}")


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(sorted(keys)[:NAMED]) + more
