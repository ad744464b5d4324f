"""What the picture as a whole looks like: ImageNet words, only where two views agree on one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agentkit.instruments.objects import shots_of
from agentkit.instruments.pictures import Rgb, resized
from agentkit.instruments.weights import once, weight_file, weights_version
from agentkit.types import FrameBatch, Note, VideoInfo

if TYPE_CHECKING:
    from agentkit.instruments.efficientnet import EfficientNetLite0

KIND = "scene"
MODEL = "efficientnet-lite0"


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """When a tag is worth a word.

    The share is the mean over the whole picture and its middle square. One view alone is sure of
    nonsense (a rabbit an albatross, 0.64; a car's roof an electrical switch, 0.63), both together
    at most 0.35 of it; right tags have 0.41 (a tie) to 0.69 (a digital clock).
    """

    share: float = 0.4
    max_tags: int = 2


class Tagger(Protocol):
    """Names what a frame shows."""

    def __call__(self, image: Rgb) -> list[tuple[str, float]]:
        """Return tags with their shares, best first."""


class LiteTagger:
    """The tagger on EfficientNet-Lite0's weights; about 40 ms a frame on two cores."""

    def __init__(self, weights: Path, labels: Path, config: SceneConfig) -> None:
        self._net = once(lambda: _network(weights))
        self._names = once(lambda: [_short(n) for n in json.loads(labels.read_text("utf-8"))])
        self._config = config

    def __call__(self, image: Rgb) -> list[tuple[str, float]]:
        import torch

        pixels = torch.from_numpy(two_views(image)).permute(0, 3, 1, 2).float()
        shares = self._net()(pixels).mean(dim=0)
        best = shares.topk(self._config.max_tags)
        return [
            (self._names()[index], share)
            for index, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            if share >= self._config.share
        ]


class Scene:
    """Notes of kind "scene", one a tag and shot. Looks at a chunk's first frame and at cuts.

    In between a shot keeps its tags, so nothing is remembered beyond the chunk.
    """

    name = "scene"
    reads_notes = True

    def __init__(self, tagger: Tagger, version: str = "") -> None:
        self._tagger = tagger
        self._tags: list[tuple[str, float]] = []
        self.version = f"1 {version}"

    def start(self, video: VideoInfo) -> None:
        self._tags = []

    def observe(
        self, batch: FrameBatch, first_of_chunk: bool, notes: Sequence[Note] = ()
    ) -> list[Note]:
        found = []
        for first, _, end_s in shots_of(batch, notes):
            time_s = float(batch.times_s[first])
            begins = any(note.kind == "shot" and note.start_s == time_s for note in notes)
            if begins or (first_of_chunk and first == 0):
                self._tags = self._tagger(batch.images[first])
            found += [Note(time_s, end_s, KIND, tag, round(s, 3)) for tag, s in self._tags]
        return found


def load_scene(threads: int) -> Scene:
    """Return the instrument on the weights of the model folder; torch's threads are the session's.

    Raises:
        InstrumentMissingError: the weights are not there.
    """
    config = SceneConfig()
    weights, labels = weight_file(MODEL, "*.safetensors"), weight_file(MODEL, "labels.json")
    tagger = LiteTagger(weights, labels, config)
    return Scene(tagger, f"{config} {weights_version(MODEL)}")


def _network(weights: Path) -> "EfficientNetLite0":
    from safetensors.torch import load_file

    from agentkit.instruments.efficientnet import EfficientNetLite0

    return EfficientNetLite0(load_file(weights))


def two_views(image: Rgb, size_px: int = 224) -> NDArray[np.uint8]:
    """Return the whole picture and its middle square at the network's size, [2, size, size, 3]."""
    height_px, width_px = image.shape[:2]
    side = min(height_px, width_px)
    top, left = (height_px - side) // 2, (width_px - side) // 2
    middle = np.ascontiguousarray(image[top : top + side, left : left + side])
    return np.stack([resized(view, size_px, size_px) for view in (image, middle)])


def _short(name: str) -> str:
    """Return the first of a label's names, without what tells it from others."""
    return name.split(" / ")[0].split(" (")[0]
