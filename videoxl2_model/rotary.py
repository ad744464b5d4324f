"""Rotary position embedding on the two halves of a head, in float32 whatever the model's type."""

from functools import lru_cache

import torch
from torch import Tensor

POSITIONS = 32768  # what Qwen2.5 was trained for; tables grow beyond only where they must


class Rotary:
    """Tables of cosines and sines; rotates keys and queries to their positions.

    Made by `rotary`, so that a process has one of a kind: a constant of 256 bytes a position
    for heads of 64.
    """

    def __init__(self, head_dim: int, base: float) -> None:
        self._frequencies = 1.0 / (
            base ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        )
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def reserve(self, stop: int, device: torch.device) -> None:
        """Make tables for positions 0..stop - 1 at least."""
        table = self._tables.get(device)
        if table is not None and table[0].shape[0] >= stop:
            return
        positions = max(POSITIONS, 1 << max(stop - 1, 0).bit_length())
        steps = torch.arange(positions, dtype=torch.float32)
        angles = steps[:, None] * self._frequencies  # [positions, head_dim / 2]
        self._tables[device] = (angles.cos().to(device), angles.sin().to(device))

    def rotate(self, x: Tensor, positions: range | Tensor) -> Tensor:
        """Return x [..., n, head_dim] rotated to n positions; those of a tensor are reserved."""
        if isinstance(positions, range):
            self.reserve(positions.stop, x.device)
            at: slice | Tensor = slice(positions.start, positions.stop)
        else:
            at = positions
        cos, sin = self._tables[x.device]
        return _turn(x, cos[at], sin[at])


@lru_cache
def rotary(head_dim: int, base: float) -> Rotary:
    """Return the rotation of heads of `head_dim` with a frequency base."""
    return Rotary(head_dim, base)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.float().chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).to(x.dtype)
