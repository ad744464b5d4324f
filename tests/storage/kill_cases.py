"""What the kill matrix kills: pieces of work, what is there before, and all that a store gives."""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from agentkit_storage import Store, workloads
from agentkit_storage.errors import DamagedChunkError
from agentkit_storage.files import TMP
from agentkit_storage.row_codec import TokensDtype
from agentkit_storage.testing import TEXT_SIZE, VISUAL_SIZE, draw_kv, draw_vector
from agentkit_storage.workloads import WORK, A, B

DATA = Path(__file__).parent / "data"
View = dict[str, object]


@dataclass(frozen=True)
class Place:
    """A store of its own for one kill, and a folder beside it."""

    location: str
    folder: Path
    outside: Path


@dataclass(frozen=True)
class Case:
    """A piece of work, and what is there before it."""

    work: str
    before: Callable[[Place], None]
    tokens_dtype: TokensDtype = "lossless"
    only_sqlite: bool = False
    is_damaged: bool = False  # until the work is done


def nothing(place: Place) -> None:
    """No store yet: it is made, migrated and named first."""


def both(place: Place) -> None:
    with Store.open(place.location) as store:
        WORK["two_videos"](store, place.outside)


def garbage(place: Place) -> None:
    with Store.open(place.location) as store:
        WORK["two_videos"](store, place.outside)
        store.remove_video(A)
        store.drop_kv(B)
    (place.folder / "blobs" / "ab").mkdir(exist_ok=True)
    (place.folder / "blobs" / "ab" / "unfinished.1.tmp").write_bytes(b"half")


def a_bundle(place: Place) -> None:
    (place.outside / workloads.BUNDLE).write_bytes(_bundle())


@cache
def _bundle() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / workloads.BUNDLE
        workloads.write_bundle(path, Path(folder) / "scratch")
        return path.read_bytes()


def a_bundle_and_another_making(place: Place) -> None:
    a_bundle(place)
    with Store.open(place.location) as store:
        WORK["another_making"](store, place.outside)


def no_snapshot(place: Place) -> None:
    both(place)
    shutil.rmtree(place.folder / "index")


def a_damaged_blob(place: Place) -> None:
    both(place)
    with Store.open(place.location) as store:
        blob = store._blobs.put(draw_kv(A, 0))
    path = place.folder / "blobs" / blob.sha256[:2] / f"{blob.sha256}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def first_revision(place: Place) -> None:
    with tarfile.open(DATA / "first_revision.tar.gz") as archive:
        archive.extractall(place.folder, filter="data")


def second_revision(place: Place) -> None:
    with tarfile.open(DATA / "second_revision.tar.gz") as archive:
        archive.extractall(place.folder, filter="data")


CASES = {
    "ingest": Case("two_videos", nothing),
    "ingest in 8 bits": Case("two_videos", nothing, "int8"),
    "make anew": Case("another_making", both),
    "put other KV": Case("other_kv", both),
    "heal KV": Case("healed", a_damaged_blob, is_damaged=True),
    "use KV": Case("used_kv", both),
    "trim KV": Case("no_kv", both),
    "gc": Case("freed", garbage),
    "remove": Case("removed", both),
    "labels": Case("labelled", both),
    "jobs": Case("worked_on", both),
    "findings of a domain": Case("found_out", both),
    "export": Case("exported", both),
    "import": Case("imported", a_bundle),
    "import in place of another making": Case("imported", a_bundle_and_another_making),
    "rebuild the index": Case("rebuilt", no_snapshot, only_sqlite=True),
    "a snapshot at close": Case("searched", no_snapshot, only_sqlite=True),
    "migrate from 1": Case("searched", first_revision, only_sqlite=True),
    "migrate from 2": Case("searched", second_revision, only_sqlite=True),
}


def view(store: Store, place: Place, since: float) -> View:
    """Return all that a store gives, and all files around it, comparable from place to place."""
    return {
        "videos": [_video(store, place, video.video_id, since) for video in store.videos()],
        "collections": store.collections(),
        "words": store.search_words("car dog gate lorry bicycle woman", 999),
        **vector_hits(store),
        "colour": store.setting("colour"),
        "files": {
            str(path.relative_to(place.outside)): path.read_bytes()
            for path in sorted(place.outside.rglob("*"))
            if path.is_file() and path.suffix != TMP
        },
    }


def vector_hits(store: Store) -> View:
    random = np.random.default_rng(0)
    sizes = {"text": TEXT_SIZE, "visual": VISUAL_SIZE}
    return {
        space: store.search_vectors(space, draw_vector(size, random), 999)
        for space, size in sizes.items()
    }


def _video(store: Store, place: Place, video_id: str, since: float) -> View:
    video = store.video(video_id)
    tiers = store.tiers(video_id)
    makings = [tier.fingerprint for tier in tiers if tier.name == "kv"]
    return {
        "row": replace(video, path=video.path.replace(str(place.folder.parent), "")),
        "fingerprint": store.fingerprint(video_id),
        "digest": store.digest(video_id),
        "chunks": store.chunks(video_id),
        "notes": store.notes(video_id),
        "sound": store.sound_notes(video_id),
        "groups": [
            (
                replace(group, rows=None),
                None if group.rows is None else (str(group.rows.dtype), group.rows.tolist()),
            )
            for group in store.groups(video_id)
        ],
        "texts": [store.segments(video_id, chunk.index) for chunk in store.chunks(video_id)],
        "jobs": [replace(job, updated_at=0.0) for job in store.jobs(video_id)],
        "analyses": [
            store.analysis(video_id, name, version)
            for name in ("security/tracks", "media/scenes")
            for version in ("1", "2")
        ],
        "tiers": [(replace(tier, used_at=None), (tier.used_at or 0.0) > since) for tier in tiers],
        "kv": {
            (making, index): _kv(store, (video_id, making, index))
            for making in makings
            for index in sorted(store.kv_indices(video_id, making))
        },
    }


def _kv(store: Store, key: tuple[str, str, int]) -> object:
    try:
        arrays = store.kv(*key)
    except DamagedChunkError as error:
        return str(error)
    return {name: (str(array.dtype), array.tolist()) for name, array in arrays.items()}
