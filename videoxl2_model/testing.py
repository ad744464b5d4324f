"""Tiny random models for tests: right in every shape, wrong in every answer."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from videoxl2_model.checkpoint import write
from videoxl2_model.config import VideoXL2Config, VisionConfig
from videoxl2_model.decoder import Decoder
from videoxl2_model.published import LANGUAGE_MODEL, TOWER, config_fields
from videoxl2_model.weights import VideoModules, empty_model, load_decoder

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_pad|>")


def tiny_config(**changes: Any) -> dict[str, Any]:
    """Return a Qwen2 configuration of two layers; `changes` override its fields."""
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 256 + len(SPECIALS),
        "max_position_embeddings": 4096,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    }
    return {**config, **changes}


def tiny_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Return random weights for a configuration, by checkpoint key."""
    shapes = {key: value.shape for key, value in empty_model(config).state_dict().items()}
    if config["tie_word_embeddings"]:
        del shapes["lm_head.weight"]
    return drawn(shapes, seed)


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Return random weights of given shapes, scaled so that values stay near 1 in a forward."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, shape in sorted(shapes.items()):
        values = torch.randn(shape, generator=random)
        if len(shape) == 1:
            tensors[key] = values * 0.1 + (1.0 if key.endswith(".weight") else 0.0)
        else:
            tensors[key] = values * _scale(key, shape)
    return tensors


def _scale(key: str, shape: tuple[int, ...]) -> float:
    table = key.endswith(("embed_tokens.weight", "position_embedding.weight"))
    if table or key.endswith(("temporal_encoding", "embeddings_table")):
        return 1.0 if table else 0.3
    picture = key.startswith((TOWER, "model.sae.", "model.mm_projector."))
    return (0.9 if picture else 1.5) / math.sqrt(math.prod(shape[1:]))


def tiny_tokenizer() -> Tokenizer:
    """Return a byte-level tokenizer: one id per byte, then the ChatML specials."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({each: i for i, each in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in SPECIALS])
    return tokenizer


def write_tiny_checkpoint(folder: Path | str, seed: int = 0, **changes: Any) -> Path:
    """Write config.json, model.safetensors and tokenizer.json; return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**changes)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tiny_tensors(config, seed), folder / "model.safetensors", {"format": "pt"})
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def tiny_decoder(folder: Path | str, seed: int = 0, **changes: Any) -> Decoder:
    """Write a tiny checkpoint into `folder` and load it, float32 in single-row steps too."""
    return load_decoder(write_tiny_checkpoint(folder, seed, **changes), steps="model")


def tiny_videoxl2_config(**changes: Any) -> VideoXL2Config:
    """Return the sizes of a Video-XL-2 of two layers each; see `write_tiny_videoxl2`."""
    vision = {
        "hidden_size": 64,
        "intermediate_size": 144,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 112,
        "patch_size": 14,
        **changes.pop("vision_config", {}),
    }
    language = tiny_config(**{"tie_word_embeddings": False, **changes})
    known = {name: value for name, value in language.items() if name in LANGUAGE_MODEL}
    return VideoXL2Config(VisionConfig(**vision), known)


def write_tiny_videoxl2(
    folder: Path | str,
    *,
    seed: int = 0,
    shards: int = 1,
    text_mlp: bool = False,
    post_layernorm: bool = True,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Path:
    """Write a tiny checkpoint in the public layout and return the folder.

    `text_mlp` and `post_layernorm` add the keys that the public modules have and never use.
    `changes` override fields of the language model; `vision_config={...}` those of the tower.
    """
    folder = Path(folder)
    config = tiny_videoxl2_config(**changes)
    shapes = {key: slot.shape for key, slot in VideoModules.empty(config).slots().items()}
    width, hidden = config.vision.hidden_size, config.hidden_size
    if post_layernorm:
        shapes |= {f"{TOWER}vision_model.post_layernorm.{x}": (width,) for x in ("weight", "bias")}
    if text_mlp:
        shapes |= {"model.text_mlp.0.weight": (hidden, hidden), "model.text_mlp.0.bias": (hidden,)}
    tensors = {key: value.to(dtype) for key, value in drawn(shapes, seed).items()}
    write(folder, tensors, [list(tensors)[first::shards] for first in range(shards)])
    fields = config_fields(config, str(dtype).removeprefix("torch."))
    (folder / "config.json").write_text(json.dumps(fields, indent=1), encoding="utf-8")
    generation = {"eos_token_id": [258, 256], "repetition_penalty": 1.05, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
