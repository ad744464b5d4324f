"""What do the connector's layouts, lots and early pooling save against its rules taken literally?

The baseline does each step of the public rules as it is written: all frames interpolated at once,
channels first, convolutions as convolutions, attention with its weights stored and relative terms
as a table per pair of times, groups in lots of 24, the whole projector and then the pooling. Both
have the same drawn weights. Most of the work is the same products on both sides, so time cannot
differ much; memory can.

    python benchmarks/connector.py
    python benchmarks/connector.py --tiny --results FOLDER
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, PeakMemory, Ratio, release_memory, show, timed, write_results
from torch import Tensor
from torch.nn import functional as F

from videoxl2_model.connector import Connector

REFERENCE_LOT = 24  # groups that the public code runs at a time
TOLERANCE = 1e-3  # float32, of values of a few units after two projections
ROUNDS = 3

Connect = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Size:
    """A connector and a video."""

    name: str
    width: int
    hidden: int
    frames: int
    patches_per_side: int = 27


TINY = Size("tiny", width=64, hidden=64, frames=8)
SIZES = (
    Size("tiny, 96 frames", width=64, hidden=64, frames=96),
    Size("medium, 96 frames", width=256, hidden=896, frames=96),
)


def drawn(size: Size) -> Connector:
    """Return a connector with seeded weights, of the scale that trained ones have."""
    connector = Connector(size.width, size.hidden).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, each in connector.named_parameters():
            scale = each[0].numel() ** -0.5 if each.ndim > 2 else each.shape[-1] ** -0.5
            each.normal_(generator=random).mul_(scale)
            each.add_(1.0 if name.endswith("norm.weight") else 0.0)
    return connector


class Literal:
    """The connector by the letter of its rules, on the weights of ours."""

    def __init__(self, connector: Connector) -> None:
        self._weights: Mapping[str, Tensor] = {
            key: value.detach().contiguous() for key, value in connector.named_parameters()
        }

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        """[T, P, C] -> [G, 144, hidden]"""
        frames, patches, width = features.shape
        side = round(patches**0.5)
        maps = features.transpose(1, 2).reshape(frames, width, side, side).contiguous()
        maps = F.interpolate(maps, size=(24, 24), mode="bilinear", align_corners=False)
        maps = torch.cat([maps, *[maps[-1:]] * (-frames % 4)])
        groups = maps.contiguous().view(-1, width, 4, 24, 24)
        compressed = torch.cat([self._dts(lot) for lot in groups.split(REFERENCE_LOT)])
        tokens = self._projected(compressed.flatten(2).transpose(1, 2))
        grid = tokens.transpose(1, 2).reshape(len(tokens), -1, 24, 24)
        return F.avg_pool2d(grid, 2).flatten(2).transpose(1, 2)

    def _projected(self, tokens: Tensor) -> Tensor:
        inner = F.gelu(F.linear(tokens, *self._pair("mm_projector.0")))
        return F.linear(inner, *self._pair("mm_projector.2"))

    def _dts(self, groups: Tensor) -> Tensor:
        """[G, C, 4, 24, 24] -> [G, C, 24, 24]"""
        x = groups + self._weights["sae.temporal_encoding"].T[:, :, None, None]
        for index, block in enumerate((self._spatial, self._temporal, self._halve) * 2):
            x = block(x, f"sae.encoder.{index}.")
        return x[:, :, 0]

    def _spatial(self, x: Tensor, key: str) -> Tensor:
        groups, width, times, height, breadth = x.shape
        normed = F.group_norm(x, 32, *self._pair(key + "norm"), 1e-6)
        query, key_, value = (
            F.conv3d(normed, *self._pair(key + name))
            .transpose(1, 2)
            .reshape(groups * times, width, -1)
            for name in "qkv"
        )
        weights = torch.softmax(query.transpose(1, 2) @ key_ * width**-0.5, dim=-1)
        seen = (value @ weights.transpose(1, 2)).view(groups, times, width, height, breadth)
        return x + F.conv3d(seen.transpose(1, 2), *self._pair(key + "proj_out"))

    def _temporal(self, x: Tensor, key: str) -> Tensor:
        groups, width, times, height, breadth = x.shape
        pixels = x.permute(0, 3, 4, 1, 2).reshape(-1, width, times)
        normed = F.group_norm(pixels, 32, *self._pair(key + "norm"), 1e-6)
        query, key_, value = F.conv1d(normed, *self._pair(key + "qkv")).chunk(3, dim=1)
        tables = [self._weights[f"{key}relative_position_{n}.embeddings_table"] for n in "kv"]
        steps = torch.arange(times)
        of_keys, of_values = (table[steps - steps[:, None] + 64] for table in tables)  # [i, j, C]
        scale = width**-0.25
        logits = torch.einsum("nci,ncj->nij", query * scale, key_ * scale)
        logits = logits + torch.einsum("ncj,jic->nij", query * scale, of_keys)
        weights = torch.softmax(logits.float(), dim=-1).to(x.dtype)
        seen = torch.einsum("nij,ncj->nci", weights, value)
        seen = seen + torch.einsum("nij,ijc->nci", weights, of_values)
        mixed = F.conv1d(seen, *self._pair(key + "proj_out"))
        return x + mixed.view(groups, height, breadth, width, times).permute(0, 3, 4, 1, 2)

    def _halve(self, x: Tensor, key: str) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1, 1, 0), mode="replicate")
        return F.conv3d(x, *self._pair(key + "conv"), stride=(2, 1, 1))

    def _pair(self, key: str) -> tuple[Tensor, Tensor]:
        return self._weights[key + ".weight"], self._weights[key + ".bias"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way of connecting took: the best time, and memory beyond input and result."""

    wall_s: float
    extra_bytes: int


def cost(connect: Connect, features: Tensor, rounds: int) -> Cost:
    """Measure after one run that warms up."""
    connect(features[:4])
    times_s = []
    for _ in range(rounds):
        with timed() as elapsed:
            connect(features)
        times_s.append(elapsed.wall_s)
    return Cost(min(times_s), extra_bytes(connect, features))


def extra_bytes(connect: Connect, features: Tensor) -> int:
    """Return the peak of one run less what was there before and less the result."""
    release_memory()
    with PeakMemory(step_s=0.002) as memory:
        before = memory.peak_bytes
        result = connect(features)
    return max(1, memory.peak_bytes - before - result.nbytes)


def compare(size: Size, rounds: int) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure both ways on one video, and ours on one four times as long."""
    connector = drawn(size)
    literal, random = Literal(connector), torch.Generator().manual_seed(1)
    shape = (size.frames, size.patches_per_side**2, size.width)
    features = torch.randn(shape, generator=random)
    difference = float((connector(features) - literal(features)).abs().max())
    ours, theirs = cost(connector, features, rounds), cost(literal, features, rounds)
    longer = extra_bytes(connector, features.repeat(4, 1, 1))
    wide, narrow = theirs.extra_bytes / 1e6, ours.extra_bytes / 1e6
    ratios = [
        Ratio(f"{size.name}: time, literal over ours", theirs.wall_s, ours.wall_s, "s"),
        Ratio(f"{size.name}: extra memory, literal over ours", wide, narrow, "MB"),
        Ratio(f"{size.name}: our extra memory, 4x the frames", longer / 1e6, narrow, "MB"),
    ]
    figures = {**asdict(size), "ours": asdict(ours), "literal": asdict(theirs)}
    return {**figures, "max_difference": difference}, ratios


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="one small size, once: for tests")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    args = parser.parse_args(argv)
    measured, ratios = [], []
    for size in (TINY,) if args.tiny else SIZES:
        figures, found = compare(size, 1 if args.tiny else ROUNDS)
        measured.append(figures)
        ratios += [show(ratio) for ratio in found]
        print(f"{size.name}: largest difference {figures['max_difference']:.2g}", flush=True)
    figures = {"threads": torch.get_num_threads(), "sizes": measured}
    print(f"figures: {write_results('connector', figures, tuple(ratios), args.results)}")
    return 0 if all(each["max_difference"] <= TOLERANCE for each in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
