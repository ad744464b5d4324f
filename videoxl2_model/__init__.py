"""The model: arrays and token ids in, tokens out. Knows no video file, no SQL, no agent.

Names are imported on first use: the frame rules and prompt texts in here must cost no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videoxl2_model.config import (
        GenerationSettings,
        PrefillConfig,
        SparseRule,
        VideoXL2Config,
        VisionConfig,
    )
    from videoxl2_model.decode_cache import DecodeCache
    from videoxl2_model.decoder import Decoder
    from videoxl2_model.kv_cache import VideoKV
    from videoxl2_model.model import LanguageModel
    from videoxl2_model.prefill import Prefill, TokenGroup
    from videoxl2_model.videoxl2 import VideoXL2
    from videoxl2_model.weights import load_decoder

__all__ = [
    "DecodeCache",
    "Decoder",
    "GenerationSettings",
    "LanguageModel",
    "Prefill",
    "PrefillConfig",
    "SparseRule",
    "TokenGroup",
    "VideoKV",
    "VideoXL2",
    "VideoXL2Config",
    "VisionConfig",
    "load_decoder",
]

_HOMES = {
    "DecodeCache": "decode_cache",
    "Decoder": "decoder",
    "GenerationSettings": "config",
    "LanguageModel": "model",
    "Prefill": "prefill",
    "PrefillConfig": "config",
    "SparseRule": "config",
    "TokenGroup": "prefill",
    "VideoKV": "kv_cache",
    "VideoXL2": "videoxl2",
    "VideoXL2Config": "config",
    "VisionConfig": "config",
    "load_decoder": "weights",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
