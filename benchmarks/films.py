"""Long films whose right answers are known: real clips at known seconds between drawn scenes.

Each clip stands exactly once. Between the clips run scenes drawn by code, each different from the
others, silent or with soft noise: nothing in them is spoken, written or an object. A film is drawn
once for a seed, second by second, and kept with a manifest of where each clip begins.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from common import bench_dir, clip
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scenes import SCENES, Picture

CLIPS = (
    "bigbuckbunny.mp4",
    "bikes.mp4",
    "box.mp4",
    "cup.mp4",
    "obama_speech.mp4",
    "tree.avi",
    "vtest.avi",
)
DRAWING = 1  # raise when a change here would draw another film
RATE_HZ = 24_000
SHORTEST_GAP_S = 3.0

Sound = NDArray[np.float32]  # [samples], -1..1, at RATE_HZ


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """What to draw. Pictures keep their shape inside `width_px` x `height_px`."""

    name: str
    duration_s: float
    seed: int = 7
    width_px: int = 640
    height_px: int = 480
    fps: int = 10


@dataclass(frozen=True, slots=True)
class Film:
    """A drawn film: where each clip begins in it, and how long it lasts there, in seconds."""

    path: Path
    duration_s: float
    offsets_s: Mapping[str, float]
    lengths_s: Mapping[str, float]


PLANS = {"10min": FilmPlan("10min", 600.0), "60min": FilmPlan("60min", 3600.0)}


def film(plan: FilmPlan, clips: Mapping[str, Path], folder: Path) -> Film:
    """Return the film of this plan over these clips, drawing it if it is not in `folder` yet."""
    path = folder / f"film-{plan.name}-{_fingerprint(plan, clips)}.mp4"
    manifest = path.with_suffix(".json")
    if not (path.is_file() and manifest.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        drawn = _draw_film(plan, clips, path)
        manifest.write_text(json.dumps(_manifest(plan, drawn), indent=2) + "\n")
    return _read_manifest(path, manifest)


def _fingerprint(plan: FilmPlan, clips: Mapping[str, Path]) -> str:
    parts = [f"drawing {DRAWING}", json.dumps(asdict(plan), sort_keys=True)]
    for name in sorted(clips):
        parts.append(f"{name} {hashlib.sha256(clips[name].read_bytes()).hexdigest()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _manifest(plan: FilmPlan, drawn: Film) -> dict[str, object]:
    starts, lengths = drawn.offsets_s, drawn.lengths_s
    clips = {name: {"offset_s": starts[name], "length_s": lengths[name]} for name in starts}
    return {"plan": asdict(plan), "duration_s": drawn.duration_s, "clips": clips}


def _read_manifest(path: Path, manifest: Path) -> Film:
    body = json.loads(manifest.read_text())
    offsets = {name: clip["offset_s"] for name, clip in body["clips"].items()}
    lengths = {name: clip["length_s"] for name, clip in body["clips"].items()}
    return Film(path, body["duration_s"], offsets, lengths)


def _draw_film(plan: FilmPlan, clips: Mapping[str, Path], path: Path) -> Film:
    part = path.with_suffix(".part.mp4")
    rng = np.random.default_rng(plan.seed)
    lengths = {name: _ticks(clip, plan.fps) / plan.fps for name, clip in clips.items()}
    gaps = _gaps(plan, sum(lengths.values()), len(clips) + 1, rng)
    offsets: dict[str, float] = {}
    with _Writer(part, plan) as out:
        for name, gap_s in zip(rng.permutation(sorted(clips)), gaps[:-1], strict=True):
            _write_filler(out, plan, gap_s, rng)
            offsets[str(name)] = out.now_s
            _write_clip(out, plan, clips[str(name)], lengths[str(name)])
        _write_filler(out, plan, gaps[-1], rng)
        duration_s = out.now_s
    part.replace(path)
    return Film(path, duration_s, offsets, lengths)


def _gaps(plan: FilmPlan, clips_s: float, count: int, rng: np.random.Generator) -> list[float]:
    """Share what the clips leave of the film among the gaps, whole pictures each."""
    free_s = plan.duration_s - clips_s - count * SHORTEST_GAP_S
    if free_s < 0:
        raise ValueError(f"{plan.duration_s:g} s are too short for {clips_s:.1f} s of clips")
    shares = rng.dirichlet(np.full(count, 2.0)) * free_s + SHORTEST_GAP_S
    edges = np.round(np.concatenate([[0.0], np.cumsum(shares)]) * plan.fps) / plan.fps
    return [float(gap) for gap in np.diff(edges)]


def _write_filler(out: "_Writer", plan: FilmPlan, gap_s: float, rng: np.random.Generator) -> None:
    """Fill a gap with scenes of 6 to 30 seconds, never the same kind twice running.

    Each picture is shown for two ticks: drawing is most of the work.
    """
    last, left = "", round(gap_s * plan.fps)
    while left > 0:
        last = str(rng.choice([kind for kind in SCENES if kind != last]))
        ticks = min(left, int(rng.integers(6 * plan.fps, 30 * plan.fps)))
        draw, loudness = (
            SCENES[last]((plan.width_px, plan.height_px), rng),
            float(rng.choice([0.0, 0.0, 0.002, 0.004])),
        )
        for tick in range(ticks):
            sound = rng.standard_normal(out.samples_per_tick, dtype=np.float32) * loudness
            out.add(draw(tick / plan.fps) if tick % 2 == 0 else None, sound)
        left -= ticks


def _write_clip(out: "_Writer", plan: FilmPlan, path: Path, length_s: float) -> None:
    ticks = round(length_s * plan.fps)
    sound = np.zeros(ticks * out.samples_per_tick, dtype=np.float32)
    heard = clip_sound(path)[: len(sound)]
    sound[: len(heard)] = heard
    pieces = sound.reshape(ticks, out.samples_per_tick)
    for picture, piece in zip(clip_pictures(path, plan, ticks), pieces, strict=True):
        out.add(picture, piece)


def _ticks(path: Path, fps: int) -> int:
    """Return how many pictures a clip gets: the last one begins before the clip's end."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        pts = [packet.pts for packet in source.demux(stream) if packet.pts is not None]
        length = (max(pts) - min(pts)) * (stream.time_base or Fraction(1))
    return math.floor(length * fps) + 1


def clip_pictures(path: Path, plan: FilmPlan, ticks: int) -> Iterator[Picture]:
    """Yield the clip's last picture at or before each tick, fitted into the film's frame."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        shown, tick = None, 0
        begin_s = None
        for frame in source.decode(stream):
            begin_s = frame.time if begin_s is None else begin_s
            while shown is not None and tick < ticks and frame.time - begin_s > tick / plan.fps:
                yield fitted(shown, plan)
                tick += 1
            shown = frame
        while shown is not None and tick < ticks:
            yield fitted(shown, plan)
            tick += 1


def fitted(frame: av.VideoFrame, plan: FilmPlan) -> Picture:
    """Return the picture inside the film's frame, black beside it."""
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    return np.asarray(ImageOps.pad(picture, (plan.width_px, plan.height_px)))


def clip_sound(path: Path) -> Sound:
    """Return a clip's whole sound from its first picture on; nothing where it has none."""
    with av.open(str(path)) as source:
        if not source.streams.audio:
            return np.zeros(0, dtype=np.float32)
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        frames = list(source.decode(audio=0))
        late = max(0, round(float(frames[0].time or 0.0) * RATE_HZ))
        pieces = [np.zeros(late, dtype=np.float32)]
        for frame in [*frames, None]:
            pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(pieces)


class _Writer:
    """An mp4 under way: one picture and its tenth of a second of sound at a time."""

    def __init__(self, path: Path, plan: FilmPlan) -> None:
        self._out = av.open(str(path), "w", options={"movflags": "faststart"})
        self._video = self._out.add_stream("libx264", rate=plan.fps)
        self._video.width, self._video.height = plan.width_px, plan.height_px
        self._video.pix_fmt = "yuv420p"
        self._video.options = {"preset": "ultrafast", "crf": "22", "g": str(5 * plan.fps)}
        self._audio = self._out.add_stream("aac", rate=RATE_HZ, layout="mono")
        self._plan, self._count = plan, 0
        self.samples_per_tick = RATE_HZ // plan.fps

    @property
    def now_s(self) -> float:
        return self._count / self._plan.fps

    def add(self, picture: Picture | None, sound: Sound) -> None:
        """Add one picture, or the last one again, and its sound."""
        if picture is not None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            self._frame = frame.reformat(format="yuv420p")
        self._frame.pts, self._frame.time_base = self._count, Fraction(1, self._plan.fps)
        self._out.mux(self._video.encode(self._frame))
        heard = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        heard.sample_rate, heard.pts = RATE_HZ, self._count * self.samples_per_tick
        heard.time_base = Fraction(1, RATE_HZ)
        self._out.mux(self._audio.encode(heard))
        self._count += 1

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._out.mux(self._video.encode(None))
            self._out.mux(self._audio.encode(None))
        self._out.close()


def main() -> None:
    """Draw a film and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=sorted(PLANS))
    for plan in parser.parse_args().names:
        drawn = film(PLANS[plan], {name: clip(name) for name in CLIPS}, bench_dir())
        print(drawn.path)
        for offset_s, name in sorted((at, name) for name, at in drawn.offsets_s.items()):
            print(f"  {offset_s:8.1f} s  {name}")


if __name__ == "__main__":
    main()
