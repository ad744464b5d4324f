"""What storage keeps of a cache: keys and values of a run of rows, as they are or in 8 bits."""

from collections.abc import Mapping

import torch
from torch import Tensor

from videoxl2_model.errors import SettingError
from videoxl2_model.pages import scales_of, steps_of

Part = dict[str, Tensor]
KINDS = ("key", "value")
LENGTHS = ("time_lengths", "token_lengths", "segments")


def names_of(dtype: torch.dtype) -> tuple[str, ...]:
    """Return the names of what a part of some groups has."""
    scales = [f"{kind}_scales" for kind in KINDS] if dtype == torch.int8 else []
    return (*LENGTHS, *(f"{kind}s" for kind in KINDS), *scales)


def stored(both: Tensor, dtype: torch.dtype) -> Part:
    """Return keys and values [layers, 2, H_kv, n, D] as storage keeps them."""
    if dtype == torch.int8:
        both = both.float()
        return {**_packed("key", both[:, 0], -2), **_packed("value", both[:, 1], -1)}
    pair = both.to(dtype)
    return {
        "keys": pair[:, 0].clone(memory_format=torch.contiguous_format),
        "values": pair[:, 1].clone(memory_format=torch.contiguous_format),
    }


def _packed(kind: str, x: Tensor, dim: int) -> Part:
    scales = scales_of(x, dim)
    return {f"{kind}s": steps_of(x, scales), f"{kind}_scales": scales.float()}


def floats(part: Mapping[str, Tensor]) -> Tensor:
    """Return a part's keys and values [layers, 2, H_kv, n, D] as floats."""
    return torch.stack([_floats(part, kind) for kind in KINDS], dim=1)


def _floats(part: Mapping[str, Tensor], kind: str) -> Tensor:
    held, scales = part[f"{kind}s"], part.get(f"{kind}_scales")
    if held.dtype != torch.int8:
        return held
    if scales is None:
        raise SettingError(f"a part of 8-bit {kind}s lacks {kind}_scales; make it anew")
    return held * scales.float()
