"""Rotary position embedding on the two halves of a head, in float32 whatever the model's type."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Rotary:
    """Tables of cosines and sines; rotates keys and queries to their positions."""

    def __init__(self, head_dim: int, base: float, positions: int = 4096) -> None:
        self._frequencies = 1.0 / (
            base ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        )
        self._fill(positions, torch.device("cpu"))

    def _fill(self, positions: int, device: torch.device) -> None:
        steps = torch.arange(positions, dtype=torch.float32)
        angles = steps[:, None] * self._frequencies  # [positions, head_dim / 2]
        self._cos = angles.cos().to(device)
        self._sin = angles.sin().to(device)

    def _table(self, stop: int, device: torch.device) -> tuple[Tensor, Tensor]:
        have = self._cos.shape[0]
        if stop > have or self._cos.device != device:
            self._fill(max(have, 1 << max(stop - 1, 0).bit_length()), device)
        return self._cos, self._sin

    def rotate(self, x: Tensor, ranges: Sequence[range]) -> Tensor:
        """Return x [..., n, head_dim] rotated to the positions in `ranges`, n in all."""
        cos, sin = self._table(max(each.stop for each in ranges), x.device)
        if len(ranges) == 1:
            only = ranges[0]
            return _turn(x, cos[only.start : only.stop], sin[only.start : only.stop])
        places = torch.cat([torch.arange(r.start, r.stop) for r in ranges]).to(x.device)
        return _turn(x, cos[places], sin[places])


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.float().chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).to(x.dtype)
