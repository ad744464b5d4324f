"""manifest.json: what a model's folder holds and what it was made from. Written last of all."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from agentkit.models.files import part_path, sync_folder
from agentkit.models.spec import Digest

MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a folder, and the fetched files they come from. Says nothing of when or whence,

    so that the same bytes give the same manifest on every machine.
    """

    model: str
    files: dict[str, Digest]
    made_from: dict[str, Digest]


def read(folder: Path) -> Manifest | None:
    """Return the folder's manifest, None if there is none that can be read."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            return None
        return Manifest(data["model"], _digests(data["files"]), _digests(data["made_from"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest so that it is there whole or not at all."""
    part = part_path(folder / MANIFEST)
    data = {"format": _FORMAT, **asdict(manifest)}
    with part.open("w", encoding="utf-8") as out:
        out.write(json.dumps(data, indent=2, sort_keys=True) + "\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(folder / MANIFEST)
    sync_folder(folder)


def is_complete(folder: Path) -> bool:
    """Return whether every file of the manifest is there with its size; reads no file but it."""
    manifest = read(folder)
    return manifest is not None and all(
        (folder / name).is_file() and (folder / name).stat().st_size == digest.nbytes
        for name, digest in manifest.files.items()
    )


def _digests(data: dict[str, dict[str, object]]) -> dict[str, Digest]:
    return {
        name: Digest(int(str(value["nbytes"])), str(value["sha256"]))
        for name, value in data.items()
    }
