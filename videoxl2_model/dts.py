"""DTS, the temporal compressor: four frames' feature maps become one. Knows no frame order.

Outside, arrays are laid out as in the public reference, [G, C, T, h, w]. Inside, channels come
last, [G, T, h, w, C]: the 1-wide convolutions are then plain matrix products, and nothing is
transposed between the blocks. Groups are independent of each other.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from videoxl2_model.config import FRAMES_PER_GROUP
from videoxl2_model.errors import SettingError

NORM_GROUPS = 32
NORM_EPS = 1e-6
FARTHEST = 64  # table row of offset 0; rows stand for offsets -64..64

Observer = Callable[[int, Tensor], None]


class DTS(nn.Module):
    """Six blocks: attend in space, in time, halve time; twice. Keys relative to `model.sae.`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % NORM_GROUPS:
            raise SettingError(
                f"the width {width} does not divide by the {NORM_GROUPS} groups of DTS's norms"
            )
        self.temporal_encoding = nn.Parameter(torch.zeros(FRAMES_PER_GROUP, width))
        self.encoder = nn.Sequential(
            SpatialAttention(width),
            TemporalAttention(width),
            HalveTime(width),
            SpatialAttention(width),
            TemporalAttention(width),
            HalveTime(width),
        )

    @torch.no_grad()
    def forward(self, groups: Tensor, observe: Observer | None = None) -> Tensor:
        """Return one map per group, [G, C, h, w], of groups [G, C, 4, h, w].

        `observe` is called after each block with its index and result, [G, C, t, h, w]. Memory
        grows with G; give groups in lots.

        Raises:
            SettingError: the groups have another width or number of times, or another type.
        """
        times, width = self.temporal_encoding.shape
        if groups.ndim != 5 or tuple(groups.shape[1:3]) != (width, times):
            raise SettingError(
                f"groups of shape {list(groups.shape)}; DTS takes [G, {width}, {times}, h, w]"
            )
        if groups.dtype != self.temporal_encoding.dtype:
            raise SettingError(
                f"groups of type {groups.dtype} for weights of {self.temporal_encoding.dtype};"
                " give them in the weights' type"
            )
        x = groups.permute(0, 2, 3, 4, 1) + self.temporal_encoding[:, None, None]
        x = x.contiguous()  # [G, 4, h, w, C]
        for index, block in enumerate(self.encoder):
            x = block(x)
            if observe is not None:
                observe(index, x.permute(0, 4, 1, 2, 3))
        return x[:, 0].permute(0, 3, 1, 2)


def pointwise(convolution: nn.Conv1d | nn.Conv3d, x: Tensor) -> Tensor:
    """[..., C] -> [..., out]: a convolution of kernel 1 is a matrix product over channels."""
    return F.linear(x, convolution.weight.flatten(1), convolution.bias)


def normed(norm: nn.GroupNorm, rows: Tensor) -> Tensor:
    """[N, R, C] -> [N, R, C], each N by itself over its rows and a norm group's channels.

    Channels are put first for it: torch's kernel for channels last takes the mean of squares
    less the square of the mean, and loses up to two digits more.
    """
    result: Tensor = norm(rows.transpose(1, 2).contiguous())
    return result.transpose(1, 2)


def attend_fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend within each batch entry, [N, P, C]; the weights are never stored."""
    query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)  # one head
    return F.scaled_dot_product_attention(query, key, value).squeeze(1)


def attend_stored(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend within each batch entry, [N, P, C], by way of weights [N, P, P].

    For GPUs: their fused kernels serve heads of 256 channels at most, or spill longer ones, and
    576 x 576 weights take half the room of the 576 x 1152 queries.
    """
    empty = query.new_empty(())
    scale = query.shape[-1] ** -0.5
    scores = torch.baddbmm(empty, query, key.transpose(1, 2), beta=0, alpha=scale)
    return torch.bmm(scores.softmax(-1), value)


class SpatialAttention(nn.Module):
    """Every position sees all positions of its own time; one head of all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, width, eps=NORM_EPS)
        self.q = nn.Conv3d(width, width, 1)
        self.k = nn.Conv3d(width, width, 1)
        self.v = nn.Conv3d(width, width, 1)
        self.proj_out = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[G, T, h, w, C] -> the same shape. The norm runs over a whole group."""
        mixed = pointwise(self.proj_out, self._seen(x))
        return x + mixed.reshape(x.shape)

    def _seen(self, x: Tensor) -> Tensor:
        """Return what every position has seen, [G * T, P, C]."""
        rows = normed(self.norm, x.flatten(1, 3)).contiguous()
        tokens = rows.view(-1, x.shape[2] * x.shape[3], x.shape[4])  # [G * T, P, C]
        query, key, value = (pointwise(each, tokens) for each in (self.q, self.k, self.v))
        attend = attend_fused if x.device.type == "cpu" else attend_stored
        return attend(query, key, value)


class RelativePosition(nn.Module):
    """A vector per offset between two times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embeddings_table = nn.Parameter(torch.zeros(2 * FARTHEST + 1, width))

    def forward(self, times: int) -> Tensor:
        """Return [i, C, j], the vector of offset j - i, for i and j below `times`."""
        rows = self.embeddings_table[FARTHEST - times + 1 : FARTHEST + times]
        return rows.unfold(0, times, 1).flip(0)


class TemporalAttention(nn.Module):
    """Every time of a pixel sees all times of that pixel; one head, relative positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, width, eps=NORM_EPS)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.relative_position_k = RelativePosition(width)
        self.relative_position_v = RelativePosition(width)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[G, T, h, w, C] -> the same shape. The norm runs over each pixel by itself."""
        groups, times, height, width, channels = x.shape
        mixed = pointwise(self.proj_out, self._seen(x))
        mixed = mixed.reshape(groups, height, width, times, channels)
        return x + mixed.permute(0, 3, 1, 2, 4)

    def _seen(self, x: Tensor) -> Tensor:
        """Return what every time of a pixel has seen, [N, T, C], N = G * h * w."""
        pixels = x.permute(0, 2, 3, 1, 4).flatten(0, 2)  # [N, T, C]
        query, key, value = pointwise(self.qkv, normed(self.norm, pixels)).chunk(3, dim=-1)
        weights = self._weights(query, key)
        seen = torch.bmm(weights, value)
        relative = self.relative_position_v(x.shape[1]).transpose(1, 2)  # [i, j, C]
        return seen.add_(torch.bmm(weights.transpose(0, 1), relative).transpose(0, 1))

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the attention weights [N, i, j] of queries and keys [N, T, C].

        The relative term is transposed in the public weights' model: the pair (i, j) takes the
        query of j and the vector of offset i - j. It is scaled once, the plain term twice.
        """
        scale = query.shape[-1] ** -0.25
        relative = self.relative_position_k(query.shape[1])  # [j, C, i]
        empty = query.new_empty(())
        turned = torch.baddbmm(empty, query.transpose(0, 1), relative, beta=0, alpha=scale)
        turned = turned.permute(1, 2, 0)  # [j, N, i] -> [N, i, j]
        scores = torch.baddbmm(turned, query, key.transpose(1, 2), alpha=scale * scale)
        return scores.float().softmax(-1).to(query.dtype)


def windows(x: Tensor) -> Tensor:
    """Return what each output time sees, [G * T / 2, 3 * C, h + 2, w + 2], of [G, T, h, w, C]."""
    x = torch.cat((x[:, :1], x), 1)
    x = torch.cat((x[:, :, :1], x, x[:, :, -1:]), 2)
    x = torch.cat((x[:, :, :, :1], x, x[:, :, :, -1:]), 3)
    seen = x.unfold(1, 3, 2).transpose(4, 5)  # [G, T / 2, h + 2, w + 2, 3, C]
    return seen.flatten(4).flatten(0, 1).permute(0, 3, 1, 2)


class HalveTime(nn.Module):
    """A 3 x 3 x 3 convolution, stride 2 in time; edges repeated, in time before the first only.

    Run in two dimensions, the three times it sees side by side in the channels: as fast as in
    three on a CPU, and on GPUs 2-d kernels for channels last are the better kept ones.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, width, 3, stride=(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[G, T, h, w, C] -> [G, T / 2, h, w, C], T even."""
        groups, times, height, width, channels = x.shape
        halved = F.conv2d(windows(x), self._stacked_weight(), self.conv.bias)
        rows = halved.permute(0, 2, 3, 1)
        return rows.reshape(groups, times // 2, height, width, channels)

    def _stacked_weight(self) -> Tensor:
        """Return the kernel as [out, 3 * C, 3, 3], channels last: a view of the weight.

        A weight that was loaded row-major is laid out anew once, in its own place, which takes
        a fifth of the convolution of one group.
        """
        weight = self.conv.weight  # [out, C, 3, 3, 3]
        if weight.stride(1) != 1:
            laid = weight.detach().permute(0, 3, 4, 2, 1).contiguous().permute(0, 4, 3, 1, 2)
            weight = self.conv.weight = nn.Parameter(laid, requires_grad=weight.requires_grad)
        return weight.transpose(1, 2).flatten(1, 2)
