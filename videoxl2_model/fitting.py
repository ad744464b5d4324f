"""Which tensor goes where: a checkpoint's keys held against modules, then put in one by one."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from videoxl2_model.checkpoint import FLOATS, Checkpoint, some
from videoxl2_model.config import WeightKind
from videoxl2_model.errors import CheckpointError
from videoxl2_model.published import EMBEDDING, LAYERS
from videoxl2_model.quant import pack

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a key's tensor goes: a module's parameter, or a buffer."""

    root: nn.Module
    path: str  # of the owning module within root
    name: str
    shape: Shape

    @property
    def owner(self) -> nn.Module:
        return self.root.get_submodule(self.path)

    def put(self, tensor: Tensor) -> None:
        is_parameter = self.name in dict(self.owner.named_parameters(recurse=False))
        value = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
        setattr(self.owner, self.name, value)

    def replace_owner(self, module: nn.Module) -> None:
        above, _, name = self.path.rpartition(".")
        setattr(self.root.get_submodule(above), name, module)


def slots(parts: Mapping[str, nn.Module]) -> dict[str, Slot]:
    """Return the place of every key that modules need, given by the prefix of their keys."""
    places = {}
    for prefix, root in parts.items():
        for key, value in root.state_dict().items():
            path, _, name = key.rpartition(".")
            places[prefix + key] = Slot(root, path, name, tuple(value.shape))
    return places


@dataclass(frozen=True, slots=True)
class Findings:
    """How a checkpoint's tensors differ from what modules need."""

    missing: list[str] = field(default_factory=list)
    misshaped: list[str] = field(default_factory=list)
    mistyped: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def faults(self, *, strict: bool) -> dict[str, list[str]]:
        """Return what forbids loading; unknown keys do in `strict` alone."""
        kinds = {
            "missing": self.missing,
            "misshaped": self.misshaped,
            f"of another type than {', '.join(FLOATS)}": self.mistyped,
            "unknown": self.unknown if strict else [],
        }
        return {kind: keys for kind, keys in kinds.items() if keys}

    def require(self, folder: Path, *, strict: bool) -> None:
        """Raise CheckpointError naming every fault; log what is unknown and let through."""
        faults = self.faults(strict=strict)
        if faults:
            told = "; ".join(f"{len(keys)} {kind}: {some(keys)}" for kind, keys in faults.items())
            raise CheckpointError(f"{folder}: the weights do not fit config.json; {told}")
        if self.unknown:
            logger.warning(
                "%s: %d unknown keys are left aside: %s",
                folder,
                len(self.unknown),
                some(self.unknown),
            )


def compare(
    wanted: Mapping[str, Shape],
    found: Mapping[str, tuple[Shape, str]],
    unused: Callable[[str], bool],
) -> Findings:
    """Compare the shapes that modules need with the (shape, type) of what is there."""
    there = [key for key in wanted if key in found]
    extra = [key for key in found if key not in wanted]
    return Findings(
        missing=[key for key in wanted if key not in found],
        misshaped=[
            f"{key} {list(found[key][0])} for {list(wanted[key])}"
            for key in there
            if found[key][0] != wanted[key]
        ],
        mistyped=[f"{key} {found[key][1]}" for key in there if found[key][1] not in FLOATS],
        unused=[key for key in extra if unused(key)],
        unknown=[key for key in extra if not unused(key)],
    )


def shapes_of(places: Mapping[str, Slot]) -> dict[str, Shape]:
    """Return the shapes that modules need, for `compare`."""
    return {key: slot.shape for key, slot in places.items()}


def types_of(checkpoint: Checkpoint) -> dict[str, tuple[Shape, str]]:
    """Return shape and type of everything in a checkpoint, for `compare`."""
    return {key: (each.shape, each.dtype) for key, each in checkpoint.tensors.items()}


def stream(
    checkpoint: Checkpoint,
    places: Mapping[str, Slot],
    dtype: torch.dtype,
    device: torch.device | str,
    *,
    weights: WeightKind = "model",
    embedding_on_cpu: bool = False,
) -> None:
    """Put a checkpoint's tensors where they go, one after the other, in their type and place.

    With `weights` the linear maps of the language model's layers are packed as they come, so that
    the whole is never there unpacked.
    """
    # Biases first: a linear map is packed with its bias, which may be in another file.
    for only_matrices in (False, True):
        keys = [key for key, slot in places.items() if (len(slot.shape) > 1) == only_matrices]
        for key, tensor in checkpoint.read(keys):
            home = "cpu" if embedding_on_cpu and key == EMBEDDING else device
            slot, tensor = places[key], tensor.to(home, dtype)
            linear = slot.owner
            if weights != "model" and only_matrices and _is_packed(linear, key):
                slot.replace_owner(pack(tensor, linear.bias, weights))
            else:
                slot.put(tensor)


def _is_packed(owner: nn.Module, key: str) -> TypeGuard[nn.Linear]:
    return key.startswith(LAYERS) and isinstance(owner, nn.Linear)
