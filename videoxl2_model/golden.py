"""Golden data of the public reference: weights by formula, cases, and how far we are from them.

Nothing large is stored: every parameter and input is drawn from its name and shape (see the README
beside the data).
"""

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from videoxl2_model.decoder import Decoder
from videoxl2_model.prefill import TokenGroup
from videoxl2_model.weights import empty_model, fill

PLACEHOLDER = 151654  # stands for picture tokens in the golden id lists
VIDEO = -200
TOLERANCE = 1e-4
SCALES = {
    "temporal_encoding": 0.5,
    "embeddings_table": 0.2,
    "position_embedding.weight": 0.5,
    "embed_tokens.weight": 1.0,
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


def golden_decoder(folder: Path) -> Decoder:
    """Return the small language model of a golden folder."""
    config = json.loads((folder / "config_A.json").read_text(encoding="utf-8"))
    model = empty_model({"model_type": "qwen2", **config["language_model"]})
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    tensors = {key: parameter(key, shape, config["salt"]) for key, shape in shapes.items()}
    fill(model, tensors, folder)
    return Decoder(model.eval(), steps="model")


@dataclass(frozen=True, slots=True)
class Case:
    """One golden case: its settings and lists, and its arrays."""

    name: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, Tensor]

    @classmethod
    def load(cls, folder: Path, name: str) -> "Case":
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / f"{name}.safetensors")
        shared = folder / f"{name[0]}_shared.safetensors"  # what cases of one letter have in common
        return cls(name, facts, {**(load_file(shared) if shared.is_file() else {}), **arrays})

    @property
    def system_ids(self) -> list[int]:
        ids: list[int] = self.facts["input_ids"]
        return ids[: ids.index(VIDEO)]

    @property
    def question_ids(self) -> list[int]:
        ids: list[int] = self.facts["input_ids"]
        return ids[ids.index(VIDEO) + 1 :]

    def groups(self) -> Iterator[TokenGroup]:
        """Yield the groups: text ids from the list, picture rows from the golden embeddings."""
        ids: list[int] = self.facts["time_embedding_ids"]
        rows = self.arrays["inputs_embeds"][self.facts["visual_start"] :]
        for start, middle, stop in group_bounds(ids):
            yield TokenGroup(tuple(ids[start:middle]), rows=rows[middle:stop])


def group_bounds(ids: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return where each group's text starts, its placeholders start, and it ends."""
    opens = [
        i
        for i, each in enumerate(ids)
        if each != PLACEHOLDER and (i == 0 or ids[i - 1] == PLACEHOLDER)
    ]
    bounds = []
    for start, stop in zip(opens, [*opens[1:], len(ids)], strict=True):
        bounds.append((start, ids.index(PLACEHOLDER, start), stop))
    return bounds


@dataclass(slots=True)
class Report:
    """What a case gave: largest differences of arrays, and lists that are not equal."""

    case: str
    differences: dict[str, float] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        close = all(each <= TOLERANCE for each in self.differences.values())
        return close and not self.mismatches and bool(self.differences)

    def close(self, name: str, value: Tensor, golden: Tensor) -> None:
        if value.shape != golden.shape:
            self.mismatches.append(f"{name}: shape {list(value.shape)} for {list(golden.shape)}")
            return
        self.differences[name] = float((value - golden).abs().max())

    def equal(self, name: str, value: object, golden: object) -> None:
        if value != golden:
            self.mismatches.append(f"{name}: {value} for {golden}")
