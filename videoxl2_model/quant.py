"""Linear layers whose weights are held in 8 or 4 bits and multiplied in the activation's type.

int8: symmetric, one scale per output channel. int4: asymmetric, `scale` and `low` per run of 64
inputs, two values a byte. A product turns back one slice of output channels at a time, so that its
scratch is bounded whatever the layer's size.

Written in plain tensor operations on purpose. Packages of quantised tensor types follow one torch
version each and bring types of their own into a checkpoint; buffers and products work on every
device and version that this package supports, and move and save as any module does.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from videoxl2_model.config import WeightKind
from videoxl2_model.errors import SettingError

RUN = 64  # inputs that share a scale in int4
SLICE_VALUES = 1 << 22  # weights turned back at a time: 16 MiB in float32


class PackedLinear(nn.Module):
    """A linear layer with packed weights; called like `nn.Linear`. Made by `pack`.

    Made directly it is empty, to be filled by `load_state_dict`.
    """

    packed: Tensor  # int8: [out, in] int8; int4: [out, runs, RUN / 2] uint8
    scale: Tensor  # int8: [out, 1]; int4: [out, runs, 1]
    low: Tensor | None  # int4: [out, runs, 1], what 0 stands for
    bias: Tensor | None  # [out]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kind: WeightKind,
        *,
        bias: Tensor | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.kind = kind
        if kind == "int8":
            packed = torch.empty((out_features, in_features), dtype=torch.int8, device=device)
            scale, low = torch.empty((out_features, 1), device=device), None
        elif kind == "int4":
            runs = math.ceil(in_features / RUN)
            shape = (out_features, runs, RUN // 2)
            packed = torch.empty(shape, dtype=torch.uint8, device=device)
            scale = torch.empty((out_features, runs, 1), dtype=torch.bfloat16, device=device)
            low = torch.empty_like(scale)
        else:
            raise SettingError(f"weights are packed to int8 or int4, not {kind!r}")
        self.register_buffer("packed", packed)
        self.register_buffer("scale", scale)
        self.register_buffer("low", low)
        self.register_buffer("bias", bias)

    @property
    def weight(self) -> Tensor:
        """Return the weights turned back, [out, in] float32: a new tensor each time."""
        return self.rows(0, self.out_features, torch.float32)

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in self.buffers())

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        """Return the weights of output channels start..stop - 1, [n, in] of `dtype`."""
        packed, scale = self.packed[start:stop], self.scale[start:stop].float()
        if self.low is None:
            return packed.mul(scale).to(dtype)
        values = torch.stack((packed & 15, packed >> 4), dim=2).flatten(2)  # [n, runs, RUN]
        back = values.mul(scale).add_(self.low[start:stop])
        return back.flatten(1)[:, : self.in_features].to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., in] times the weights, [..., out] of x's type."""
        at_once = max(1, SLICE_VALUES // self.in_features)
        if at_once >= self.out_features:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return F.linear(x, self.rows(0, self.out_features, x.dtype), bias)
        out = x.new_empty((*x.shape[:-1], self.out_features))
        for start in range(0, self.out_features, at_once):
            stop = min(start + at_once, self.out_features)
            out[..., start:stop] = F.linear(x, self.rows(start, stop, x.dtype))
        return out if self.bias is None else out.add_(self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, {self.kind}"


@torch.no_grad()
def pack(weight: Tensor, bias: Tensor | None, kind: WeightKind) -> PackedLinear:
    """Return a layer that holds weight [out, in] in 8 or 4 bits, on the weight's device.

    The bias [out] is kept as it is.

    Raises:
        SettingError: `kind` is neither int8 nor int4, or a weight is not a finite number.
    """
    out_features, in_features = weight.shape
    bias = None if bias is None else bias.detach()
    layer = PackedLinear(in_features, out_features, kind, bias=bias, device=weight.device)
    at_once = max(1, SLICE_VALUES // in_features)
    for start in range(0, out_features, at_once):
        rows = slice(start, start + at_once)
        part = weight[rows].float()
        if layer.low is None:
            layer.packed[rows], layer.scale[rows] = _int8(part)
        else:
            layer.packed[rows], layer.scale[rows], layer.low[rows] = _int4(part)
    if not layer.scale.isfinite().all():
        raise SettingError(
            "weights that are not finite cannot be packed; the checkpoint is damaged"
        )
    return layer


def packed_nbytes(in_features: int, out_features: int, kind: WeightKind) -> int:
    """Return the bytes of packed weights, scales included and bias not."""
    return PackedLinear(in_features, out_features, kind, device="meta").nbytes


def _int8(part: Tensor) -> tuple[Tensor, Tensor]:
    scale = part.abs().amax(1, keepdim=True).div_(127)
    steps = part.div(_divisor(scale)).round_()
    return steps.to(torch.int8), scale


def _int4(part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    padded = F.pad(part[None], (0, -part.shape[1] % RUN), mode="replicate")[0]
    runs = torch.unflatten(padded, 1, (-1, RUN))  # [n, runs, RUN]
    # Rounded before dividing, so that the rounding of scale and low adds no error of its own.
    low = runs.amin(2, keepdim=True).to(torch.bfloat16)
    scale = (runs.amax(2, keepdim=True) - low.float()).div_(15).to(torch.bfloat16)
    steps = runs.sub(low.float()).div_(_divisor(scale.float())).round_().clamp_(0, 15)
    first, second = steps.to(torch.uint8).chunk(2, dim=2)
    return first | second << 4, scale, low


def _divisor(scale: Tensor) -> Tensor:
    """Return a scale to divide by: a row of zeros has none."""
    return torch.where(scale > 0, scale, 1.0)
