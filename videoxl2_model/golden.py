"""The golden format: weights and inputs by formula, configurations, cases. Runs nothing.

A folder holds config_NAME.json (salt and sizes) and cases: NAME.json with settings, ids and lists,
and NAME.safetensors with arrays, where there are any. Nothing large is stored: every parameter and
input is drawn from its name and shape (see the README beside the data).
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from videoxl2_model.config import POOL_STRIDE, VideoXL2Config, VisionConfig
from videoxl2_model.dts import FARTHEST, NORM_EPS, NORM_GROUPS
from videoxl2_model.errors import CheckpointError, SettingError

SCALES = {
    "temporal_encoding": 0.5,
    "embeddings_table": 0.2,
    "position_embedding.weight": 0.5,
    "embed_tokens.weight": 1.0,
}
FIXED: dict[tuple[str, str], object] = {  # what the model has no setting for
    ("vision", "hidden_act"): "gelu_pytorch_tanh",
    ("vision", "num_channels"): 3,
    ("language_model", "hidden_act"): "silu",
    ("dts", "group_norm_groups"): NORM_GROUPS,
    ("dts", "group_norm_eps"): NORM_EPS,
    ("dts", "relative_position_rows"): 2 * FARTHEST + 1,
    ("connector", "mm_projector_type"): "mlp2x_gelu",
    ("connector", "mm_spatial_pool_stride"): POOL_STRIDE,
    ("connector", "mm_spatial_pool_mode"): "average",
}


def draw(name: str, shape: Sequence[int], salt: str) -> NDArray[np.float32]:
    """Return standard normal numbers that depend on the name and shape alone."""
    seed = zlib.crc32((salt + name).encode())
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.standard_normal(tuple(shape), dtype=np.float32)


def scale(key: str, shape: Sequence[int]) -> float:
    """Return the scale of a parameter's numbers: the first rule that fits its key."""
    for ending, value in SCALES.items():
        if key.endswith(ending):
            return value
    if len(shape) == 1:
        return 0.1
    sharp = key.split(".")[-2] in ("q_proj", "k_proj", "q", "k")
    return (1.5 if sharp else 1.0) / math.sqrt(math.prod(shape[1:]))


def parameter(key: str, shape: Sequence[int], salt: str) -> Tensor:
    """Return a golden model's parameter."""
    weight = draw(key, shape, salt) * np.float32(scale(key, shape))
    if len(shape) == 1 and key.endswith(".weight"):
        weight = weight + np.float32(1)
    return torch.from_numpy(weight)


def drawn_input(name: str, shape: Sequence[int], salt: str, factor: float) -> Tensor:
    """Return an input: normalised pixels, features, or what DTS reads."""
    return torch.from_numpy(draw(name, shape, salt) * np.float32(factor))


@dataclass(frozen=True, slots=True)
class GoldenConfig:
    """The sizes of a folder's small model and the salt of its weights."""

    salt: str
    model: VideoXL2Config

    @classmethod
    def read(cls, path: Path) -> "GoldenConfig":
        """Read a config_NAME.json.

        Raises:
            CheckpointError: the file cannot be read or misses a field.
            SettingError: it asks for what this model cannot be.
        """
        facts = read_object(path)
        for (part, name), value in FIXED.items():
            asked = facts.get(part, {}).get(name, value)
            if asked != value:
                raise SettingError(f"{path.name}: {part}.{name} is {asked!r}; only {value!r} is")
        try:
            names = [each.name for each in fields(VisionConfig)]
            sizes = {name: facts["vision"][name] for name in names if name in facts["vision"]}
            model = VideoXL2Config(VisionConfig(**sizes), facts["language_model"])
            return cls(facts["salt"], model)
        except KeyError as error:
            raise CheckpointError(f"{path.name}: no field {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON file that holds one object.

    Raises:
        CheckpointError: it cannot be read, or holds something else.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name}: cannot be read: {error}") from error
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path.name}: holds no JSON object")
    return facts


@dataclass(frozen=True, slots=True)
class Case:
    """One golden case: its settings and lists, and its arrays."""

    name: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, Tensor]

    @classmethod
    def load(cls, folder: Path, name: str) -> "Case":
        """Read a case's files.

        Raises:
            CheckpointError: one cannot be read, or an array that the case lists is not there or
                has another shape.
        """
        facts = read_object(folder / f"{name}.json")
        path = folder / f"{name}.safetensors"
        try:
            arrays = load_file(path) if path.exists() else {}
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path.name}: cannot be read: {error}") from error
        for key, listed in facts.get("tensors", {}).items():
            shape = listed["shape"] if isinstance(listed, dict) else listed
            if key not in arrays:
                raise CheckpointError(f"{path.name}: no array {key}")
            if list(arrays[key].shape) != shape:
                raise CheckpointError(f"{path.name}: {key} is not {shape} as {name}.json says")
        return cls(name, facts, arrays)


def case_names(folder: Path) -> list[str]:
    """Return the cases of a folder: every JSON file but configurations and tokenizers."""
    stems = {path.stem for pattern in ("*.json", "*.safetensors") for path in folder.glob(pattern)}
    return sorted(stem for stem in stems if not stem.startswith(("config_", "tokenizer")))
