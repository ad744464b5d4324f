"""Stores for benchmarks: drawn chunks of the sizes that the two encoders really give."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from agentkit_storage import Chunk, ChunkRecord, GroupRecord, Store
from agentkit_storage.records import Array
from agentkit_storage.testing import GROUPS, draw_chunk, draw_vector, draw_video

CHUNK_S, GROUP_S = 16.0, 4.0
TOKENS, WIDTH = 144, 3584  # of a group of Video-XL-2, in its 7B's embedding space
VECTOR_SIZE = 384
VOCABULARY = 2000
OUTLIERS = 0.01  # the share of channels that are far larger than the others
FINGERPRINT = "benchmark"


def video_id(number: int) -> str:
    """Return the id of a drawn video: numbers apart, ids apart."""
    return f"{number:064x}"


def outlier_rows(
    num_rows: int, factor: float, random: np.random.Generator, width: int = WIDTH
) -> NDArray[np.float16]:
    """Return rows [num_rows, width] as a language model's are: some channels `factor` larger."""
    channels = np.where(random.random(width) < OUTLIERS, factor, 1.0)
    return (random.standard_normal((num_rows, width)) * channels).astype(np.float16)


def picture_chunk(video: str, index: int, random: np.random.Generator) -> ChunkRecord:
    """Return a chunk with rows, as the encoder of pictures gives it, 4 MB."""
    at = range(index * GROUPS, (index + 1) * GROUPS)
    groups = tuple(
        GroupRecord(n, n * GROUP_S, (n + 1) * GROUP_S, f"Time {n * GROUP_S}s:",
                    rows=outlier_rows(TOKENS, 100.0, random))
        for n in at
    )  # fmt: skip
    span = (index * CHUNK_S, (index + 1) * CHUNK_S)
    return ChunkRecord(Chunk(video, index, *span, index * GROUPS, GROUPS), groups=groups)


def note_chunk(video: str, index: int, random: np.random.Generator) -> ChunkRecord:
    """Return a chunk with ids, as the notes encoder gives it, with as many words and numbers."""
    drawn = draw_chunk(video, index)
    segments = tuple(
        replace(each, text=words(6, random), vector=draw_vector(VECTOR_SIZE, random))
        for each in drawn.segments
    )
    return replace(drawn, segments=segments, visual=draw_vector(VECTOR_SIZE, random))


def words(count: int, random: np.random.Generator) -> str:
    """Return so many words of a language that has 2,000 of them."""
    return " ".join(f"word{number}" for number in random.integers(0, VOCABULARY, count))


def cache(random: np.random.Generator, tokens: int = 100) -> dict[str, Array]:
    """Return a chunk's KV as a language model of half a billion has it, 2.5 MB for 100 tokens."""
    shape = (24, 2, tokens, 64)
    return {name: random.standard_normal(shape, np.float32) for name in ("keys", "values")}


Draw = Callable[[str, int, np.random.Generator], ChunkRecord]


def fill(
    store: Store, videos: range, chunks: int, draw: Draw = note_chunk, kv: bool = True
) -> None:
    """Store videos of so many chunks, with KV or without."""
    for number in videos:
        random = np.random.default_rng(number)
        name = video_id(number)
        store.add_video(draw_video(name, f"/films/{number}.mp4"), FINGERPRINT)
        for index in range(chunks):
            store.add_chunk(draw(name, index, random))
            if kv:
                store.put_kv(name, FINGERPRINT, index, cache(random))
        store.update_video(name, state="ready")


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that goes with what is in it."""
    with TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)
