"""EfficientNet-Lite0 for inference (Tan and Le, 2019; the Lite variant of 2020).

Lite means: no squeeze-and-excitation, ReLU6, stem and head of fixed width. Written as one list of
convolutions with the batch norms folded into them, which is exact for fixed statistics.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

INPUT_PX = 224
_EPS = 1e-3  # of the batch norms, as trained

# Of each block in turn: the stride; the other numbers are in the weights' shapes.
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class _Conv:
    """A convolution with its batch norm folded in, and whether ReLU6 follows."""

    weight: Tensor  # [C_out, C_in / groups, k, k]
    bias: Tensor  # [C_out]
    stride: int = 1
    groups: int = 1
    active: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        x = _same_padded(x, self.weight.shape[-1], self.stride)
        x = F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return F.relu6(x) if self.active else x


class EfficientNetLite0:
    """The network over a state dict of the published PyTorch conversion."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._stem = _folded(state, "_conv_stem", "_bn0", stride=2)
        self._blocks = [_block(state, f"_blocks.{i}.", s) for i, s in enumerate(_STRIDES)]
        self._head = _folded(state, "_conv_head", "_bn1")
        self._fc = state["_fc.weight"], state["_fc.bias"]

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the classes' shares [N, 1000] of pictures [N, 3, 224, 224], RGB, 0..255."""
        x = self._stem(((pixels - 127.0) / 128.0).contiguous(memory_format=torch.channels_last))
        for block in self._blocks:
            y = x
            for conv in block:
                y = conv(y)
            x = x + y if x.shape == y.shape else y
        x = self._head(x).mean(dim=(2, 3))
        return F.linear(x, *self._fc).softmax(dim=-1)


def _block(state: Mapping[str, Tensor], prefix: str, stride: int) -> list[_Conv]:
    """Return an inverted bottleneck: expand (but for the first block), depthwise, project."""
    convs = []
    if f"{prefix}_expand_conv.weight" in state:
        convs.append(_folded(state, f"{prefix}_expand_conv", f"{prefix}_bn0"))
    convs.append(_folded(state, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride, deep=True))
    convs.append(_folded(state, f"{prefix}_project_conv", f"{prefix}_bn2", active=False))
    return convs


def _folded(
    state: Mapping[str, Tensor],
    conv: str,
    norm: str,
    stride: int = 1,
    deep: bool = False,
    active: bool = True,
) -> _Conv:
    weight = state[f"{conv}.weight"]
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + _EPS).sqrt()
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    folded = (weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    return _Conv(folded, bias, stride, weight.shape[0] if deep else 1, active)


def _same_padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's SAME does: an odd pixel goes to the right and below."""
    height, width = (
        max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]
    )
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
