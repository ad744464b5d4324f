"""A checkpoint's files: what they hold without reading it, then tensor by tensor, mapped.

Safetensors only, one file or shards. Knows keys, shapes and types; knows no model.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from videoxl2_model.errors import CheckpointError, SettingError

INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "BOOL": 8}
NAMED = 6  # keys or files of one kind that a line names


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file; `dtype` is safetensors' own name, such as BF16."""

    file: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * BITS.get(self.dtype, 8) // 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of a folder by key. Nothing of them has been read but names and shapes."""

    folder: Path
    tensors: Mapping[str, Stored]

    @classmethod
    def open(cls, folder: Path | str) -> "Checkpoint":
        """Read the headers of a folder's safetensors files.

        Raises:
            CheckpointError: there are none, the index names a file or a tensor that is not there,
                a file is cut or no safetensors, or a tensor is there twice.
        """
        folder = Path(folder)
        listed = _index(folder)
        names = sorted(set(listed.values())) or [each.name for each in _files(folder)]
        tensors: dict[str, Stored] = {}
        for name in names:
            for key, stored in _header(folder / name):
                if key in tensors:
                    raise CheckpointError(
                        f"{folder}: {key} is in {tensors[key].file.name} and in {name};"
                        " remove the file that does not belong here"
                    )
                tensors[key] = stored
        lost = [key for key, name in listed.items() if _lies(tensors, key) != name]
        if lost:
            raise CheckpointError(f"{folder / INDEX}: not where it says: {some(lost)}; {AGAIN}")
        return cls(folder, tensors)

    @property
    def files(self) -> list[Path]:
        return sorted({each.file for each in self.tensors.values()})

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in self.tensors.values())

    @property
    def num_parameters(self) -> int:
        return sum(prod(each.shape) for each in self.tensors.values())

    def read(self, keys: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of `keys`, file by file, mapped: their bytes are read when used.

        Raises:
            CheckpointError: a file became unreadable.
        """
        for path in self.files:
            wanted = [key for key in keys if self.tensors[key].file == path]
            if wanted:
                yield from _read(path, wanted)


AGAIN = "download the checkpoint again"


def read_json(path: Path, what: str = "a configuration") -> dict[str, Any]:
    """Return a JSON file's object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as {what}: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: cannot be read as {what}: no JSON object")
    return value


def some(names: Iterable[str]) -> str:
    """Return the first few names in a line, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


def _index(folder: Path) -> dict[str, str]:
    """Return file names by key as the folder's index lists them; empty without an index."""
    path = folder / INDEX
    if not path.is_file():
        return {}
    listed = read_json(path, "an index of shards").get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise CheckpointError(f"{path}: cannot be read as an index of shards: no weight_map")
    names = {str(each) for each in listed.values()}
    outside = [each for each in names if Path(each).name != each]
    if outside:
        raise CheckpointError(f"{path}: names files outside its folder: {some(outside)}")
    absent = [each for each in names if not (folder / each).is_file()]
    if absent:
        raise CheckpointError(f"{folder}: shards are missing: {some(absent)}; {AGAIN}")
    return {str(key): str(name) for key, name in listed.items()}


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    pickles = [each.name for pattern in PICKLES for each in folder.glob(pattern)]
    if pickles:
        raise CheckpointError(
            f"{folder}: holds pickled weights only ({some(pickles)}), which can run code when"
            " read; convert them to safetensors (safetensors.torch.save_file) where you trust them"
        )
    raise CheckpointError(f"{folder}: no safetensors file; {AGAIN}")


def _header(path: Path) -> Iterator[tuple[str, Stored]]:
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 — the handle is no mapping
                part = file.get_slice(key)
                yield key, Stored(path, tuple(part.get_shape()), str(part.get_dtype()))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cut or damaged: {error}; {AGAIN}") from error


def _lies(tensors: Mapping[str, Stored], key: str) -> str | None:
    return tensors[key].file.name if key in tensors else None


def _read(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            for key in keys:
                yield key, file.get_tensor(key)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cut or damaged: {error}; {AGAIN}") from error


def write(folder: Path, tensors: Mapping[str, Tensor], shards: Sequence[Sequence[str]]) -> None:
    """Write tensors, their keys shared among files; the host holds one file's at a time.

    Raises:
        SettingError: the folder holds safetensors already: they may be what is being saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.safetensors")):
        raise SettingError(f"{folder}: holds a checkpoint already; save into an empty folder")
    names = [_shard_name(number, len(shards)) for number in range(1, len(shards) + 1)]
    for name, keys in zip(names, shards, strict=True):
        part = {key: tensors[key].detach().to("cpu").contiguous() for key in keys}
        save_file(part, folder / name, {"format": "pt"})
    if len(shards) > 1:
        total = sum(each.nbytes for each in tensors.values())
        places = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def shards_of(tensors: Mapping[str, Tensor], max_bytes: int) -> list[list[str]]:
    """Share keys among shards in their order; a tensor larger than a shard has its own."""
    shards: list[list[str]] = [[]]
    held = 0
    for key, tensor in tensors.items():
        if shards[-1] and held + tensor.nbytes > max_bytes:
            shards.append([])
            held = 0
        shards[-1].append(key)
        held += tensor.nbytes
    return shards


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
