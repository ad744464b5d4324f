"""What a store goes through in its life, each as a function by name: what the kill matrix kills.

Each may be run again after a kill at any point and must then end where an unbroken run ends.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from agentkit_storage import faults
from agentkit_storage.records import Array
from agentkit_storage.row_codec import TokensDtype
from agentkit_storage.store import Store
from agentkit_storage.testing import (
    KV_FINGERPRINT,
    TEXT_SIZE,
    draw_chunk,
    draw_kv,
    draw_vector,
    draw_video,
    ingest,
)

CHUNKS = 2
FILM = b"moving pictures" * 20
A, B = hashlib.sha256(FILM).hexdigest(), "b2" * 32
BUNDLE, FILMS = "bundle.tar", "films"  # outside of the store

Work = Callable[[Store, Path], None]


def two_videos(store: Store, _outside: Path) -> None:
    """A with rows of tokens, B with ids; both with KV."""
    ingest(store, A, CHUNKS, rows=True)
    ingest(store, B, CHUNKS)


def another_making(store: Store, _outside: Path) -> None:
    """A is made anew with other settings: ids in place of rows, no KV."""
    anew = store.fingerprint(A) == "drawn"
    store.add_video(draw_video(A, "/films/anew.mp4"), "another making", anew)
    for index in range(store.num_chunks(A), CHUNKS):
        store.add_chunk(draw_chunk(A, index))
    store.update_video(A, state="ready")


def other_kv(store: Store, _outside: Path) -> None:
    for index in range(-1, CHUNKS):
        store.put_kv(A, KV_FINGERPRINT, index, _doubled(draw_kv(A, index)))
    store.put_kv(A, "another model", 0, draw_kv(B, 0))
    store.drop_kv(B)


def used_kv(store: Store, _outside: Path) -> None:
    store.touch_kv(A, KV_FINGERPRINT)


def no_kv(store: Store, _outside: Path) -> None:
    store.trim_kv(0)


def freed(store: Store, _outside: Path) -> None:
    store.gc(grace_s=0)


def removed(store: Store, _outside: Path) -> None:
    """Both videos go; the second time around they have gone already."""
    for video in store.videos():
        store.remove_video(video.video_id)


def labelled(store: Store, _outside: Path) -> None:
    store.update_video(A, collection="sport", title="A match")
    store.tag_video(A, add={"cup", "final"})
    store.tag_video(A, remove={"cup"})
    store.pin_kv(B)
    store.set_setting("colour", "green")


def worked_on(store: Store, _outside: Path) -> None:
    """One chunk is tried twice, and stored."""
    if store.num_chunks(A) > CHUNKS:
        return
    store.start_job(A, CHUNKS, "first worker")
    store.fail_job(A, CHUNKS, "it went away")
    store.start_job(A, CHUNKS, "second worker")
    store.add_chunk(draw_chunk(A, CHUNKS, rows=True))


def found_out(store: Store, _outside: Path) -> None:
    """A domain's findings on a video, one of them made again in another version."""
    store.put_analysis(A, "security/tracks", "1", "[1, 2]")
    store.put_analysis(A, "security/tracks", "2", "[1, 2, 3]")
    store.put_analysis(B, "media/scenes", "1", "{}")


def exported(store: Store, outside: Path) -> None:
    store.export_bundle([A, B], outside / BUNDLE, footage=False)


def imported(store: Store, outside: Path) -> None:
    store.import_bundle(outside / BUNDLE, footage=outside / FILMS, replace=True)


def rebuilt(store: Store, _outside: Path) -> None:
    store.rebuild_index()


def searched(store: Store, _outside: Path) -> None:
    """Searched, and no more: the snapshot is written at close."""
    query = draw_vector(TEXT_SIZE, np.random.default_rng(0))
    store.search_vectors("text", query, 3)


def healed(store: Store, _outside: Path) -> None:
    """KV whose blob was damaged is stored again."""
    store.put_kv(A, KV_FINGERPRINT, 0, draw_kv(A, 0))


WORK: dict[str, Work] = {
    work.__name__: work
    for work in (
        two_videos, another_making, other_kv, used_kv, no_kv, freed, removed, labelled, worked_on,
        found_out, exported, imported, rebuilt, searched, healed,
    )
}  # fmt: skip


def write_bundle(path: Path, scratch: Path) -> None:
    """Write a bundle of A, its film included, and of B; the store it comes from is in `scratch`."""
    film = scratch / "film.mp4"
    scratch.mkdir()
    film.write_bytes(FILM)
    with Store.open(scratch / "store") as store:
        store.add_video(replace(draw_video(A), path=str(film)), "drawn")
        ingest(store, A, CHUNKS, rows=True)
        store.export_bundle([A], path, footage=True)


def run(location: str, outside: Path, tokens_dtype: TokensDtype, name: str, fault: str) -> None:
    """Open a store, do one piece of work and close it, with a fault planned."""
    os.environ[faults.VARIABLE] = fault
    with Store.open(location, tokens_dtype=tokens_dtype) as store:
        WORK[name](store, outside)


def _doubled(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: array * 2 for name, array in arrays.items()}
