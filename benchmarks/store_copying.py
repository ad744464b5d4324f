"""How fast are bundles and `verify`, beside copying the same bytes and taking their SHA-256?

Blobs of the sizes that Video-XL-2 gives; the page cache is warm in all. What a bundle's side does
besides: it checks every hash on the way out and again on the way in, and forces all to disk.
"""

import shutil
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Ratio, show, timed
from store_drawn import fill, picture_chunk, scratch, video_id

from agentkit_storage import Store


def measure(
    videos: int = 2, chunks: int = 50, rounds: int = 5
) -> tuple[dict[str, Any], list[Ratio]]:
    """Return figures and ratios of export, import and verify."""
    with scratch() as folder:
        store_folder = folder / "store"
        with Store.open(store_folder) as store:
            fill(store, range(videos), chunks, picture_chunk, kv=False)
            gigabytes = sum(path.stat().st_size for path in _blobs(store_folder)) / 1e9
            found = [_round(folder, store, videos) for _ in range(rounds)]
    seconds = {name: statistics.median(each[name] for each in found) for name in found[0]}
    pairs = {"export": "copy", "import": "copy", "verify": "sha256sum"}
    ratios = [
        show(Ratio(f"{ours}, over {theirs} of the same bytes", gigabytes / seconds[ours],
                   gigabytes / seconds[theirs], "GB/s"))
        for ours, theirs in pairs.items()
    ]  # fmt: skip
    return {"gigabytes": gigabytes, "rounds": rounds, "seconds": seconds}, ratios


def _round(folder: Path, store: Store, videos: int) -> dict[str, float]:
    """Do each thing once; return its seconds."""
    bundle, copy, other = folder / "bundle.tar", folder / "copy", folder / "other"
    blobs = _blobs(folder / "store")
    names = [video_id(number) for number in range(videos)]
    seconds = {
        "copy": _seconds(lambda: _copy(folder / "store" / "blobs", copy)),
        "export": _seconds(lambda: store.export_bundle(names, bundle)),
        "import": _seconds(lambda: _import(bundle, other)),
        "sha256sum": _seconds(lambda: _run("sha256sum", *map(str, blobs))),
        "verify": _seconds(lambda: _verify(store)),
    }
    bundle.unlink()
    shutil.rmtree(copy)
    shutil.rmtree(other)
    return seconds


def _seconds(call: Callable[[], object]) -> float:
    with timed() as elapsed:
        call()
    return elapsed.wall_s


def _copy(blobs: Path, copy: Path) -> None:
    """Copy a folder and force it to disk."""
    _run("cp", "-r", str(blobs), str(copy))
    _run("sync", *(str(path) for path in copy.glob("??/*")))


def _import(bundle: Path, folder: Path) -> None:
    with Store.open(folder) as store:
        store.import_bundle(bundle)


def _verify(store: Store) -> None:
    if problems := store.verify():
        raise RuntimeError(f"the store is damaged: {problems[0]}")


def _run(*words: str) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)


def _blobs(folder: Path) -> list[Path]:
    return sorted((folder / "blobs").glob("??/*"))
