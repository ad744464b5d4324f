"""A golden configuration's model: the package's modules with weights drawn by formula."""

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from videoxl2_model.connector import Connector
from videoxl2_model.decoder import Decoder
from videoxl2_model.dts import DTS
from videoxl2_model.golden import GoldenConfig, drawn_input, parameter
from videoxl2_model.vision import VisionTower

TOWER = "model.vision_tower.vision_tower."
CONNECTOR = "model."
LOT_FRAMES = 8


class GoldenModel:
    """The modules of one configuration, each drawn when it is first needed."""

    def __init__(self, config: GoldenConfig) -> None:
        self.config = config
        self.salt = config.salt
        self._rows: dict[tuple[str, int], Tensor] = {}

    @classmethod
    def read(cls, folder: Path, name: str) -> "GoldenModel":
        return cls(GoldenConfig.read(folder / f"config_{name}.json"))

    @cached_property
    def tower(self) -> VisionTower:
        with torch.device("meta"):
            tower = VisionTower(self.config.model.vision)
        return filled(tower, TOWER, self.salt)

    @cached_property
    def connector(self) -> Connector:
        with torch.device("meta"):
            sizes = self.config.model
            connector = Connector(sizes.vision.hidden_size, sizes.hidden_size)
        return filled(connector, CONNECTOR, self.salt)

    @cached_property
    def decoder(self) -> Decoder:
        return Decoder(filled(self.language(), "", self.salt), steps="model")

    def language(self) -> nn.Module:
        """Return the language model without storage."""
        # Imported here: transformers takes seconds, and half of the cases need no text.
        from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
        from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

        sizes = dict(self.config.model.language_model)
        sizes["rope_scaling"] = None  # the reference forces it off
        with torch.device("meta"):
            model: nn.Module = Qwen2ForCausalLM(Qwen2Config.from_dict(sizes))
        return model

    def pixels(self, name: str, frames: int) -> Tensor:
        """Return drawn normalised frames, [T, 3, S, S]."""
        size = self.config.model.vision.image_size
        return drawn_input(name, (frames, 3, size, size), self.salt, 0.5)

    def rows(self, name: str, frames: int) -> Tensor:
        """Return the rows of drawn frames, [G, 144, H]: tower and connector."""
        if (name, frames) not in self._rows:
            lots = torch.split(self.pixels(name, frames), LOT_FRAMES)
            features = torch.cat([self.tower(lot) for lot in lots])
            self._rows[name, frames] = self.connector(features)
        return self._rows[name, frames]


@lru_cache(maxsize=1)
def golden_dts(width: int, prefix: str, salt: str) -> DTS:
    """Return DTS alone, of its own width, salt and prefix of keys."""
    with torch.device("meta"):
        dts = DTS(width)
    return filled(dts, prefix, salt)


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def filled(module: ModuleT, prefix: str, salt: str) -> ModuleT:
    """Give a module without storage the weights that its keys and shapes stand for."""
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    drawn = {key: parameter(prefix + key, shape, salt) for key, shape in shapes.items()}
    module.load_state_dict(drawn, assign=True)
    return module.requires_grad_(False).eval()
