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
from videoxl2_model.config import GenerationSettings, VideoXL2Config, VisionConfig
from videoxl2_model.decoder import Decoder
from videoxl2_model.published import LANGUAGE_MODEL, TOWER, write_settings
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
    unused: dict[str, tuple[int, ...]] = {}
    if post_layernorm:
        unused |= {f"{TOWER}vision_model.post_layernorm.{x}": (width,) for x in ("weight", "bias")}
    if text_mlp:
        unused |= {"model.text_mlp.0.weight": (hidden, hidden), "model.text_mlp.0.bias": (hidden,)}
    # Drawn apart, so that what is used is the same with them and without.
    both = {**drawn(shapes, seed), **drawn(unused, seed)}
    tensors = {key: value.to(dtype) for key, value in both.items()}
    write(folder, tensors, [list(tensors)[first::shards] for first in range(shards)])
    stop_ids = [256 + SPECIALS.index(word) for word in ("<|im_end|>", "<|endoftext|>")]
    write_settings(folder, config, dtype, GenerationSettings(repetition_penalty=1.05), stop_ids)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
