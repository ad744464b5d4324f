"""Tiny random models for tests: right in every shape, wrong in every answer."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from videoxl2_model.decoder import Decoder
from videoxl2_model.weights import empty_model, load_decoder

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
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, value in sorted(empty_model(config).state_dict().items()):
        drawn = torch.randn(value.shape, generator=random)
        if value.dim() == 1:
            tensors[key] = drawn * 0.1 + (1.0 if key.endswith("norm.weight") else 0.0)
        else:
            tensors[key] = drawn * (1.0 if "embed" in key else value.shape[1] ** -0.5 * 1.5)
    if config["tie_word_embeddings"]:
        del tensors["lm_head.weight"]
    return tensors


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
