"""From a folder of config.json and safetensors to modules, mapped where types allow.

    python -m videoxl2_model.weights check FOLDER [--json]

says what a folder holds and whether it can be loaded, without reading its weights.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from videoxl2_model.checkpoint import FLOATS, Checkpoint, read_json, some
from videoxl2_model.config import StepWeights, VideoXL2Config, WeightKind
from videoxl2_model.connector import Connector
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import CheckpointError, SettingError
from videoxl2_model.published import CONNECTOR, EMBEDDING, HEAD, LAYERS, TOWER, is_unused
from videoxl2_model.quant import PackedLinear, pack
from videoxl2_model.vision import VisionTower

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
            owner = slot.owner
            if weights != "model" and key.startswith(LAYERS) and isinstance(owner, nn.Linear):
                slot.replace_owner(pack(tensor, owner.bias, weights))
            else:
                slot.put(tensor)


def load_decoder(
    folder: Path | str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    steps: StepWeights = "auto",
) -> Decoder:
    """Return the Qwen2 decoder of a folder with config.json and model*.safetensors.

    Tensors stay mapped to the files where type and device are the stored ones. A tied output
    layer stays tied.

    Raises:
        CheckpointError: files are missing or damaged, or tensors are missing, unknown, of another
            shape or type; all are named at once, before any is read.
    """
    folder = Path(folder)
    model = empty_model(read_config(folder))
    checkpoint = Checkpoint.open(folder)
    places = language_slots(model)
    compare(_shapes(places), types_of(checkpoint), _old_buffer(model)).require(folder, strict=True)
    stream(checkpoint, places, dtype, device)
    complete(model, device)
    return Decoder(model.eval(), steps)


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json of a Qwen2 model as a mapping."""
    path = folder / "config.json"
    config = read_json(path)
    if config.get("model_type") != "qwen2":
        raise CheckpointError(f"{path}: not the configuration of a Qwen2 model")
    return config


def empty_model(config: Mapping[str, Any]) -> Any:
    """Return a Qwen2ForCausalLM without storage."""
    # Imported here: transformers takes seconds, and not every caller loads a checkpoint.
    from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    with torch.device("meta"):
        return Qwen2ForCausalLM(Qwen2Config.from_dict(dict(config)))


def fill(model: Any, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Give a Qwen2 model without storage its tensors.

    Raises:
        CheckpointError: naming what is missing, unknown, of another shape or type.
    """
    names = {dtype: name for name, dtype in FLOATS.items()}
    found = {
        key: (tuple(each.shape), names.get(each.dtype, str(each.dtype)))
        for key, each in tensors.items()
    }
    places = language_slots(model)
    compare(_shapes(places), found, _old_buffer(model)).require(folder, strict=True)
    for key, slot in places.items():
        slot.put(tensors[key])
    complete(model, tensors[EMBEDDING].device)


def language_slots(model: Any) -> dict[str, Slot]:
    """Return the places of a Qwen2 model's keys; a tied output layer has none of its own."""
    places = slots({"": model})
    if model.config.tie_word_embeddings:
        del places[HEAD]
    return places


def complete(model: Any, device: torch.device | str) -> None:
    """Tie a Qwen2 model's output layer if it is tied, and make its rotary tables."""
    if model.config.tie_word_embeddings:
        embedding = model.model.embed_tokens.weight
        moved = embedding.to(device)
        model.lm_head.weight = (
            embedding if moved is embedding else nn.Parameter(moved, requires_grad=False)
        )
    # Its tables are no part of a checkpoint and were made without storage.
    rotary = type(model.model.rotary_emb)(config=model.config)
    model.model.rotary_emb = rotary.to(device)


def _old_buffer(model: Any) -> Callable[[str], bool]:
    """Return the rule for keys that a Qwen2 checkpoint may hold without need."""
    tied = bool(model.config.tie_word_embeddings)
    return lambda key: key.endswith("inv_freq") or (tied and key == HEAD)


def _shapes(places: Mapping[str, Slot]) -> dict[str, Shape]:
    return {key: slot.shape for key, slot in places.items()}


@dataclass(frozen=True, slots=True)
class VideoModules:
    """The modules of a Video-XL-2; `language` is transformers' Qwen2ForCausalLM."""

    tower: VisionTower
    connector: Connector
    language: Any

    @classmethod
    def empty(cls, config: VideoXL2Config) -> "VideoModules":
        """Return modules without storage."""
        with torch.device("meta"):
            tower = VisionTower(config.vision)
            connector = Connector(config.vision.hidden_size, config.hidden_size)
        language = empty_model({"model_type": "qwen2", **config.language_model})
        return cls(tower.eval(), connector.eval(), language.eval())

    def slots(self) -> dict[str, Slot]:
        """Return the place of every key under its public name."""
        picture = slots({TOWER: self.tower, CONNECTOR: self.connector})
        return {**language_slots(self.language), **picture}

    def tensors(self) -> dict[str, Tensor]:
        """Return every weight under its public name.

        Raises:
            SettingError: weights are packed: the checkpoint's own are gone.
        """
        if any(isinstance(each, PackedLinear) for each in self.language.modules()):
            raise SettingError("packed weights cannot be saved; load with weights='model'")
        return {key: getattr(slot.owner, slot.name) for key, slot in self.slots().items()}


def video_findings(
    config: VideoXL2Config, modules: VideoModules, checkpoint: Checkpoint
) -> Findings:
    """Return how a checkpoint differs from a Video-XL-2 of these sizes."""
    tied = bool(config.language_model.get("tie_word_embeddings"))
    return compare(
        _shapes(modules.slots()),
        types_of(checkpoint),
        lambda key: is_unused(key, config) or (tied and key == HEAD),
    )


def load_modules(
    folder: Path,
    config: VideoXL2Config,
    *,
    dtype: torch.dtype | None,
    device: torch.device,
    weights: WeightKind = "model",
    embedding_on_cpu: bool = False,
) -> VideoModules:
    """Return the modules of a folder in the public layout, with their weights.

    `dtype` None: that of the checkpoint's embedding on a GPU, float32 on a CPU.

    Raises:
        CheckpointError: as `Checkpoint.open`, or the tensors do not fit; nothing was read then.
    """
    checkpoint = Checkpoint.open(folder)
    modules = VideoModules.empty(config)
    video_findings(config, modules, checkpoint).require(folder, strict=False)
    if dtype is None:
        own = FLOATS[checkpoint.tensors[EMBEDDING].dtype]
        dtype = torch.float32 if device.type == "cpu" else own
    stream(
        checkpoint,
        modules.slots(),
        dtype,
        device,
        weights=weights,
        embedding_on_cpu=embedding_on_cpu,
    )
    complete(modules.language, device)
    return modules
