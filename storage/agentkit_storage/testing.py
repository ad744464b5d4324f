"""Draws what an ingest would store, without footage or model: for tests and benchmarks."""

import os
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from agentkit_storage import faults
from agentkit_storage.records import Array, ChunkRecord, GroupRecord, Segment
from agentkit_storage.store import Store
from agentkit_storage.types import Chunk, Note, StoredVideo

TEXT_SIZE, VISUAL_SIZE = 16, 8
CHUNK_S, GROUP_S, GROUPS = 16.0, 4.0, 4
KV_FINGERPRINT = "drawn"
_THINGS = ("red car", "tall woman", "running dog", "open gate", "green bicycle", "parked lorry")


def draw_video(video_id: str, path: str = "/films/drawn.mp4") -> StoredVideo:
    """Return a video as an ingest adds it."""
    return StoredVideo(video_id, path, 600.0, 15000, 600, 1.0, 0, "ingesting", ())


def draw_chunk(video_id: str, index: int, rows: bool = False) -> ChunkRecord:
    """Return a chunk, always the same for the same arguments; with rows in place of ids."""
    random = _random(video_id, index)
    start_s = index * CHUNK_S
    chunk = Chunk(video_id, index, start_s, start_s + CHUNK_S, index * GROUPS, GROUPS)
    things = [str(random.choice(_THINGS)) for _ in range(GROUPS)]
    groups = tuple(
        _draw_group(index * GROUPS + at, thing, rows, random) for at, thing in enumerate(things)
    )
    return ChunkRecord(
        chunk=chunk,
        notes=tuple(
            Note(g.start_s, g.end_s, "object", g.text, 0.5, (0, 0, 0.5, 1)) for g in groups
        ),
        groups=groups,
        segments=tuple(
            Segment(g.start_s, g.end_s, "objects", g.text, draw_vector(TEXT_SIZE, random))
            for g in groups
        ),
        visual=draw_vector(VISUAL_SIZE, random),
    )


def draw_vector(size: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return a unit vector [size]."""
    vector = random.normal(size=size).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def draw_kv(video_id: str, index: int) -> dict[str, Array]:
    """Return one chunk's cache: two layers of keys and values, [1, 2, P, 8]."""
    random = _random(video_id, index + 1_000_000)
    shape = (1, 2, 4 + index % 3, 8)
    names = [f"{name}.{layer}" for layer in range(2) for name in ("k", "v")]
    return {name: random.normal(size=shape).astype(np.float32) for name in names}


def draw_sound() -> list[Note]:
    """Return what is heard in every drawn video."""
    return [
        Note(1.0, 3.5, "speech", "hello there", 0.9),
        Note(20.0, 21.0, "speech", "stop the car"),
    ]


def ingest(
    store: Store,
    video_id: str,
    chunks: int,
    rows: bool = False,
    kv: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Ingest a drawn video as the pipeline would; `say` hears what is acknowledged."""
    store.add_video(draw_video(video_id), "drawn")
    if store.sound_notes(video_id) is None:
        store.put_sound_notes(video_id, draw_sound())
        say("sound")
    for index in range(store.num_chunks(video_id), chunks):
        store.add_chunk(draw_chunk(video_id, index, rows))
        say(f"chunk {index}")
    for index in sorted(
        {*range(-1, chunks if kv else -1)} - store.kv_indices(video_id, KV_FINGERPRINT)
    ):
        store.put_kv(video_id, KV_FINGERPRINT, index, draw_kv(video_id, index))
        say(f"kv {index}")
    store.update_video(video_id, state="ready")
    store.rebuild_index()
    say("ready")


def _draw_group(index: int, thing: str, rows: bool, random: np.random.Generator) -> GroupRecord:
    start_s = index * GROUP_S
    num_tokens = int(random.integers(1, 7))
    ids = random.integers(0, 150_000, num_tokens)
    values = random.normal(size=(num_tokens, 12)).astype(np.float32)
    return GroupRecord(
        index,
        start_s,
        start_s + GROUP_S,
        f"Time {start_s:.1f}s:",
        thing,
        None if rows else tuple(ids.tolist()),
        values if rows else None,
    )


def _random(video_id: str, index: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(video_id.encode()), index])


def run(location: str, fault: str, tell: Connection, call: str, *arguments: object) -> None:
    """Run in a process of its own: an ingest, or a method of the store, with a fault planned.

    `tell` gets a line for each thing that is acknowledged.
    """
    os.environ[faults.VARIABLE] = fault
    with Store.open(location) as store:
        if call in ("ingest", "locked_ingest"):
            video_id, chunks = str(arguments[0]), int(str(arguments[1]))
            with store.ingest_lock(video_id) if call == "locked_ingest" else nullcontext():
                ingest(store, video_id, chunks, rows=True, say=tell.send)
        else:
            getattr(store, call)(*arguments)
