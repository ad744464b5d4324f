"""How fast is an ingest, where do its seconds go, and is its memory flat in the video's length?

Each video is ingested by a process of its own into an empty store, after a short clip has made
every model load. With `--repeat N` the file is also joined N times, packet by packet, and the
peak memory less the KV's own bytes of the long video is set against that of the short one.

    python benchmarks/ingest.py                       # the 79.5 s pedestrian clip
    python benchmarks/ingest.py --file film.mp4 --repeat 8
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
from common import (
    PeakMemory,
    Ratio,
    clip,
    parse_overrides,
    release_memory,
    show,
    timed,
    tree_rss_bytes,
    write_results,
)

AIM_REALTIME = 4.0  # seconds of video per second of work
LIMIT_MEMORY = 1.05  # long over short
WARM_UP = ("obama_speech.mp4", "bigbuckbunny.mp4")  # both have sound, so every instrument loads


class StageSeconds(logging.Handler):
    """Catches the line in which an ingest says how long each stage took."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seconds: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and isinstance(record.args[-1], Mapping):
            self.seconds = {name: round(s, 3) for name, s in record.args[-1].items()}


def measure(path: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Ingest one file into an empty store in this process, models loaded before."""
    from agentkit import Session, Settings
    from agentkit_storage import Store

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        settings = Settings.load(store=Path(folder) / "store", **overrides)
        with Session.open(settings) as session:
            session.ingest(clip(WARM_UP[path.name == WARM_UP[0]]))
            stages = listen()
            release_memory()
            loaded_bytes = tree_rss_bytes()
            with PeakMemory() as memory, timed() as elapsed:
                video = session.ingest(path)
        with Store.open(settings.store) as store:
            sizes = {each.video_id: each for each in store.stats().videos}[video.video_id]
    return {
        "file": path.name,
        "video_s": video.duration_s,
        "work_s": elapsed.wall_s,
        "cpu_s": elapsed.cpu_s,
        "stages_s": stages.seconds,
        "frames_seen": video.frames_seen,
        "loaded_bytes": loaded_bytes,
        "peak_bytes": memory.peak_bytes,
        "kv_bytes": _resident_kv_bytes(sizes.kv, settings.prefill.kv_dtype or "float32"),
        "instruments": list(video.instruments),
        "missing": list(video.missing),
    }


def listen() -> StageSeconds:
    """Return what will hold the seconds of the next ingest."""
    handler, log = StageSeconds(), logging.getLogger("agentkit.ingesting")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return handler


def _resident_kv_bytes(stored_bytes: int, kv_dtype: str) -> int:
    """Return what the KV takes in memory: float32 while prefilling, whatever is stored."""
    return stored_bytes * (1 if kv_dtype == "float32" else 2)


def measured(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure in a process of its own, so that no peak is another video's."""
    words = [sys.executable, __file__, "--file", str(path), "--alone"]
    words += [word for each in overrides for word in ("--set", each)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def joined(path: Path, times: int, folder: Path) -> Path:
    """Write the file's packets one after another so many times, without encoding anew."""
    out_path = folder / f"{path.stem}-x{times}.mkv"
    copies: dict[int, Any] = {}
    with av.open(str(out_path), "w") as out:
        for number in range(times):
            with av.open(str(path)) as source:
                length_s = float(source.duration or 0) / av.time_base
                if not copies:
                    copies = {s.index: out.add_stream_from_template(s) for s in _streams(source)}
                for packet in source.demux(*_streams(source)):
                    if packet.dts is None:
                        continue
                    _move(packet, number * length_s)
                    packet.stream = copies[packet.stream.index]
                    out.mux(packet)
    return out_path


def _streams(source: "av.container.InputContainer") -> list[Any]:
    return [*source.streams.video[:1], *source.streams.audio[:1]]


def _move(packet: Any, by_s: float) -> None:
    ticks = round(by_s / packet.time_base)
    packet.dts += ticks
    packet.pts = packet.dts if packet.pts is None else packet.pts + ticks


def report(figures: Mapping[str, Any]) -> None:
    """Print where one ingest's seconds went."""
    print(f"{figures['file']}: {figures['video_s']:.1f} s of video in {figures['work_s']:.1f} s")
    for name, spent_s in sorted(figures["stages_s"].items(), key=lambda pair: -pair[1]):
        print(f"  {name:12} {spent_s:8.2f} s  {spent_s / figures['work_s']:4.0%}")
    gigabytes = {name: figures[f"{name}_bytes"] / 1e9 for name in ("loaded", "peak", "kv")}
    print("  memory: " + ", ".join(f"{name} {value:.2f} GB" for name, value in gigabytes.items()))
    for reason in figures["missing"]:
        print(f"  left out: {reason}")


def realtime(figures: Mapping[str, Any]) -> Ratio:
    name = f"seconds of video per second of work, {figures['file']}"
    return Ratio(name, figures["video_s"], figures["work_s"], "s", aim=AIM_REALTIME)


def flat(long: Mapping[str, Any], short: Mapping[str, Any]) -> Ratio:
    ours, baseline = ((each["peak_bytes"] - each["kv_bytes"]) / 1e9 for each in (long, short))
    return Ratio("peak memory less KV, long over short", ours, baseline, "GB", limit=LIMIT_MEMORY)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, help="default: the pedestrian clip, vtest.avi")
    parser.add_argument("--repeat", type=int, default=1, help="also join the file so many times")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    path = args.file or clip("vtest.avi")
    if args.alone:
        print(json.dumps(measure(path, parse_overrides(args.set))))
        return 0
    short = measured(path, args.set)
    report(short)
    ratios, figures = [show(realtime(short))], {"short": short}
    if args.repeat > 1:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            long = measured(joined(path, args.repeat, Path(folder)), args.set)
        report(long)
        ratios += [show(realtime(long)), show(flat(long, short))]
        figures |= {"long": long}
    print(f"figures: {write_results('ingest', figures, tuple(ratios))}")
    return 0 if all(ratio.met for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
