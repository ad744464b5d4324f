"""Rotary position embedding on the two halves of a head, in float32 whatever the model's type."""

from functools import lru_cache

import torch
from torch import Tensor

from videoxl2_model.cuda import fused, indexed

POSITIONS = 32768  # what Qwen2.5 was trained for; tables grow by as many


class Rotary:
    """Tables of cosines and sines; rotates keys and queries to their positions.

    Made by `rotary`, so that a process has one of a kind: 4 bytes for each position and each
    number of a head, 1 % of the cache it serves in Qwen2.5-7B.
    """

    def __init__(self, head_dim: int, base: float) -> None:
        self._frequencies = 1.0 / (
            base ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        )
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def reserve(self, stop: int, device: torch.device) -> None:
        """Make tables for positions 0..stop - 1 at least."""
        device = indexed(device)
        cos, sin = self._tables.get(device, (self._frequencies[:0], self._frequencies[:0]))
        made = len(cos)
        if made and made >= stop:
            return
        steps = torch.arange(made, -(-max(stop, 1) // POSITIONS) * POSITIONS, dtype=torch.float32)
        angles = steps[:, None] * self._frequencies  # [positions, head_dim / 2]
        new = (angles.cos().to(device), angles.sin().to(device))
        self._tables[device] = (torch.cat((cos, new[0])), torch.cat((sin, new[1]))) if made else new

    def at(self, positions: range | Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, each [n, head_dim / 2]; positions of a tensor are reserved."""
        if isinstance(positions, range):
            self.reserve(positions.stop, device)
            cos, sin = self._tables[device]
            return cos[positions.start : positions.stop], sin[positions.start : positions.stop]
        cos, sin = self._tables[device]
        return cos[positions], sin[positions]

    def rotate(self, x: Tensor, positions: range | Tensor) -> Tensor:
        """Return x [..., n, head_dim] rotated to n positions; those of a tensor are reserved."""
        return turn(x, *self.at(positions, x.device))


@lru_cache
def rotary(head_dim: int, base: float) -> Rotary:
    """Return the rotation of heads of `head_dim` with a frequency base."""
    return Rotary(head_dim, base)


@fused
def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x [..., n, head_dim] turned by the angles of cos and sin [n, head_dim / 2]."""
    left, right = x.chunk(2, dim=-1)
    turned = (left * cos).addcmul_(right, sin, value=-1), (right * cos).addcmul_(left, sin)
    return torch.cat(turned, dim=-1).to(x.dtype)
