"""A layer's weights as functions, for many rows (as loaded) and for one row (bfloat16 or int8).

A step over a single row reads every weight once: its time is the bytes read. Activations between
the products stay in the model's type.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from videoxl2_model.config import StepWeights
from videoxl2_model.cuda import fused

Rows = Callable[[Tensor], Tensor]
ROWS_AT_ONCE = 256  # quantising in slices that stay in the processor's cache


@dataclass(frozen=True, slots=True)
class LayerOps:
    """One decoder layer: [R, hidden] in, projections out."""

    input_norm: Rows
    qkv: Callable[[Tensor], tuple[Tensor, ...]]  # [R, H_q * D], [R, H_kv * D] twice
    output: Rows
    mlp_norm: Rows
    gate_up: Callable[[Tensor], tuple[Tensor, ...]]
    down: Rows


@dataclass(frozen=True, slots=True)
class DecoderOps:
    layers: tuple[LayerOps, ...]
    norm: Rows
    head: Rows


@dataclass(frozen=True, slots=True)
class Bfloat16Linear:
    weight: Tensor  # [out, in] bfloat16
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = F.linear(x.to(torch.bfloat16), self.weight).to(x.dtype)
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """Weights in 8 bits with one scale per output channel; products in bfloat16."""

    weight: Tensor  # [out, in] int8
    scale: Tensor  # [out] bfloat16
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        narrow = x.to(torch.bfloat16)
        y: Tensor = torch.ops.aten._weight_int8pack_mm(narrow, self.weight, self.scale).to(x.dtype)
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True, slots=True)
class Fused:
    """Several projections of the same input as one product."""

    linear: Rows
    sizes: tuple[int, ...]

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(self.linear(x), list(self.sizes), dim=-1)


@dataclass(frozen=True, slots=True)
class Separate:
    """Several projections of the same input, each with its own weight."""

    linears: tuple[Rows, ...]

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(linear(x) for linear in self.linears)


@dataclass(frozen=True, slots=True)
class Norm:
    """Root mean square norm in float32, cast back, then times the weight: two kernels."""

    module: Any  # transformers' Qwen2RMSNorm

    def __call__(self, x: Tensor) -> Tensor:
        weight: Tensor = self.module.weight  # [hidden]
        return F.rms_norm(x, weight.shape, None, self.module.variance_epsilon) * weight


@fused
def gated(gate: Tensor, up: Tensor) -> Tensor:
    """Return SiLU(gate) times up."""
    return F.silu(gate) * up


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 [out, in] and bfloat16 scales [out]: symmetric, per output channel."""
    packed = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(weight.shape[0], dtype=torch.bfloat16)
    for first in range(0, weight.shape[0], ROWS_AT_ONCE):
        part = weight[first : first + ROWS_AT_ONCE].float()
        # Rounded to bfloat16 before dividing, so that the rounding of the scale costs nothing.
        scale = part.abs().amax(1).div_(127).clamp_min_(1e-12).to(torch.bfloat16)
        steps = part.mul(scale.float().reciprocal()[:, None]).round_().clamp_(-127, 127)
        packed[first : first + ROWS_AT_ONCE] = steps
        scales[first : first + ROWS_AT_ONCE] = scale
    return packed, scales


def model_ops(model: Any) -> DecoderOps:
    """Return the weights of a Qwen2ForCausalLM as they are."""
    layers = [
        LayerOps(
            Norm(layer.input_layernorm),
            Separate((layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)),
            layer.self_attn.o_proj,
            Norm(layer.post_attention_layernorm),
            Separate((layer.mlp.gate_proj, layer.mlp.up_proj)),
            layer.mlp.down_proj,
        )
        for layer in model.model.layers
    ]
    return DecoderOps(tuple(layers), Norm(model.model.norm), model.lm_head)


def step_ops(model: Any, kind: StepWeights) -> DecoderOps:
    """Return the weights for single rows, in another type; `model` keeps the loaded ones."""
    if kind == "model":
        return model_ops(model)
    layers = [
        LayerOps(
            Norm(layer.input_layernorm),
            _fused(kind, [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
            _linear(kind, [layer.self_attn.o_proj]),
            Norm(layer.post_attention_layernorm),
            _fused(kind, [layer.mlp.gate_proj, layer.mlp.up_proj]),
            _linear(kind, [layer.mlp.down_proj]),
        )
        for layer in model.model.layers
    ]
    return DecoderOps(tuple(layers), Norm(model.model.norm), _linear(kind, [model.lm_head]))


def _fused(kind: StepWeights, modules: Sequence[Any]) -> Fused:
    return Fused(_linear(kind, modules), tuple(module.out_features for module in modules))


def _linear(kind: StepWeights, modules: Sequence[Any]) -> Rows:
    biases = [module.bias.detach() for module in modules if module.bias is not None]
    bias = torch.cat(biases) if biases else None
    weights = [module.weight.detach() for module in modules]
    if kind == "bfloat16":
        return Bfloat16Linear(torch.cat([each.to(torch.bfloat16) for each in weights]), bias)
    packed = [quantised(each) for each in weights]
    return Int8Linear(
        torch.cat([each for each, _ in packed]), torch.cat([scale for _, scale in packed]), bias
    )
