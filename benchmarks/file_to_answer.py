"""How long is it from a file to the first answer about it, and which stage takes what share?

A film is drawn (two hours of 720p by default, kept in the benchmarks' folder), ingested into an
empty store by the encoder of pictures, and asked one question: with keyframe sampling and at one
frame a second, each without instruments and with them. One JSON object comes out after each run,
so that a run that is cut leaves what was measured.

    python benchmarks/file_to_answer.py --checkpoint FOLDER          # on a machine with a GPU
    python benchmarks/file_to_answer.py --tiny --minutes 2           # only: does it run?
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import (
    PeakMemory,
    Ratio,
    bench_dir,
    merged,
    parse_overrides,
    release_memory,
    show,
    timed,
    write_results,
)
from ingest import StageSeconds, joined, listen
from numpy.typing import NDArray

from agentkit import Session, Settings
from agentkit.testing import long_gop, make_video

LIMIT_S = 180.0  # from file to answer, of the published surgical case
QUESTION = "What happens in this film?"
SAMPLING = ("keyframes", "fps")
PIECE_S = 60.0  # is drawn; the film repeats it
FRAMES_PER_S = 24
KEYFRAME_S = 4  # a keyframe every so many seconds, as films on disk have
SCENE_S = 5.0


def draw(number: int, time_s: float, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw a scene of its own colours every few seconds, and a bar that moves through it."""
    width, height = size_px
    random = np.random.default_rng(int(time_s / SCENE_S))
    low, high = random.integers(0, 256, (2, 3))
    ramp = np.linspace(0, 1, width)[:, None]
    image = np.empty((height, width, 3), np.uint8)  # [H, W, 3] RGB
    image[:] = low + (high - low) * ramp
    left = int(time_s * width / SCENE_S) % max(width - width // 8, 1)
    image[height // 3 : 2 * height // 3, left : left + width // 8] = 255 - low
    return image


def film(folder: Path, minutes: float, size_px: tuple[int, int]) -> Path:
    """Return a drawn film of this length, drawn where it is not there yet."""
    piece_s = min(PIECE_S, 60 * minutes)
    times = max(1, round(60 * minutes / piece_s))
    name = f"drawn-{size_px[1]}p-{piece_s:g}s"
    out = folder / f"{name}-x{times}.mkv"
    if out.is_file():
        return out
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        options = {**long_gop(FRAMES_PER_S * KEYFRAME_S), "crf": "23"}
        piece = Path(part) / f"{name}.mp4"
        make_video(
            piece, seconds=piece_s, fps=FRAMES_PER_S, size_px=size_px, draw=draw, options=options
        )
        return joined(piece, times, Path(part)).rename(out)


def measure(path: Path, sampling: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Ingest the film into an empty store and ask one question; the model is loaded before."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = merged({"encoder": "videoxl2", "sampling": {"mode": sampling}}, overrides)
        settings = Settings.load(store=Path(folder) / "store", **given)
        with Session.open(settings) as session, PeakMemory() as memory:
            with timed() as load:
                warm_up(session, Path(folder))
            release_memory()
            stages = listen()
            with timed() as ingest:
                video = session.ingest(path)
            with timed() as question:
                answer = session.ask(QUESTION, video)
            name = session._engine.name
    return {
        "sampling": sampling,
        "engine": name,
        "video_s": video.duration_s,
        "frames_seen": video.frames_seen,
        "instruments": list(video.instruments),
        "missing": list(video.missing),
        "load_s": load.wall_s,
        "file_to_answer_s": ingest.wall_s + question.wall_s,
        "stages_s": whole(stages, ingest.wall_s, question.wall_s),
        "question_stages_s": dict(answer.coverage.seconds),
        "tokens": answer.coverage.tokens,
        "peak_host_bytes": memory.peak_bytes,
        "peak_device_bytes": peak_device_bytes(),
    }


def warm_up(session: Session, folder: Path) -> None:
    """Make every model load and every kernel be chosen, on a clip that is no part of the film."""
    clip = make_video(folder / "warm-up.mp4", seconds=20, fps=2, size_px=(160, 90), draw=draw)
    session.ask(QUESTION, session.ingest(clip))


def whole(stages: StageSeconds, ingest_s: float, question_s: float) -> dict[str, float]:
    """Return the seconds of each stage, and of what none of them counts."""
    rest = ingest_s - sum(stages.seconds.values())
    return {**stages.seconds, "probe and rest": round(rest, 3), "question": round(question_s, 3)}


def shares(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return each stage's share of the time from file to answer, largest first."""
    total = figures["file_to_answer_s"]
    spent = sorted(figures["stages_s"].items(), key=lambda pair: -pair[1])
    return {name: round(seconds / total, 4) for name, seconds in spent}


def peak_device_bytes() -> int:
    """Return the most that was allocated on the GPU; 0 without one."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


class Unread:
    """Stands for the text embedding where nothing is real: every text is the same."""

    fingerprint, size = "unread", 4

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.full((len(texts), 4), 0.5, np.float32)


@contextmanager
def tiny() -> Iterator[dict[str, Any]]:
    """Give the settings of a random model of two layers, which needs no weights at all."""
    from agentkit.engine import Engine
    from videoxl2_model.testing import write_tiny_videoxl2

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        real = Engine.__dict__["embedder"]
        Engine.embedder = Unread()  # type: ignore[assignment,method-assign]  # put back below
        try:
            yield {"videoxl2_path": str(write_tiny_videoxl2(Path(folder) / "tiny"))}
        finally:
            Engine.embedder = real


def runs(
    path: Path, overrides: Mapping[str, Any], watching: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each sampling, without instruments and with them."""
    seen = {} if watching is None else {"instruments": list(watching)}
    for sampling in SAMPLING:
        for notes in ({"instruments": []}, seen):
            figures = measure(path, sampling, merged({"notes": notes}, overrides))
            yield {**figures, "shares": shares(figures)}


def against_limit(figures: Mapping[str, Any]) -> Ratio:
    watched = "with" if figures["instruments"] else "without"
    name = f"file to answer, {figures['sampling']}, {watched} instruments"
    return Ratio(name, figures["file_to_answer_s"], LIMIT_S, "s", limit=1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, help="a folder with Video-XL-2")
    weights.add_argument("--tiny", action="store_true", help="a random model of two layers")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--file", type=Path, help="a film of your own in place of the drawn one")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    args = parser.parse_args(arguments)
    size_px = (args.height * 16 // 9 // 2 * 2, args.height)
    path = args.file or film(bench_dir(), args.minutes, size_px)
    overrides = parse_overrides(args.set)
    if args.tiny:
        with tiny() as settings:
            for figures in runs(path, merged(settings, overrides), ("shots", "motion")):
                print(json.dumps(figures), flush=True)
        return 0
    overrides = merged({"videoxl2_path": str(args.checkpoint)}, overrides)
    done: list[dict[str, Any]] = []
    for figures in runs(path, overrides, None):
        done.append(figures)
        print(json.dumps(figures), flush=True)
        write_results("file_to_answer", {"runs": done}, tuple(map(against_limit, done)))
    return 0 if all(show(against_limit(each)).met for each in done) else 1


if __name__ == "__main__":
    sys.exit(main())
