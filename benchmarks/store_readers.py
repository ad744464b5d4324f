"""What do 32 readers notice of two processes that ingest into the same store?

Every reader and every writer is a process of its own. The readers make the same calls at the same
moments three times over: alone, beside writers that add chunks as fast as the store takes them,
and beside processes that take as much of the CPU as those writers did and write nothing. How long
a call takes is counted from its own start.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import numpy as np
from common import Ratio, show
from store_drawn import FINGERPRINT, VECTOR_SIZE, cache, fill, note_chunk, scratch, video_id, words

from agentkit_storage import Store
from agentkit_storage.testing import GROUPS, draw_vector, draw_video

LIMIT_P99 = 3.0
KINDS = ("words", "vectors", "notes", "groups", "kv")
ALONE, WRITERS, BURNERS = "alone", "beside writers", "beside as much CPU without writing"
BURN_S = 0.01  # how finely the CPU is taken
WAIT_S = 120.0  # for everybody to be ready
_PROCESSES = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Load:
    """What the store holds before, who reads it, and how often all of them together do."""

    videos: int = 40
    chunks: int = 40
    readers: int = 32
    writers: int = 2
    calls_per_s: float = 100.0
    calls: int = 100  # of each reader
    rounds: int = 3
    writer_chunks_per_s: float | None = None  # of each; None: as fast as the store takes them


@dataclass(frozen=True, slots=True)
class Crew:
    """What the processes of one run share."""

    location: str
    load: Load
    ready: Barrier
    stop: Event


def measure(load: Load, location: str | None = None) -> tuple[dict[str, Any], list[Ratio]]:
    """Return figures and ratios, of a store in a folder unless `location` names another."""
    _PROCESSES.set_forkserver_preload(["agentkit_storage.testing", "store_drawn"])
    with scratch() as folder:
        location = location or str(folder / "store")
        with Store.open(location) as store:
            fill(store, range(load.videos), load.chunks)
            store.rebuild_index()
        rounds = [_round(location, load, number) for number in range(load.rounds)]
    runs = {kind: [each[kind] for each in rounds] for kind in (ALONE, BURNERS, WRITERS)}
    ratios = [show(ratio) for ratio in _ratios(runs)]
    return {kind: _figures(each) for kind, each in runs.items()}, ratios


def _round(location: str, load: Load, number: int) -> dict[str, dict[str, Any]]:
    """Run the readers alone, beside writers, and beside as much CPU as those took."""
    alone = _run(location, load, [])
    first = load.videos + 1_000_000 * number
    writers = [(write, (first + 1000 * each, each)) for each in range(load.writers)]
    beside = _run(location, load, writers)
    burners = _run(location, load, [(burn, (each["cpu"],)) for each in beside["others"]])
    return {ALONE: alone, WRITERS: beside, BURNERS: burners}


def _run(location: str, load: Load, others: list[tuple[Any, tuple[Any, ...]]]) -> dict[str, Any]:
    """Start everybody at once; when the last reader is through, the others stop."""
    ready = _PROCESSES.Barrier(load.readers + len(others))
    crew = Crew(location, load, ready, _PROCESSES.Event())
    readers = [_start(read, crew, (number,)) for number in range(load.readers)]
    beside = [_start(target, crew, arguments) for target, arguments in others]
    heard = [pipe.recv() for pipe in readers]
    crew.stop.set()
    said = [pipe.recv() for pipe in beside]
    errors = [error for each in (*heard, *said) for error in each.get("errors", ())]
    spent = {kind: [s for each in heard for s in each["spent"][kind]] for kind in KINDS}
    return {"spent": spent, "errors": errors, "others": said}


def _start(target: Callable[..., None], crew: Crew, arguments: tuple[Any, ...]) -> Connection:
    hear, tell = _PROCESSES.Pipe(duplex=False)
    _PROCESSES.Process(target=target, args=(tell, crew, *arguments), daemon=True).start()
    tell.close()
    return hear


def read(tell: Connection, crew: Crew, number: int) -> None:
    """Make this reader's calls at their moments; tell how long each took, by kind."""
    random = np.random.default_rng(number)
    gaps_s = random.exponential(crew.load.readers / crew.load.calls_per_s, crew.load.calls)
    spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
    errors: list[str] = []
    with Store.open(crew.location) as store:
        for kind in KINDS:
            call(store, kind, crew.load, random)
        crew.ready.wait(WAIT_S)
        began = time.perf_counter()
        for at, due_s in enumerate(np.cumsum(gaps_s).tolist()):
            kind = KINDS[(number + at) % len(KINDS)]
            time.sleep(max(0.0, began + due_s - time.perf_counter()))
            started = time.perf_counter()
            try:
                call(store, kind, crew.load, random)
            except Exception as error:  # noqa: BLE001 — any error at all is what is counted
                errors.append(f"{kind}: {error!r}")
            spent[kind].append(time.perf_counter() - started)
        tell.send({"spent": spent, "errors": errors})


def call(store: Store, kind: str, load: Load, random: np.random.Generator) -> None:
    """Ask the store one thing about what it held from the start; fail where that is not there."""
    video, index = video_id(int(random.integers(load.videos))), int(random.integers(load.chunks))
    vector, text = draw_vector(VECTOR_SIZE, random), words(2, random)
    calls: dict[str, Callable[[], Any]] = {
        "words": lambda: store.search_words(text, 10),
        "vectors": lambda: store.search_vectors("text", vector, 10),
        "notes": lambda: store.notes(video),
        "groups": lambda: store.groups(video, GROUPS * index, GROUPS * (index + 1)),
        "kv": lambda: store.kv(video, FINGERPRINT, index),
    }
    if not calls[kind]() and kind != "words":  # a pair of words may stand nowhere
        raise LookupError(f"{video[-6:]}, chunk {index}: nothing came back")


def write(tell: Connection, crew: Crew, first_video: int, seed: int) -> None:
    """Ingest video after video until told to stop; tell the rate and the CPU taken."""
    random = np.random.default_rng(seed)
    arrays, count, errors = cache(random), 0, []
    with Store.open(crew.location) as store:
        crew.ready.wait(WAIT_S)
        began, cpu_s = time.perf_counter(), time.process_time()
        try:
            while not crew.stop.wait(_until_next(crew.load, count, began)):
                arrays["keys"][0, 0, 0, :2] = (first_video, count)  # another blob
                _write_chunk(store, first_video + count // crew.load.chunks, count, crew.load,
                             arrays, random)  # fmt: skip
                count += 1
        except Exception as error:  # noqa: BLE001 — any error at all is what is counted
            errors.append(f"write: {error!r}")
        wall_s = time.perf_counter() - began
        share = (time.process_time() - cpu_s) / wall_s
        tell.send({"chunks_per_s": count / wall_s, "cpu": share, "errors": errors})


def _write_chunk(
    store: Store, number: int, count: int, load: Load, arrays: dict[str, Any], random: Any
) -> None:
    name, index = video_id(number), count % load.chunks
    if index == 0:
        store.add_video(draw_video(name, f"/films/{number}.mp4"), FINGERPRINT)
    store.add_chunk(note_chunk(name, index, random))
    store.put_kv(name, FINGERPRINT, index, arrays)


def _until_next(load: Load, count: int, began: float) -> float:
    if load.writer_chunks_per_s is None:
        return 0.0
    return max(0.0, began + count / load.writer_chunks_per_s - time.perf_counter())


def burn(tell: Connection, crew: Crew, share: float) -> None:
    """Take this share of one CPU until told to stop."""
    share = min(share, 1.0)
    crew.ready.wait(WAIT_S)
    began, cpu_s = time.perf_counter(), time.process_time()
    while not crew.stop.wait(BURN_S * (1 - share)):
        until = time.process_time() + BURN_S * share
        while time.process_time() < until:
            pass
    taken = (time.process_time() - cpu_s) / (time.perf_counter() - began)
    tell.send({"cpu": taken, "errors": []})


def _ratios(runs: Mapping[str, list[dict[str, Any]]]) -> list[Ratio]:
    ms = {kind: [1e3 * s for each in found for s in _all(each)] for kind, found in runs.items()}
    p99 = {kind: percentile(values, 99) for kind, values in ms.items()}
    p50 = {kind: percentile(values, 50) for kind, values in ms.items()}
    errors = [error for found in runs.values() for each in found for error in each["errors"]]
    ratios = [
        Ratio("readers' p99: beside writers over alone", p99[WRITERS], p99[ALONE], "ms",
              limit=LIMIT_P99),
        Ratio("readers' p99: beside writers over beside as much CPU", p99[WRITERS], p99[BURNERS],
              "ms"),
        Ratio("readers' median: beside writers over alone", p50[WRITERS], p50[ALONE], "ms"),
        Ratio("errors of readers and writers", len(errors), 1.0, "", limit=0.0),
    ]  # fmt: skip
    return ratios + [_of_kind(kind, runs) for kind in KINDS]


def _of_kind(kind: str, runs: Mapping[str, list[dict[str, Any]]]) -> Ratio:
    beside, alone = (
        percentile([1e3 * s for each in runs[name] for s in each["spent"][kind]], 99)
        for name in (WRITERS, ALONE)
    )
    return Ratio(f"p99 of {kind}: beside writers over alone", beside, alone, "ms")


def _all(run: Mapping[str, Any]) -> list[float]:
    return [s for kind in KINDS for s in run["spent"][kind]]


def percentile(values: list[float], percent: int) -> float:
    """Return what so many percent of the values are not above."""
    return float(np.percentile(values, percent))


def _figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is kept of the runs of one sort."""
    spent = {kind: [1e3 * s for each in runs for s in each["spent"][kind]] for kind in KINDS}
    return {
        "calls": sum(len(each) for each in spent.values()),
        "errors": [error for each in runs for error in each["errors"]][:10],
        "ms": {kind: {f"p{p}": percentile(each, p) for p in (50, 90, 99)}
               for kind, each in spent.items()},
        "p99_ms_by_round": [1e3 * percentile(_all(each), 99) for each in runs],
        "others_cpu": statistics.fmean([o["cpu"] for each in runs for o in each["others"]] or [0]),
        "writer_chunks_per_s": statistics.fmean(
            [o.get("chunks_per_s", 0.0) for each in runs for o in each["others"]] or [0.0]
        ),
    }  # fmt: skip
