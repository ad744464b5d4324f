"""What the public Video-XL-2 checkpoint calls things: the fields of its config.json, its keys.

Source: the public reference's modules and training scripts. The published config.json itself was
not at hand, so what was inferred is held against the file that is loaded.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from math import inf
from pathlib import Path
from typing import Any

import torch

from videoxl2_model.checkpoint import read_json, some
from videoxl2_model.config import GenerationSettings, VideoXL2Config, VisionConfig
from videoxl2_model.errors import CheckpointError, SettingError

logger = logging.getLogger(__name__)

MODEL_TYPE = "llava_qwen"
ARCHITECTURE = "LlavaQwenForCausalLM"
TOWER = "model.vision_tower.vision_tower."
CONNECTOR = "model."
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
LAYERS = "model.layers."

# Qwen2.5-7B-Instruct; a field that config.json lacks takes this value.
LANGUAGE_MODEL: Mapping[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
# What this package computes. Another value: refused, or the reference overrides it as well.
REFUSED = {"mm_projector_type": "mlp2x_gelu", "hidden_act": "silu", "use_sliding_window": False}
OVERRIDDEN = {"mm_spatial_pool_stride": 2, "mm_spatial_pool_mode": "average", "rope_scaling": None}
REFUSED_VISION = {"hidden_act": "gelu_pytorch_tanh"}


def full_size() -> VideoXL2Config:
    """Return the sizes of the public checkpoint."""
    return VideoXL2Config(VisionConfig(), dict(LANGUAGE_MODEL))


def read_config(folder: Path) -> VideoXL2Config:
    """Return the sizes that a folder's config.json gives.

    The public file says nothing of the tower: it is SigLIP-SO400M then. `vision_config`, which
    `save_pretrained` writes, names others.

    Raises:
        CheckpointError: the file is missing or damaged, of another architecture, or asks for what
            is not computed here.
    """
    path = folder / "config.json"
    return config_from(read_json(path), path)


def config_from(raw: Mapping[str, Any], path: Path) -> VideoXL2Config:
    """Return the sizes in the fields of a config.json; see `read_config`."""
    if raw.get("model_type") != MODEL_TYPE:
        raise CheckpointError(
            f"{path}: not the configuration of a Video-XL-2: model_type is"
            f" {raw.get('model_type')!r}, not {MODEL_TYPE!r}"
        )
    _refuse(raw, REFUSED, path)
    told = {"rope_scaling": _newer_scaling(raw), **raw}
    for name, ours in OVERRIDDEN.items():
        if told.get(name, ours) != ours:
            logger.warning("%s: %s is %r; %r is used", path, name, told[name], ours)
    known = {name: raw.get(name, value) for name, value in LANGUAGE_MODEL.items()}
    known["rope_theta"] = _rope_theta(raw)
    if "head_dim" in raw:
        known["head_dim"] = raw["head_dim"]
    try:
        config = VideoXL2Config(_vision(raw.get("vision_config") or {}, path), known)
        _check_numbers(config)
    except (SettingError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return config


def _refuse(raw: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    other = [
        f"{name} is {raw[name]!r}, not {value!r}"
        for name, value in wanted.items()
        if raw.get(name) is not None and raw[name] != value
    ]
    if other:
        raise CheckpointError(f"{path}: this model is not computed here: {'; '.join(other)}")


def _rope_theta(raw: Mapping[str, Any]) -> Any:
    """Return the base of the rotation; transformers 5 writes it into `rope_parameters`."""
    inner = _rope_parameters(raw)
    return raw.get("rope_theta", inner.get("rope_theta", LANGUAGE_MODEL["rope_theta"]))


def _rope_parameters(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = raw.get("rope_parameters")
    return inner if isinstance(inner, dict) else {}


def _newer_scaling(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    inner = _rope_parameters(raw)
    return inner if inner.get("rope_type", "default") != "default" else None


def _vision(raw: Mapping[str, Any], path: Path) -> VisionConfig:
    _refuse(raw, REFUSED_VISION, path)
    names = {each.name for each in fields(VisionConfig)}
    return VisionConfig(**{name: value for name, value in raw.items() if name in names})


def _check_numbers(config: VideoXL2Config) -> None:
    named = {**asdict(config.vision), **config.language_model}
    del named["hidden_act"], named["tie_word_embeddings"]
    bad = [
        f"{name} is {value!r}"
        for name, value in named.items()
        if isinstance(value, bool) or not isinstance(value, _kind(name)) or not 0 < value < inf
    ]
    if bad:
        raise SettingError(f"sizes must be positive numbers: {some(bad)}")
    if not isinstance(config.language_model["tie_word_embeddings"], bool):
        raise SettingError("tie_word_embeddings must be true or false")
    if config.vision.hidden_size % 32:
        raise SettingError(f"the tower's width {config.vision.hidden_size} must divide by 32")


def _kind(name: str) -> Any:
    return int | float if name.endswith(("_eps", "_theta")) else int


def config_fields(config: VideoXL2Config, torch_dtype: str) -> dict[str, Any]:
    """Return the fields of a config.json in the public layout, and `vision_config`."""
    width = config.vision.hidden_size
    return {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "torch_dtype": torch_dtype,
        **config.language_model,
        "use_sliding_window": False,
        "mm_hidden_size": width,
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": "spatial_pool",
        "mm_spatial_pool_mode": "average",
        "mm_spatial_pool_out_channels": width,
        "mm_spatial_pool_stride": 2,
        "mm_patch_merge_type": "unires",
        "vision_config": {
            **asdict(config.vision),
            "model_type": "siglip_vision_model",
            "hidden_act": "gelu_pytorch_tanh",
        },
    }


def read_generation(folder: Path) -> GenerationSettings:
    """Return the defaults of generation_config.json: its penalty and its end tokens.

    Answers are greedy whatever it says of sampling, as in the reference's evaluation.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / "generation_config.json"
    raw = read_json(path) if path.is_file() else {}
    ends = raw.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    try:
        penalty = float(raw.get("repetition_penalty") or 1.0)
        return GenerationSettings(repetition_penalty=penalty, stop_ids=tuple(map(int, ends)))
    except (SettingError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def write_settings(
    folder: Path,
    config: VideoXL2Config,
    dtype: torch.dtype,
    settings: GenerationSettings,
    stop_ids: Sequence[int],
) -> None:
    """Write config.json and generation_config.json."""
    penalty = settings.repetition_penalty
    told = {"do_sample": False, "eos_token_id": list(stop_ids), "repetition_penalty": penalty}
    fields = config_fields(config, str(dtype).removeprefix("torch."))
    for name, value in (("config.json", fields), ("generation_config.json", told)):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def is_unused(key: str, config: VideoXL2Config) -> bool:
    """Return whether a key may be there or not: the public modules have it and never use it."""
    dropped = f"{TOWER}vision_model.encoder.layers.{config.vision.kept_layers}."
    prefixes = (
        dropped,
        f"{TOWER}vision_model.post_layernorm.",
        f"{TOWER}vision_model.head.",
        "model.text_mlp.",
        "model.image_newline",
    )
    return key.startswith(prefixes) or key.endswith((".inv_freq", ".position_ids"))
