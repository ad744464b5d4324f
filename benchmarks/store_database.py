"""How long do a writer's and a reader's calls take in another database than SQLite in a folder?

The same drawn videos go into a new store in a folder and into the one that is named, and the same
calls are made of both in turn, by one process that nobody else disturbs.
"""

import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from common import Ratio, show
from store_drawn import FINGERPRINT, cache, note_chunk, scratch, video_id
from store_readers import KINDS, Load, call

from agentkit_storage import Store
from agentkit_storage.testing import draw_video

HERE, THERE = "SQLite", "the other"


def measure(location: str, load: Load, rounds: int = 200) -> tuple[dict[str, Any], list[Ratio]]:
    """Return the median milliseconds of each call here and there, and their ratios.

    Raises:
        SystemExit: the store at `location` holds videos already.
    """
    with scratch() as folder, Store.open(folder) as here, Store.open(location) as there:
        if there.videos():
            raise SystemExit(f"{location}: holds videos already; name a new store")
        both = {HERE: here, THERE: there}
        writes = _write(both, load)
        reads = _read(both, load, rounds)
    ms = {name: {**writes[name], **reads[name]} for name in both}
    return {"ms": ms}, [
        show(Ratio(f"{what}: {THERE} database over {HERE}", ms[THERE][what], ms[HERE][what], "ms"))
        for what in ms[HERE]
    ]


def _write(both: dict[str, Store], load: Load) -> dict[str, dict[str, float]]:
    """Fill the stores in turn, chunk by chunk."""
    spent: dict[str, dict[str, list[float]]] = {
        name: {"add_chunk": [], "put_kv": []} for name in both
    }
    for number in range(load.videos):
        random, name = np.random.default_rng(number), video_id(number)
        for store in both.values():
            store.add_video(draw_video(name), FINGERPRINT)
        for index in range(load.chunks):
            record, arrays = note_chunk(name, index, random), cache(random)
            for which, store in both.items():
                began = perf_counter()
                store.add_chunk(record)
                added = perf_counter()
                store.put_kv(name, FINGERPRINT, index, arrays)
                spent[which]["add_chunk"].append(added - began)
                spent[which]["put_kv"].append(perf_counter() - added)
    return {name: {what: _ms(each) for what, each in of.items()} for name, of in spent.items()}


def _read(both: dict[str, Store], load: Load, rounds: int) -> dict[str, dict[str, float]]:
    spent: dict[str, dict[str, list[float]]] = {name: {k: [] for k in KINDS} for name in both}
    for number in range(rounds):
        for kind in KINDS:
            for which, store in both.items():
                random = np.random.default_rng(number)
                began = perf_counter()
                call(store, kind, load, random)
                spent[which][kind].append(perf_counter() - began)
    return {name: {kind: _ms(each) for kind, each in of.items()} for name, of in spent.items()}


def _ms(seconds: Sequence[float]) -> float:
    return 1e3 * statistics.median(seconds)
