"""How fast do stored tokens come back, and what do 8 bits cost them?

Rows of Video-XL-2's size are read through the store and, in turn with that, file by file with an
XXH3 over each: the same bytes, the page cache warm in both. Once a video whole, where both keep
all that they read, once chunk by chunk, where both let go of it as a prefill does.
"""

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import xxhash
from common import Ratio, show
from store_drawn import TOKENS, fill, outlier_rows, picture_chunk, scratch, video_id

from agentkit_storage import Store
from agentkit_storage.records import Array
from agentkit_storage.row_codec import TokensDtype, codec_of, decoded, encoded
from agentkit_storage.testing import GROUPS

AIM_READ = 0.7
LIMIT_ERROR = 0.03  # of a row's length
LIMIT_BYTES = 0.52
FACTORS = (1.0, 10.0, 100.0, 1000.0)  # how much larger the outlier channels are
VIDEO = video_id(0)


def measure(chunks: int = 100, rounds: int = 21) -> tuple[dict[str, Any], list[Ratio]]:
    """Return figures and ratios of reading tokens and of keeping them in 8 bits."""
    kinds: Sequence[TokensDtype] = ("lossless", "int8")
    read: dict[str, Any] = {kind: _read(kind, chunks, rounds) for kind in kinds}
    ratios = [show(ratio) for ratio in (*_rates(read), *_costs(read))]
    return {"chunks": chunks, "rounds": rounds, "read": read}, ratios


def _read(kind: TokensDtype, chunks: int, rounds: int) -> dict[str, Any]:
    """Return bytes as stored and as read, and the median seconds of each way to read them."""
    with scratch() as folder, Store.open(folder, tokens_dtype=kind) as store:
        fill(store, range(1), chunks, picture_chunk, kv=False)
        files = sorted((folder / "blobs").glob("??/*"))
        seconds = in_turn({
            "files, kept": lambda: [hashed(path) for path in files],
            "store, whole": lambda: store.groups(VIDEO),
            "files": lambda: each(hashed, files),
            "store, by chunk": lambda: each(partial(_chunk, store), range(chunks)),
        }, rounds)  # fmt: skip
        rows = sum(group.rows.nbytes for group in store.groups(VIDEO) if group.rows is not None)
        return {"stored_bytes": sum(path.stat().st_size for path in files), "rows_bytes": rows,
                "tier_bytes": store.tiers(VIDEO)[-1].nbytes, "seconds": seconds}  # fmt: skip


def _chunk(store: Store, index: int) -> object:
    return store.groups(VIDEO, index * GROUPS, (index + 1) * GROUPS)


def hashed(path: Path) -> bytes:
    """Return a file's bytes, having taken their XXH3."""
    data = path.read_bytes()
    xxhash.xxh3_64_digest(data)
    return data


def each(call: Callable[[Any], object], over: Sequence[Any]) -> None:
    """Call with one after the other and keep nothing."""
    for one in over:
        call(one)


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each, all run once before and then in turn."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = perf_counter()
            kept = way()
            ended = perf_counter()
            del kept
            if number:
                spent[name].append(ended - began)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def _rates(read: Mapping[str, Any]) -> list[Ratio]:
    ratios = []
    for kind, aim in (("lossless", AIM_READ), ("int8", None)):
        seconds, gigabytes = read[kind]["seconds"], read[kind]["stored_bytes"] / 1e9
        for ours, theirs in (("store, whole", "files, kept"), ("store, by chunk", "files")):
            name = f"{kind} tokens: {ours}, over reading the files and their XXH3"
            rates = (gigabytes / seconds[ours], gigabytes / seconds[theirs])
            ratios.append(Ratio(name, *rates, "GB/s", aim=aim))
    packed, plain = (
        read[kind]["rows_bytes"] / read[kind]["seconds"]["store, whole"] / 1e9
        for kind in ("int8", "lossless")
    )
    return [*ratios, Ratio("rows out of int8 over rows out of lossless", packed, plain, "GB/s")]


def _costs(read: Mapping[str, Any]) -> list[Ratio]:
    packed, plain = (read[kind]["tier_bytes"] / 1e6 for kind in ("int8", "lossless"))
    worst = {factor: error(factor) for factor in FACTORS}
    return [
        Ratio("tokens in int8 over lossless", packed, plain, "MB", limit=LIMIT_BYTES),
        *(
            Ratio(f"int8: largest error of a row, channels {factor:g} times as large", found, 1.0,
                  "of its length", limit=LIMIT_ERROR)
            for factor, found in worst.items()
        ),
        Ratio("lossless: groups that differ by SHA-256", differing(), 1.0, "groups", limit=0.0),
    ]  # fmt: skip


def error(factor: float, groups: int = 25) -> float:
    """Return the largest error of a row through 8 bits, over the row's length."""
    random = np.random.default_rng(round(factor))
    return max(_error(outlier_rows(TOKENS, factor, random)) for _ in range(groups))


def _error(rows: Array) -> float:
    given, found = (each.astype(np.float64) for each in (rows, through(rows, "int8")))
    off = np.linalg.norm(found - given, axis=1) / np.linalg.norm(given, axis=1)
    return float(off.max())


def through(rows: Array, kind: TokensDtype) -> Array:
    """Return rows as the store would hand them out again."""
    codec = codec_of(rows, kind)
    return decoded(encoded(rows, 0, codec), 0, codec)


def differing() -> int:
    """Return how many groups come back from a store with another SHA-256, lossless."""
    record = picture_chunk(VIDEO, 0, np.random.default_rng(0))
    with scratch() as folder, Store.open(folder) as store:
        fill(store, range(1), 1, picture_chunk, kv=False)
        found = store.groups(VIDEO)
    return sum(
        sha256(mine.rows) != sha256(given.rows)
        for mine, given in zip(found, record.groups, strict=True)
    )


def sha256(rows: Array | None) -> str:
    return "" if rows is None else hashlib.sha256(rows.tobytes()).hexdigest()
