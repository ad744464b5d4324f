"""Bundles: what comes out is what went in; what was made to harm, or is harmed, is refused."""

import dataclasses
import hashlib
import io
import json
import pickle
import signal
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from agentkit_storage import ChunkRecord, GroupRecord, Note, Segment, Store, bundles, faults
from agentkit_storage.bundle_forms import BundleError, is_safe_name, safe_name
from agentkit_storage.bundles import Limits
from agentkit_storage.errors import (
    DamagedChunkError,
    IncompatibleError,
    RecordError,
    StoreError,
    StoreFullError,
    StoreVersionError,
    UnknownVideoError,
)
from agentkit_storage.schema import GroupRow, NoteRow, SegmentRow
from agentkit_storage.testing import (
    KV_FINGERPRINT,
    TEXT_SIZE,
    draw_chunk,
    draw_sound,
    draw_vector,
    draw_video,
    ingest,
)
from agentkit_storage.types import Chunk, Filter, Hit

FILM = hashlib.sha256(b"a film").hexdigest()
OTHER = hashlib.sha256(b"another film").hexdigest()
Forge = Callable[[dict[str, Any], dict[str, bytes]], None]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a video of rows and KV, and one of ids without KV."""
    folder = tmp_path_factory.mktemp("made") / "store"
    with Store.open(folder) as store:
        store.use_space("text", "an embedder", TEXT_SIZE)
        ingest(store, FILM, 2, rows=True)
        ingest(store, OTHER, 2, kv=False)
    return folder


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for what is refused: it stays empty, which each test makes sure of."""
    with Store.open(tmp_path_factory.mktemp("empty") / "store") as store:
        yield store


@pytest.fixture(scope="session")
def bundle(made: Path) -> Path:
    with Store.open(made) as store:
        store.export_bundle([FILM, OTHER], made.parent / "bundle.tar")
    return made.parent / "bundle.tar"


@pytest.fixture(scope="session")
def small(made: Path) -> Path:
    with Store.open(made) as store:
        store.export_bundle([OTHER], made.parent / "small.tar")
    return made.parent / "small.tar"


def contents(bundle: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a bundle's manifest and its other members."""
    with tarfile.open(bundle) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}
    manifest = json.loads(members.pop("manifest.json"))
    members.pop("manifest.sha256")
    return manifest, members


def forged(path: Path, bundle: Path, forge: Forge) -> Path:
    """Write a bundle with something changed and every hash and size right for it."""
    manifest, members = contents(bundle)
    forge(manifest, members)
    if "members" in manifest:
        listed = [
            {"name": name, "nbytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in members.items()
        ]
        manifest["members"] = manifest.pop("listed", listed)
    said = json.dumps(manifest).encode()
    seal = f"{hashlib.sha256(said).hexdigest()}  manifest.json\n".encode()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in [("manifest.json", said), ("manifest.sha256", seal), *members.items()]:
            add(tar, name, data)
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def everything(store: Store, video_id: str) -> dict[str, Any]:
    """Return what can be asked of a video, in one value; its path and its age left out."""
    row = dataclasses.replace(store.video(video_id), path="")
    query = draw_vector(TEXT_SIZE, np.random.default_rng(7))
    return {
        "row": row,
        "fingerprint": store.fingerprint(video_id),
        "digest": store.digest(video_id),
        "chunks": store.chunks(video_id),
        "notes": store.notes(video_id),
        "sound": store.sound_notes(video_id),
        "words": unscored(store.search_words("red car OR hello", 50, Filter((video_id,)))),
        "near": rounded(store.search_vectors("text", query, 50, Filter((video_id,)))),
        "texts": [store.segments(video_id, chunk.index) for chunk in store.chunks(video_id)],
        "visual": [
            vector if vector is None else vector.tobytes()
            for chunk in store.chunks(video_id)
            for vector in [store.chunk_vector(video_id, chunk.index, "visual")]
        ],
        "kv": {
            index: {
                name: array.tobytes()
                for name, array in store.kv(video_id, KV_FINGERPRINT, index).items()
            }
            for index in store.kv_indices(video_id, KV_FINGERPRINT)
        },
    }


def unscored(hits: list[Hit]) -> list[Hit]:
    """Return hits without how well they match, which each database says in its own numbers."""
    plain = [dataclasses.replace(hit, score=0.0) for hit in hits]
    return sorted(plain, key=lambda hit: (hit.start_s, hit.text))


def rounded(hits: list[Hit]) -> list[Hit]:
    return [dataclasses.replace(hit, score=round(hit.score, 5)) for hit in hits]


# What comes out is what went in


def test_an_import_equals_what_was_exported(made: Path, bundle: Path, store: Store) -> None:
    imported = store.import_bundle(bundle)
    assert [(video.video_id, video.outcome) for video in imported] == [
        (FILM, "imported"),
        (OTHER, "imported"),
    ]
    with Store.open(made) as before:
        for video_id in (FILM, OTHER):
            assert everything(store, video_id) == everything(before, video_id)
    assert store.verify() == []
    assert store.video(FILM).path == "drawn.mp4"  # a name; folders stay at home


def test_a_bundle_of_an_import_is_the_same_byte_for_byte(
    bundle: Path, store: Store, tmp_path: Path
) -> None:
    store.import_bundle(bundle)
    store.export_bundle([FILM, OTHER], tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()


texts = st.text(max_size=12)
times = st.floats(0, 1e6)


@st.composite
def records(draw: st.DrawFn) -> ChunkRecord:
    """A chunk of any content that the store takes."""
    spans = st.tuples(times, times).map(sorted)
    score = st.none() | st.floats(0, 1)
    box = st.none() | st.tuples(*[st.floats(0, 1)] * 4)
    vector = st.lists(st.floats(-1, 1, width=16), min_size=3, max_size=3).filter(any)
    dtype = draw(st.sampled_from(["float16", "float32", "uint16"]))
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    by_ids = draw(st.booleans())
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 99, (max(counts), 5))
    ids = st.lists(st.integers(0, 2**31 - 1), max_size=4).map(tuple)
    return ChunkRecord(
        chunk=Chunk(FILM, 0, *draw(spans), 0, len(counts)),
        notes=tuple(
            Note(*draw(spans), draw(texts), draw(texts), draw(score), draw(box))
            for _ in range(draw(st.integers(0, 3)))
        ),
        groups=tuple(
            GroupRecord(
                index, *draw(spans), draw(texts), draw(texts),
                ids=draw(ids) if by_ids else None,
                rows=None if by_ids else values[:count].astype(dtype),
            )
            for index, count in enumerate(counts)
        ),
        segments=tuple(
            Segment(*draw(spans), draw(texts), draw(texts), np.float32(v) if v else None)
            for v in draw(st.lists(st.none() | vector, max_size=3))
        ),
        visual=np.float32(v) if (v := draw(st.none() | vector)) else None,
    )  # fmt: skip


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
)
@given(record=records(), name=texts, int8=st.booleans(), heard=st.booleans())
def test_whatever_the_store_takes_a_bundle_carries(
    tmp_path_factory: pytest.TempPathFactory,
    record: ChunkRecord,
    name: str,
    int8: bool,
    heard: bool,
) -> None:
    """Equal digest, equal bundle: texts of any characters, rows of any type, vectors to the bit."""
    folder = tmp_path_factory.mktemp("any")
    video = dataclasses.replace(draw_video(FILM, f"/films/{name}"), title=name)
    with Store.open(folder / "a", tokens_dtype="int8" if int8 else "lossless") as one:
        one.add_video(video, "making")
        one.add_chunk(record)
        if heard:
            one.put_sound_notes(FILM, record.notes)
        one.export_bundle([FILM], folder / "a.tar")
        with Store.open(folder / "b") as other:
            other.import_bundle(folder / "a.tar")
            assert other.digest(FILM) == one.digest(FILM)
            assert other.segments(FILM, 0) == one.segments(FILM, 0)
            assert other.verify() == []
            other.export_bundle([FILM], folder / "b.tar")
    assert (folder / "a.tar").read_bytes() == (folder / "b.tar").read_bytes()


def test_vectors_stay_bit_for_bit(store: Store, tmp_path: Path) -> None:
    """Also those that float16 leaves a little off unit length: brought to it again they differ."""
    random = np.random.default_rng(5)
    drawn = [draw_vector(3, random) for _ in range(200)]
    kept = np.float16(drawn)
    lengths = np.linalg.norm(kept.astype(np.float32), axis=1, keepdims=True)
    assert (np.float16(kept.astype(np.float32) / lengths) != kept).any()
    plain = draw_chunk(FILM, 0)
    texts = tuple(Segment(0, 1, "text", f"{at}", vector) for at, vector in enumerate(drawn))
    store.add_video(draw_video(FILM), "drawn")
    store.add_chunk(dataclasses.replace(plain, segments=texts))
    store.export_bundle([FILM], tmp_path / "a.tar")
    with Store.open(tmp_path / "other") as other:
        other.import_bundle(tmp_path / "a.tar")
        other.export_bundle([FILM], tmp_path / "b.tar")
    for bundle in ("a.tar", "b.tar"):
        members = contents(tmp_path / bundle)[1]
        vectors = next(load(data) for name, data in members.items() if "/vectors-" in name)
        assert vectors["text"].tobytes() == kept.tobytes()


def test_progress_ends_at_the_end(bundle: Path, store: Store, tmp_path: Path) -> None:
    read: list[tuple[int, int]] = []
    store.import_bundle(bundle, progress=lambda *at: read.append(at))
    wrote: list[tuple[int, int]] = []
    store.export_bundle([FILM], tmp_path / "x.tar", progress=lambda *at: wrote.append(at))
    for told in (read, wrote):
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert told[-1][0] == told[-1][1] > 0


def test_memory_does_not_grow_with_the_video(store: Store, tmp_path: Path) -> None:
    """Six times the KV, the same peak but for the manifest: out, and in again."""
    array = np.zeros(1 << 17, np.float32)
    for video_id, count in ((FILM, 2), (OTHER, 12)):
        store.add_video(draw_video(video_id), "drawn")
        for index in range(count):
            store.add_chunk(draw_chunk(video_id, index))
            store.put_kv(video_id, KV_FINGERPRINT, index, {"k": array + index})
    peaks = {}
    for video_id in (FILM, OTHER):
        with Store.open(tmp_path / video_id) as other:
            tracemalloc.start()
            store.export_bundle([video_id], tmp_path / "x.tar")
            peaks[video_id, "out"] = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            other.import_bundle(tmp_path / "x.tar")
            peaks[video_id, "in"] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peaks[OTHER, "out"] < peaks[FILM, "out"] + array.nbytes
    assert peaks[OTHER, "in"] < peaks[FILM, "in"] + array.nbytes


# What is harmed is refused


def test_every_flipped_byte_is_refused(small: Path, empty: Store, tmp_path: Path) -> None:
    whole, path = small.read_bytes(), tmp_path / "flipped.tar"
    random = np.random.default_rng(3)
    headers = {at for at in range(0, len(whole), 512) if whole[at : at + 7] == b"videos/"}
    places = {*range(0, 512, 17), *random.integers(0, len(whole), 150).tolist()}
    places |= {at + offset for at in sorted(headers)[:2] for offset in range(0, 512, 9)}
    for at in sorted(places):
        data = bytearray(whole)
        data[at] ^= 1 << int(random.integers(8))
        path.write_bytes(data)
        with pytest.raises(BundleError) as refused:
            empty.import_bundle(path)
        assert "\n" not in str(refused.value)
    assert empty.videos() == []


def test_a_manifest_that_says_another_number_is_refused(
    small: Path, empty: Store, tmp_path: Path
) -> None:
    """It reads well; only its SHA-256 tells."""
    said, other = b'"frames_in_file":15000', b'"frames_in_file":15001'
    assert small.read_bytes().count(said) == 1
    path = tmp_path / "changed.tar"
    path.write_bytes(small.read_bytes().replace(said, other))
    with pytest.raises(BundleError, match="the manifest is damaged"):
        empty.import_bundle(path)


def test_every_cut_and_every_appendix_is_refused(small: Path, empty: Store, tmp_path: Path) -> None:
    whole, path = small.read_bytes(), tmp_path / "cut.tar"
    random = np.random.default_rng(4)
    cuts = [0, 1, 511, 512, len(whole) - 1, *random.integers(0, len(whole), 40).tolist()]
    for data in (*(whole[:cut] for cut in cuts), whole + bytes(512), whole + b"x", whole + whole):
        path.write_bytes(data)
        with pytest.raises(BundleError):
            empty.import_bundle(path)
    assert empty.videos() == []


@pytest.mark.parametrize(
    "stray",
    [
        ("../escaped", {}),
        ("/tmp/escaped", {}),
        ("videos/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("videos/link", {"type": tarfile.LNKTYPE, "linkname": "manifest.json"}),
        ("videos/device", {"type": tarfile.CHRTYPE}),
        ("videos/pipe", {"type": tarfile.FIFOTYPE}),
        ("videos/folder", {"type": tarfile.DIRTYPE}),
        ("x" * 300, {}),
        ("manifest.json", {}),
        ("notes.pkl", {}),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_member_that_is_not_in_the_manifest_is_refused(
    small: Path, empty: Store, tmp_path: Path, stray: tuple[str, dict[str, Any]], first: bool
) -> None:
    path = tmp_path / "stray.tar"
    with tarfile.open(small) as old, tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as new:
        infos = list(old)
        for at, info in enumerate(infos):
            if first and at == 2:
                add(new, stray[0], **stray[1])
            new.addfile(info, old.extractfile(info))
        if not first:
            add(new, stray[0], **stray[1])
    with pytest.raises(BundleError, match="make the bundle again"):
        empty.import_bundle(path)
    assert empty.videos() == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stray.tar"]


def test_a_link_in_the_place_of_a_member_is_refused(
    small: Path, empty: Store, tmp_path: Path
) -> None:
    path = tmp_path / "link.tar"
    with tarfile.open(small) as old, tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as new:
        for at, info in enumerate(old):
            if at == 3:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            new.addfile(info, old.extractfile(info) if info.isreg() else None)
    with pytest.raises(BundleError, match="a link"):
        empty.import_bundle(path)


def of_line(kind: str, **changes: Any) -> Forge:
    """Change the first line of a kind in the first chunk."""

    def forge(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        name = next(name for name in members if "/chunk-" in name)
        lines = [json.loads(line) for line in members[name].splitlines()]
        line = next(line for line in lines if kind in line)
        line[kind] = line[kind] | changes if changes else 5
        members[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    return forge


def of_video(**changes: Any) -> Forge:
    return lambda manifest, members: manifest["videos"][0].update(changes)


def of_row(**changes: Any) -> Forge:
    return lambda manifest, members: manifest["videos"][0]["row"].update(changes)


def of_manifest(**changes: Any) -> Forge:
    return lambda manifest, members: manifest.update(changes)


def of_arrays(
    part: str, change: Callable[[dict[str, np.ndarray]], object], array: bytes = b""
) -> Forge:
    """Change the arrays of the first member with this in its name, and this array in it."""

    def forge(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        name = next(name for name in members if part in name and array in members[name])
        arrays = load(members[name])
        change(arrays)
        replaced(manifest, members, name, save(arrays))

    return forge


def replaced(manifest: dict[str, Any], members: dict[str, bytes], name: str, data: bytes) -> None:
    """Put other bytes in a member's place; a blob under their own name, where it was named."""
    if not name.startswith("blobs/"):
        members[name] = data
        return
    old, new = name[6:70], hashlib.sha256(data).hexdigest()
    for other in list(members):
        members[other.replace(old, new)] = members.pop(other).replace(old.encode(), new.encode())
    members[f"blobs/{new}.safetensors"] = data
    manifest["videos"] = json.loads(json.dumps(manifest["videos"]).replace(old, new))


def nan(arrays: dict[str, np.ndarray]) -> None:
    first = min(arrays)
    arrays[first] = arrays[first].copy()
    arrays[first].flat[0] = np.nan


def pickled(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    name = next(name for name in members if "blobs/" in name)
    replaced(manifest, members, name, pickle.dumps({"a": 1}))


def renamed(old: str, new: str) -> Forge:
    def forge(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        name = next(name for name in members if old in name)
        members[new] = members.pop(name)

    return forge


def listed_twice(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    name, data = next(iter(members.items()))
    entry = {"name": name, "nbytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["listed"] = [entry, entry]


def with_stray(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    data = save({"a": np.zeros(1)})
    members[f"blobs/{hashlib.sha256(data).hexdigest()}.safetensors"] = data


def without_vectors(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del members[next(name for name in members if "/vectors-" in name)]


def nested(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    members[next(name for name in members if "/chunk-" in name)] = b"[" * 100_000


FORGED: dict[str, Forge] = {
    "id no SHA-256": of_video(video_id="../../etc"),
    "name with folders": of_video(name="../film.mp4"),
    "name of Windows": of_video(name="C:\\film.mp4"),
    "name not text": of_video(name=None),
    "name half a pair": of_video(name="\ud800.mp4"),
    "unknown tier": of_video(tiers=["notes", "vectors", "pickles"]),
    "tokens denied": of_video(tiers=["notes", "vectors"], kv=[]),
    "unknown key": of_video(colour="red"),
    "too many chunks": of_video(chunks=3),
    "too few chunks": of_video(chunks=1),
    "negative chunks": of_video(chunks=-1),
    "chunks no number": of_video(chunks=True),
    "KV of no chunk": of_video(kv=[{"fingerprint": "x", "number": 9, "blob": "a" * 64}]),
    "KV not there": of_video(kv=[{"fingerprint": "x", "number": 0, "blob": "a" * 64}]),
    "footage not there": of_video(has_footage=True),
    "row not one": of_video(row=[]),
    "row of unknown state": of_row(state="done"),
    "row of a path": of_row(path="/etc/passwd"),
    "row without length": of_row(duration_s=None),
    "row below zero": of_row(duration_s=-1),
    "row with huge number": of_row(frames_seen=2**40),
    "row with list of numbers": of_row(warnings=[1]),
    "space of no size": of_manifest(spaces=[{"name": "text", "fingerprint": "", "size": 0}]),
    "space of no name": of_manifest(spaces=[{"name": "../x", "fingerprint": "", "size": 4}]),
    "space of another size": of_manifest(
        spaces=[{"name": n, "fingerprint": "", "size": 5} for n in ("text", "visual")]
    ),
    "spaces unknown": of_manifest(spaces=[]),
    "format no number": of_manifest(format="1"),
    "format zero": of_manifest(format=0),
    "schema no number": of_manifest(schema="new"),
    "videos missing": lambda manifest, members: manifest.pop("videos"),
    "video twice": lambda manifest, members: manifest["videos"].append(manifest["videos"][0]),
    "member twice": listed_twice,
    "member of no video": with_stray,
    "member missing": without_vectors,
    "member renamed": renamed("/sound", "videos/../../x"),
    "pickle by name": renamed("/sound", "notes.pkl"),
    "blob not by its hash": renamed("blobs/", f"blobs/{'a' * 64}.safetensors"),
    "pickle in a blob": pickled,
    "NaN vector": of_arrays("/vectors-", nan),
    "vector of zeros": of_arrays("/vectors-", lambda a: a.update(text=a["text"] * 0)),
    "vectors of float32": of_arrays("/vectors-", lambda a: a.update(text=np.float32(a["text"]))),
    "vectors too few": of_arrays("/vectors-", lambda a: a.update(text=a["text"][1:].copy())),
    "vectors of nothing": of_arrays("/vectors-", lambda a: a.update(other=a["text"])),
    "NaN tokens": of_arrays("blobs/", nan),
    "NaN KV": of_arrays("blobs/", nan, b'"k.0"'),
    "tokens of no group": of_arrays("blobs/", lambda a: a.update(more=np.zeros(2))),
    "nested JSON": nested,
    "note no object": of_line("note"),
    "note of NaN": of_line("note", start_s=float("nan")),
    "note of infinity": of_line("note", end_s=float("inf")),
    "note backwards": of_line("note", start_s=9.0, end_s=1.0),
    "note of a huge number": of_line("note", end_s=10**400),
    "note with short box": of_line("note", box=[0.0]),
    "note with text of bytes": of_line("note", text=["a"]),
    "group of another index": of_line("group", index=77),
    "group of another codec": of_line("group", codec="pickle"),
    "group with negative ids": of_line("group", ids=[-1]),
    "segment of another space": of_line("segment", space="elsewhere"),
    "chunk of another video": of_line("chunk", video_id=OTHER),
    "chunk of another index": of_line("chunk", index=1),
    "chunk of huge groups": of_line("chunk", num_groups=2**31 - 1),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_what_a_forger_seals_is_refused_all_the_same(
    bundle: Path, empty: Store, tmp_path: Path, forge: Forge
) -> None:
    """Every hash and size is right; nothing of it is stored, and one line says what is wrong."""
    path = forged(tmp_path / "forged.tar", bundle, forge)
    with pytest.raises(BundleError) as refused:
        empty.import_bundle(path)
    assert "\n" not in str(refused.value)
    assert "make the bundle again" in str(refused.value)
    assert empty.videos() == []
    assert empty.stats().blobs == 0


def test_a_bundle_that_nobody_forged_is_taken(bundle: Path, store: Store, tmp_path: Path) -> None:
    """The forger's tools change nothing by themselves."""
    store.import_bundle(forged(tmp_path / "same.tar", bundle, lambda manifest, members: None))
    assert len(store.videos()) == 2


@pytest.mark.parametrize("newer", [{"format": 2}, {"schema": "9999"}])
def test_a_newer_bundle_is_left_alone(
    small: Path, empty: Store, tmp_path: Path, newer: dict[str, Any]
) -> None:
    path = forged(tmp_path / "new.tar", small, of_manifest(**newer))
    with pytest.raises(StoreVersionError, match="update agentkit"):
        empty.import_bundle(path)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(manifest_bytes=100),
        Limits(text_bytes=100),
        Limits(array_bytes=100),
        Limits(members=3),
    ],
)
def test_what_is_beyond_the_limits_is_refused(small: Path, empty: Store, limits: Limits) -> None:
    with pytest.raises(BundleError, match="beyond"):
        bundles.import_bundle(empty, small, limits=limits)


def test_what_is_no_bundle_is_refused(empty: Store, tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no tar")
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        add(tar, "hello.txt", b"hello")
    for name in ("none.tar", "text.tar", "other.tar", "."):
        with pytest.raises(BundleError):
            empty.import_bundle(tmp_path / name)


# Killed, full, damaged


@pytest.mark.parametrize(
    "fault", ["video.commit:1", "sound.rows:1", "chunk.commit:2", "blob.rename:2", "kv.commit:2"]
)
def test_a_killed_import_goes_on(
    made: Path, bundle: Path, location: str, start_worker: Callable[..., Any], fault: str
) -> None:
    worker = start_worker(fault, "import_bundle", bundle)
    assert worker.finish()[0] == -signal.SIGKILL
    with Store.open(location) as store, Store.open(made) as before:
        assert [video.state for video in store.videos() if video.state == "ready"] == []
        outcomes = [video.outcome for video in store.import_bundle(bundle)]
        assert set(outcomes) <= {"imported", "completed"}
        for video_id in (FILM, OTHER):
            assert everything(store, video_id) == everything(before, video_id)
        assert store.verify() == []


def test_a_full_disk_leaves_the_bundle_of_before(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.tar"
    path.write_text("before")
    monkeypatch.setenv(faults.VARIABLE, "bundle.tmp:1:full")
    with Store.open(made) as store, pytest.raises(StoreFullError):
        store.export_bundle([FILM], path)
    assert [each.name for each in tmp_path.iterdir()] == ["bundle.tar"]
    assert path.read_text() == "before"


def test_damage_is_not_exported(store: Store, folder: Path, tmp_path: Path) -> None:
    ingest(store, FILM, 2, rows=True, kv=False)
    blob = max((folder / "blobs").rglob("*.safetensors"))
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(DamagedChunkError, match=f"video {FILM[:12]} at .*damaged"):
        store.export_bundle([FILM], tmp_path / "x.tar")
    blob.write_bytes(data[:-9])
    with pytest.raises(DamagedChunkError):
        store.export_bundle([FILM], tmp_path / "x.tar")
    blob.unlink()
    with pytest.raises(StoreError):
        store.export_bundle([FILM], tmp_path / "x.tar")
    assert not list(tmp_path.glob("x.tar*"))


@pytest.mark.parametrize(
    ("harm", "span"),
    [
        (sa.delete(NoteRow).where(NoteRow.text == "late"), "0:16.0-0:32.0"),
        (sa.delete(SegmentRow).where(SegmentRow.text == "late"), "0:16.0-0:32.0"),
        (sa.delete(NoteRow).where(NoteRow.text == "hello there"), "0:00.0-10:00.0"),
        (sa.delete(GroupRow).where(GroupRow.text == "late"), "0:16.0-0:32.0"),
    ],
    ids=["a note lost", "a text lost", "a word unheard", "groups lost"],
)
@pytest.mark.parametrize("tiers", [None, ["notes"]])
def test_rows_that_are_not_what_was_stored_are_not_sealed_as_if_they_were(
    store: Store, tmp_path: Path, harm: sa.Delete | sa.Update, span: str, tiers: list[str] | None
) -> None:
    store.add_video(draw_video(FILM), "drawn")
    store.put_sound_notes(FILM, draw_sound())
    plain = draw_chunk(FILM, 1, rows=True)
    late = [dataclasses.replace(group, text="late") for group in plain.groups]
    store.add_chunk(draw_chunk(FILM, 0))
    store.add_chunk(
        dataclasses.replace(
            plain,
            notes=(dataclasses.replace(plain.notes[0], text="late"), *plain.notes[1:]),
            groups=tuple(late),
            segments=(dataclasses.replace(plain.segments[0], text="late"), *plain.segments[1:]),
        )
    )
    store.export_bundle([FILM], tmp_path / "x.tar", tiers=tiers)
    (tmp_path / "x.tar").unlink()
    with store._db.write("test") as conn:
        assert conn.execute(harm).rowcount
    with pytest.raises(DamagedChunkError) as refused:
        store.export_bundle([FILM], tmp_path / "x.tar", tiers=tiers)
    assert str(refused.value).startswith(f"video {FILM[:12]} at {span}: ")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("x.tar*"))


@pytest.mark.parametrize("where", ["nowhere/x.tar", "."])
def test_an_output_that_cannot_be_is_said(made: Path, tmp_path: Path, where: str) -> None:
    with Store.open(made) as store, pytest.raises(StoreError, match="name a file"):
        store.export_bundle([FILM], tmp_path / where)


def test_only_videos_named_by_their_content_travel(store: Store, tmp_path: Path) -> None:
    ingest(store, "film", 1)
    with pytest.raises(RecordError, match="SHA-256"):
        store.export_bundle(["film"], tmp_path / "x.tar")
    with pytest.raises(UnknownVideoError):
        store.export_bundle(["other"], tmp_path / "x.tar")
    with pytest.raises(RecordError, match="known: notes, vectors, tokens, kv"):
        store.export_bundle(["film"], tmp_path / "x.tar", tiers=["frames"])


# What is there already


def outcomes(store: Store, bundle: Path, **how: Any) -> list[str]:
    return [video.outcome for video in store.import_bundle(bundle, **how)]


def test_what_is_there_is_skipped_and_what_lacks_completed(
    made: Path, bundle: Path, store: Store
) -> None:
    assert outcomes(store, bundle) == ["imported", "imported"]
    assert outcomes(store, bundle) == ["skipped", "skipped"]
    store.drop_kv(FILM)
    assert outcomes(store, bundle) == ["completed", "skipped"]
    with Store.open(made) as before:
        assert everything(store, FILM) == everything(before, FILM)


def test_an_ingest_that_was_begun_is_completed(made: Path, bundle: Path, store: Store) -> None:
    store.use_space("text", "an embedder", TEXT_SIZE)
    store.add_video(draw_video(FILM), "drawn")
    store.add_chunk(draw_chunk(FILM, 0, rows=True))
    assert outcomes(store, bundle) == ["completed", "imported"]
    with Store.open(made) as before:
        assert everything(store, FILM) == everything(before, FILM)


def test_another_making_is_replaced_only_when_asked(small: Path, store: Store) -> None:
    store.add_video(draw_video(OTHER), "another making")
    with pytest.raises(IncompatibleError, match="--replace") as refused:
        store.import_bundle(small)
    assert "\n" not in str(refused.value)
    assert store.fingerprint(OTHER) == "another making"
    assert outcomes(store, small, replace=True) == ["replaced"]
    assert (store.fingerprint(OTHER), store.video(OTHER).chunks) == ("drawn", 2)


def test_one_that_is_refused_keeps_all_others_out(bundle: Path, store: Store) -> None:
    store.add_video(draw_video(OTHER), "another making")
    with pytest.raises(IncompatibleError):
        store.import_bundle(bundle)
    assert [video.video_id for video in store.videos()] == [OTHER]


def test_vectors_of_another_embedder_are_refused(bundle: Path, store: Store) -> None:
    store.use_space("text", "another embedder", TEXT_SIZE)
    with pytest.raises(IncompatibleError, match="made by another embedder"):
        store.import_bundle(bundle, replace=True)
    assert store.videos() == []


def test_unfinished_videos_stay_unfinished(store: Store, tmp_path: Path) -> None:
    store.add_video(draw_video(FILM), "drawn")
    store.add_chunk(draw_chunk(FILM, 0))
    store.export_bundle([FILM], tmp_path / "x.tar")
    with Store.open(tmp_path / "other") as other:
        assert outcomes(other, tmp_path / "x.tar") == ["imported"]
        video = other.video(FILM)
        assert (video.state, video.chunks, other.sound_notes(FILM)) == ("ingesting", 1, None)


def test_an_import_keeps_to_the_budget(bundle: Path, small: Path, folder: Path) -> None:
    """Other videos' KV makes room; what is imported stays, even beyond the budget."""
    third = "c3" * 32
    with Store.open(folder) as store:
        ingest(store, third, 2)
    with Store.open(folder, kv_budget_bytes=1) as store:
        store.import_bundle(small)  # without KV: no reason to drop any
        assert len(store.kv_indices(third, KV_FINGERPRINT)) == 3
        store.import_bundle(bundle)
        assert store.kv_indices(third, KV_FINGERPRINT) == set()
        assert len(store.kv_indices(FILM, KV_FINGERPRINT)) == 3
        assert store.trim_kv() > 0


def test_an_import_stands_where_there_is_no_trimming(
    bundle: Path, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise StoreError("another process is writing")

    monkeypatch.setattr(Store, "trim_kv", busy)
    assert outcomes(store, bundle) == ["imported", "imported"]
    assert "not kept to its budget: another process" in caplog.text


# Of before


def test_a_bundle_of_before_is_taken(made: Path, small: Path, store: Store, tmp_path: Path) -> None:
    """What a video's row did not have in those days has its default."""

    def older(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        manifest["schema"] = "0003"
        del manifest["videos"][0]["row"]["domain"]

    assert outcomes(store, forged(tmp_path / "older.tar", small, older)) == ["imported"]
    with Store.open(made) as before:
        assert store.digest(OTHER) == before.digest(OTHER)
        assert store.video(OTHER).domain == ""


# Tiers


def test_without_tokens_it_is_another_making(made: Path, store: Store, tmp_path: Path) -> None:
    """Notes and vectors alone are searched, and never taken for a whole video."""
    thin, whole = tmp_path / "thin.tar", tmp_path / "whole.tar"
    with Store.open(made) as before:
        before.export_bundle([OTHER, FILM], thin, tiers=["notes"])
        before.export_bundle([OTHER, FILM], whole, tiers=["kv"])
        expected = everything(before, FILM)
    assert not [name for name in contents(thin)[1] if name.startswith("blobs/")]
    assert outcomes(store, thin) == ["imported", "imported"]
    assert store.video(FILM).tiers == ("notes", "vectors")
    assert store.search_words("red car", 3)
    assert store.fingerprint(FILM) == "drawn|without tokens"
    assert all(group.num_tokens == 0 for group in store.groups(OTHER))
    store.export_bundle([FILM], tmp_path / "again.tar")
    assert contents(tmp_path / "again.tar")[0]["videos"][0]["tiers"] == ["notes", "vectors"]
    store.update_video(FILM, collection="films")
    store.tag_video(FILM, add=["goal"])
    store.pin_kv(FILM)
    assert outcomes(store, whole) == ["completed", "completed"]
    kept = store.video(FILM)
    assert (kept.collection, kept.tags, kept.pinned) == ("films", ("goal",), True)
    store.update_video(FILM, collection="default")
    store.tag_video(FILM, remove=["goal"])
    store.pin_kv(FILM, pinned=False)
    assert everything(store, FILM) == expected
    assert outcomes(store, thin) == ["skipped", "skipped"]


def test_int8_tokens_stay_the_bytes_that_they_were(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a", tokens_dtype="int8") as store:
        ingest(store, FILM, 1, rows=True, kv=False)
        store.export_bundle([FILM], tmp_path / "x.tar")
    with Store.open(tmp_path / "b") as other:
        other.import_bundle(tmp_path / "x.tar")
        assert other.groups(FILM)[0].rows is not None
    names = [
        sorted(path.name for path in (tmp_path / store / "blobs").rglob("*.safetensors"))
        for store in "ab"
    ]
    assert names[0] == names[1] != []


# Footage


@pytest.fixture
def filmed(tmp_path: Path) -> Path:
    """A bundle with footage."""
    film = tmp_path / "home" / "my film.mp4"
    film.parent.mkdir()
    film.write_bytes(b"a film")
    with Store.open(tmp_path / "from") as store:
        store.add_video(draw_video(FILM, str(film)), "drawn")
        store.add_chunk(draw_chunk(FILM, 0))
        store.export_bundle([FILM], tmp_path / "filmed.tar", footage=True)
    return tmp_path / "filmed.tar"


def test_footage_goes_where_it_is_told(filmed: Path, store: Store, tmp_path: Path) -> None:
    (left,) = store.import_bundle(filmed)
    assert (left.left_footage, left.footage, store.video(FILM).path) == (True, None, "my film.mp4")
    (taken,) = store.import_bundle(filmed, footage=tmp_path / "films")
    placed = tmp_path / "films" / FILM[:12] / "my film.mp4"
    assert (taken.left_footage, taken.footage, taken.outcome) == (False, placed, "skipped")
    assert [path for path in (tmp_path / "films").rglob("*") if path.is_file()] == [placed]
    assert placed.read_bytes() == b"a film"
    assert store.video(FILM).path == str(placed)
    assert store.import_bundle(filmed, footage=tmp_path / "films")[0].footage == placed


def test_footage_overwrites_nothing(filmed: Path, store: Store, tmp_path: Path) -> None:
    placed = tmp_path / "films" / FILM[:12] / "my film.mp4"
    placed.parent.mkdir(parents=True)
    placed.symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="another file is there"):
        store.import_bundle(filmed, footage=tmp_path / "films")
    assert not (tmp_path / "target").exists()
    placed.unlink()
    placed.write_bytes(b"mine")
    with pytest.raises(StoreError, match="another file is there"):
        store.import_bundle(filmed, footage=tmp_path / "films")
    assert placed.read_bytes() == b"mine"


def test_footage_is_the_video_itself(filmed: Path, store: Store, tmp_path: Path) -> None:
    def swap(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        members[f"footage/{FILM}"] = b"a trap"

    path = forged(tmp_path / "trap.tar", filmed, swap)
    with pytest.raises(BundleError, match="another video"):
        store.import_bundle(path, footage=tmp_path / "films")
    with Store.open(tmp_path / "from") as before:
        (tmp_path / "home" / "my film.mp4").write_bytes(b"changed")
        with pytest.raises(StoreError, match="not the file that was ingested"):
            before.export_bundle([FILM], tmp_path / "x.tar", footage=True)
        (tmp_path / "home" / "my film.mp4").unlink()
        with pytest.raises(StoreError, match="not the file that was ingested"):
            before.export_bundle([FILM], tmp_path / "x.tar", footage=True)
    assert not (tmp_path / "x.tar").exists()
    assert not (tmp_path / "films").exists()


@given(st.text(max_size=300))
def test_a_safe_name_is_one_name_wherever_it_lands(path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return
    name = safe_name(path)
    assert is_safe_name(name)
    assert safe_name(name) == name
    assert Path("/folder", name).parent == Path("/folder")
    assert name not in ("", ".", "..")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "..\\a", "C:a", "a\0", "a\nb", "a" * 300, "a.", "\ud800"]
)
def test_a_name_that_is_more_than_a_name_is_none(name: str) -> None:
    assert not is_safe_name(name)


def test_bytes_that_are_no_text_stay_in_a_name() -> None:
    name = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    assert safe_name(f"/films/{name}") == name
    assert is_safe_name(name)
