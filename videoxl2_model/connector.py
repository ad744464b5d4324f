"""From the tower's features to the language model's rows. Knows shapes; knows no pixel, no text."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from videoxl2_model.config import FRAMES_PER_GROUP, GRID, POOL_STRIDE, TOKENS_PER_GROUP
from videoxl2_model.dts import DTS
from videoxl2_model.errors import SettingError

LOT_GROUPS = 4  # groups at a time: what is alive does not grow with the video


def interpolate(features: Tensor) -> Tensor:
    """Return maps [T, C, 24, 24] of features [T, P, C]; P is a square, its root the side.

    Bilinear with half-pixel centres, without antialiasing, in float32 and cast back.

    Raises:
        SettingError: the features are not [T, P, C] with P a square.
    """
    side = round(features.shape[1] ** 0.5) if features.ndim == 3 else 0
    if side < 1 or side * side != features.shape[1]:
        raise SettingError(
            f"features of shape {list(features.shape)}; [T, P, C] with P a square is needed"
        )
    maps = features.reshape(len(features), side, side, -1).permute(0, 3, 1, 2).float()
    return F.interpolate(maps, size=(GRID, GRID), mode="bilinear").to(features.dtype)


def to_groups(maps: Tensor) -> Tensor:
    """Return groups [G, C, 4, 24, 24] of maps [4G, C, 24, 24], read anew from memory.

    The frames are not moved to the time axis: the row-major array is taken under another shape,
    so each quarter of the channels holds one frame, and time runs through neighbouring channels
    (the public weights were trained so).
    """
    frames, width, height, breadth = maps.shape
    if frames % FRAMES_PER_GROUP:
        raise SettingError(f"{frames} maps are not whole groups of {FRAMES_PER_GROUP}; pad first")
    return maps.reshape(frames // FRAMES_PER_GROUP, width, FRAMES_PER_GROUP, height, breadth)


def padded(features: Tensor) -> Tensor:
    """Return features [T, P, C] with the last one repeated until T is whole groups."""
    missing = -len(features) % FRAMES_PER_GROUP
    if not missing:
        return features
    return torch.cat((features, features[-1:].expand(missing, -1, -1)))


class Connector(nn.Module):
    """Features to rows; keys are relative to `model.`."""

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.sae = DTS(width)
        self.mm_projector = nn.Sequential(
            nn.Linear(width, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
        )

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Return a video's rows [G, 144, H] of features [T, P, C]; the last group is padded.

        Raises:
            SettingError: there are no features, or they are not [T, P, C] with P a square.
        """
        return self._rows(features, TOKENS_PER_GROUP, self._pooled)

    @torch.no_grad()
    def image(self, features: Tensor) -> Tensor:
        """Return pictures' rows [N, 576, H] of features [N, P, C]: each is a group, unpooled."""
        repeated = features.repeat_interleave(FRAMES_PER_GROUP, dim=0)
        return self._rows(repeated, GRID**2, self.unpooled)

    @torch.no_grad()
    def unpooled(self, compressed: Tensor) -> Tensor:
        """Return the projector's output [G, 576, H] of compressed maps [G, C, 24, 24]."""
        rows: Tensor = self.mm_projector(compressed.flatten(2).transpose(1, 2))
        return rows

    def _rows(self, features: Tensor, tokens: int, project: Callable[[Tensor], Tensor]) -> Tensor:
        """Return rows [G, tokens, H], a lot of groups at a time."""
        if not len(features):
            raise SettingError("no features: give one frame or more")
        lots = torch.split(features, LOT_GROUPS * FRAMES_PER_GROUP)
        groups = -(-len(features) // FRAMES_PER_GROUP)
        rows = features.new_empty((groups, tokens, self.hidden_size))
        for lot, part in zip(lots, torch.split(rows, LOT_GROUPS), strict=True):
            part.copy_(project(self.sae(to_groups(interpolate(padded(lot))))))
        return rows

    def _pooled(self, compressed: Tensor) -> Tensor:
        """[G, C, 24, 24] -> [G, 144, H]

        Averaged before the second Linear instead of after it: a linear map commutes with
        averaging, and runs on a quarter of the rows.
        """
        expand, activate, project = self.mm_projector
        inner = activate(expand(compressed.permute(0, 2, 3, 1)))  # [G, 24, 24, H]
        cells = GRID // POOL_STRIDE
        inner = inner.reshape(len(inner), cells, POOL_STRIDE, cells, POOL_STRIDE, -1)
        rows: Tensor = project(inner.mean((2, 4)).flatten(1, 2))
        return rows
