"""From a folder of config.json and safetensors to modules, mapped where types allow.

    python -m videoxl2_model.weights check FOLDER [--json]

says what a folder holds and whether it can be loaded; it reads names and shapes, no weights.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from videoxl2_model import published
from videoxl2_model.checkpoint import FLOATS, Checkpoint, read_json, some
from videoxl2_model.config import StepWeights, VideoXL2Config, WeightKind
from videoxl2_model.connector import Connector
from videoxl2_model.decoder import Decoder
from videoxl2_model.errors import CheckpointError, SettingError, VideoXL2Error
from videoxl2_model.fitting import Findings, Slot, compare, shapes_of, slots, stream, types_of
from videoxl2_model.published import CONNECTOR, EMBEDDING, HEAD, TOWER, is_unused
from videoxl2_model.quant import PackedLinear
from videoxl2_model.report import TEXT, VIDEO, Report
from videoxl2_model.vision import VisionTower


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
    compare(shapes_of(places), types_of(checkpoint), _old_buffer(model)).require(
        folder, strict=True
    )
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
    compare(shapes_of(places), found, _old_buffer(model)).require(folder, strict=True)
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
        shapes_of(modules.slots()),
        types_of(checkpoint),
        lambda key: is_unused(key, config) or (tied and key == HEAD),
    )


def load_modules(
    folder: Path,
    config: VideoXL2Config,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "auto",
    weights: WeightKind = "model",
    embedding_on_cpu: bool = False,
) -> VideoModules:
    """Return the modules of a folder in the public layout, with their weights.

    `dtype` None: that of the checkpoint's embedding on a GPU, float32 on a CPU.

    Raises:
        CheckpointError: as `Checkpoint.open`, or the tensors do not fit; nothing was read then.
        SettingError: the device is not there, or `weights` or `dtype` is none that is run.
    """
    if weights not in get_args(WeightKind):
        raise SettingError(f"unknown weights {weights!r}; {', '.join(get_args(WeightKind))}")
    if dtype not in (None, *FLOATS.values()):
        raise SettingError(f"dtype is {dtype}; float32, bfloat16 or float16 is run")
    device = present_device(device)
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


def present_device(device: torch.device | str) -> torch.device:
    """Return a device; `auto` is the GPU where there is one.

    Raises:
        SettingError: it is no CPU or CUDA device, or not here.
    """
    here = torch.cuda.device_count()
    named = ("cuda" if here else "cpu") if device == "auto" else str(device)
    if named.partition(":")[0] not in ("cpu", "cuda", "meta"):  # meta: shapes alone
        raise SettingError(f"device is {device!r}; auto, cpu, cuda or cuda:1 is run on")
    try:
        chosen = torch.device(named)
    except RuntimeError as error:  # such as cuda:x
        raise SettingError(f"device is {device!r}: {error}") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= here:
        raise SettingError(f"device is {chosen}, and torch finds {here} here; take device='cpu'")
    return chosen


def inspect(folder: Path | str) -> Report:
    """Return what a folder holds, whether it fits its config.json or not.

    Raises:
        CheckpointError: config.json or the files' headers cannot be read.
    """
    folder = Path(folder)
    kind = read_json(folder / "config.json").get("model_type")
    found = Checkpoint.open(folder)
    if kind == published.MODEL_TYPE:
        config = published.read_config(folder)
        modules = VideoModules.empty(config)
        wanted, findings = modules.slots(), video_findings(config, modules, found)
        sizes = {"vision": asdict(config.vision), "language_model": dict(config.language_model)}
    else:
        sizes = read_config(folder)
        model = empty_model(sizes)
        wanted = language_slots(model)
        findings = compare(shapes_of(wanted), types_of(found), _old_buffer(model))
    there = [found.tensors[key] for key in wanted if key in found.tensors]
    return Report(
        folder=str(folder),
        model=VIDEO if kind == published.MODEL_TYPE else TEXT,
        files=len(found.files),
        nbytes=found.nbytes,
        num_keys=len(there),
        num_parameters=sum(prod(each.shape) for each in there),
        types=dict(Counter(each.dtype for each in there)),
        tokenizer=_tokenizer_file(folder),
        sizes=sizes,
        findings=findings,
    )


def check(folder: Path | str) -> Report:
    """Return what a folder holds.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    report = inspect(folder)
    if report.faults:
        told = "; ".join(f"{kind}: {some(keys)}" for kind, keys in report.faults.items())
        raise CheckpointError(f"{folder}: {told}")
    return report


def _tokenizer_file(folder: Path) -> str | None:
    names = ("tokenizer.json", "vocab.json")
    return next((name for name in names if (folder / name).is_file()), None)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m videoxl2_model.weights")
    parser.add_argument("command", choices=["check"], help="say what a folder holds")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object, every key named")
    options = parser.parse_args(arguments)
    try:
        report = inspect(options.folder)
    except VideoXL2Error as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 — the command's answer
        return 1
    lines = [json.dumps({**asdict(report), "faults": report.faults})]
    print("\n".join(lines if options.json else report.lines()))  # noqa: T201 — as above
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
