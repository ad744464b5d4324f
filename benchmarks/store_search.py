"""How fast is a search of a large store against a flat one, what does it miss, how soon is it open?

A store of drawn videos gets clustered vectors [384], as embeddings of like things are clustered.
The same queries then go through the space's index as each kind: flat is the truth and the
baseline. Searches run on one thread, SQL and re-scoring included.

    python benchmarks/store_search.py                       # a million vectors of 10,000 videos
    python benchmarks/store_search.py --vectors 100000 --videos 1000
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import sqlalchemy as sa
from common import Ratio, release_memory, show, timed, write_results
from numpy.typing import NDArray

from agentkit_storage import Filter, Store, segments, videos
from agentkit_storage.index import SpaceIndex
from agentkit_storage.schema import ChunkRow
from agentkit_storage.sealed import seal
from agentkit_storage.testing import draw_video
from agentkit_storage.vector_kinds import IndexSettings, Kind

SIZE = 384
SPACE = "text"
K = 10
PER_CHUNK = 25  # vectors: the lines of a chunk and its texts
SPREAD = 1.0  # length of a vector's own part; its centre has 1
AIM_SPEED = 10.0
AIM_RECALL = 0.95
LIMIT_BYTES = 0.3
LIMIT_OPEN_S = 2.0
NEVER = 2**62

KINDS = {
    Kind.FLAT: IndexSettings(sq8_from=NEVER, ivf_from=NEVER),
    Kind.SQ8: IndexSettings(sq8_from=1, ivf_from=NEVER),
    Kind.IVF_SQ8: IndexSettings(sq8_from=1, ivf_from=1),
}

Floats = NDArray[np.float32]


def drawn(count: int, centres: Floats, random: np.random.Generator) -> Floats:
    """Return unit vectors [count, SIZE], each near one of the centres [C, SIZE]."""
    own = random.normal(size=(count, SIZE)).astype(np.float32) * np.float32(SPREAD / SIZE**0.5)
    vectors = centres[random.integers(0, len(centres), count)] + own
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def draw_centres(count: int, random: np.random.Generator) -> Floats:
    centres = random.normal(size=(count, SIZE)).astype(np.float32)
    unit: Floats = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    return unit


def fill(store: Store, num_vectors: int, num_videos: int, centres: Floats) -> None:
    """Put the vectors under chunks of videos; in a few large transactions, for speed alone."""
    random = np.random.default_rng(1)
    per_video = -(-num_vectors // num_videos)
    for first in range(0, num_videos, 500):
        with store._db.write("benchmark") as conn:
            segments.claim_sizes(conn, {SPACE: SIZE})
            for number in range(first, min(first + 500, num_videos)):
                video_id = f"{number:064x}"
                videos.insert(conn, draw_video(video_id), "drawn")
                left = max(0, min(per_video, num_vectors - number * per_video))
                put_chunks(conn, video_id, drawn(left, centres, random))


def put_chunks(conn: sa.Connection, video_id: str, vectors: Floats) -> None:
    """Store a video's vectors under chunks that have nothing else."""
    for number, at in enumerate(range(0, len(vectors), PER_CHUNK)):
        span = {"start_s": 16.0 * number, "end_s": 16.0 * number + 16.0}
        groups = {"first_group": 4 * number, "num_groups": 4}
        chunk = sa.insert(ChunkRow).values(
            video_id=video_id, number=number, digest="", **groups, **span
        )
        made = conn.execute(chunk).inserted_primary_key
        assert made is not None
        row = {"space": SPACE, "kind": "objects", "text": "", **span}
        packed = [seal(vector.astype("<f2")) for vector in vectors[at : at + PER_CHUNK]]
        segments.insert(conn, video_id, made[0], [row | {"vector": each} for each in packed])


def measure(store: Store, folder: Path, kind: Kind, queries: Floats) -> dict[str, Any]:
    """Return one kind's seconds a search, hits, bytes, and seconds to be made and to open."""
    path = folder / "index" / f"{SPACE}.faiss"
    path.unlink(missing_ok=True)
    index = SpaceIndex(path, store._store_id, SPACE, store._db.read, KINDS[kind])
    with timed() as making:
        index.rebuild()
        index.save()
    with store._db.read() as conn:
        index.search(conn, queries[0], K, Filter())
        with timed() as searching:
            found = [index.search(conn, query, K, Filter()) for query in queries]
    assert index._held is not None
    made = index._held.index
    figures = {
        "lists_read": made.probes if kind is Kind.IVF_SQ8 else None,
        "search_s": searching.wall_s / len(queries),
        "snapshot_bytes": path.stat().st_size,
        "make_s": making.wall_s,
        "open_s": open_s(folder, queries[0])
        if kind is IndexSettings().kind_for(len(made))
        else None,
    }
    del index, made
    release_memory()
    print(f"{kind}: made in {making.wall_s:.1f} s", flush=True)
    return figures | {"found": found}


def open_s(folder: Path, query: Floats) -> float:
    """Return the seconds from a closed store to its first answer, the snapshot being there."""
    with timed() as elapsed:
        store = Store.open(folder)
        assert len(store.search_vectors(SPACE, query, K)) == K
    store.close()
    return elapsed.wall_s


def recall(figures: dict[str, Any], truth: dict[str, Any]) -> float:
    """Return the part of the truth's hits that was found, over all queries."""
    pairs = zip(figures["found"], truth["found"], strict=True)
    shared = [len({i for i, _ in mine} & {i for i, _ in wanted}) for mine, wanted in pairs]
    return sum(shared) / max(1, sum(len(wanted) for wanted in truth["found"]))


def ratios_of(kinds: dict[Kind, dict[str, Any]]) -> list[Ratio]:
    flat, out = kinds[Kind.FLAT], []
    for kind in (Kind.SQ8, Kind.IVF_SQ8):
        each, is_ivf = kinds[kind], kind is Kind.IVF_SQ8
        ms = (1e3 * flat["search_s"], 1e3 * each["search_s"])
        sizes = (each["snapshot_bytes"] / 1e6, flat["snapshot_bytes"] / 1e6)
        out += [
            Ratio(f"{kind}: search, flat over it", *ms, "ms", aim=AIM_SPEED if is_ivf else None),
            Ratio(f"{kind}: recall at {K}", recall(each, flat), 1.0, "of flat", aim=AIM_RECALL),
            Ratio(f"{kind}: snapshot over flat's", *sizes, "MB", limit=LIMIT_BYTES),
        ]
    for kind, each in kinds.items():
        if each["open_s"] is not None:
            name = f"{kind}: opened and searched, over what is allowed"
            out.append(Ratio(name, each["open_s"], LIMIT_OPEN_S, "s", limit=1.0))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--cluster-size", type=int, default=200, help="vectors around one centre")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--store", type=Path, help="a folder to fill once and use again")
    args = parser.parse_args()
    faiss.omp_set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    centres = draw_centres(max(1, args.vectors // args.cluster_size), np.random.default_rng(0))
    queries = drawn(args.queries, centres, np.random.default_rng(2))
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        folder = args.store or Path(made)
        with Store.open(folder) as store:
            if not store.videos():
                with timed() as filling:
                    fill(store, args.vectors, args.videos, centres)
                print(f"{args.vectors} vectors stored in {filling.wall_s:.1f} s", flush=True)
            kinds = {kind: measure(store, folder, kind, queries) for kind in Kind}
    ratios = tuple(show(ratio) for ratio in ratios_of(kinds))
    shown = {
        str(kind): {name: value for name, value in each.items() if name != "found"}
        for kind, each in kinds.items()
    }
    figures = {"vectors": args.vectors, "videos": args.videos, "queries": args.queries}
    figures |= {"cluster_size": args.cluster_size, "kinds": shown}
    print(f"figures: {write_results('store_search', figures, ratios)}")
    return 0 if all(ratio.met for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
