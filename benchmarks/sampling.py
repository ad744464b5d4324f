"""How much CPU does sampling save against decoding every frame, and how much could it save?

Three encodes are drawn: x264 as it comes, a long GOP with B-frames, and a camera's without. For
steps of 1, 5 and 30 s, `video.sample` is set against the plain loop: decode every frame up to the
last wanted one with PyAV, on as many threads, and turn the wanted ones into RGB. Sampling pays for
listing the packets each time, as it does on a file that is new to it. The ideal is all frames the
plain loop decodes over those that must be decoded: from the keyframe to the wanted frame, less the
frames that no other frame refers to. Aims: 0.8 of the ideal; and on the long GOP 1.5x at 1 s and
3x at 5 s. Frames are not alike: those that others refer to cost more, and those left out cost less
than their number says. So the share of the decoder's own floor is shown too: the CPU time of
feeding it those very packets from memory, and nothing else.

    python benchmarks/sampling.py
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from common import Ratio, bench_dir, show, timed, write_results
from numpy.typing import NDArray

from agentkit.testing import Draw, make_video
from agentkit.types import SamplingPlan, VideoInfo
from agentkit.video import VideoLimits, forget_timelines, probe, sample
from agentkit.video_clock import Timeline, scan
from agentkit.video_decode import runs
from agentkit.video_open import open_container, picture_stream
from agentkit.video_plan import wanted_ranks

SIZE_PX = (640, 360)
SECONDS, FPS = 120, 30
STEPS_S = (1, 5, 30)
AIM_OF_IDEAL = 0.8
AIMS = {("long-gop", 1): 1.5, ("long-gop", 5): 3.0}
LIMITS = VideoLimits()

ENCODES: Mapping[str, Mapping[str, str]] = {
    "x264-default": {},
    "long-gop": {"g": "250", "keyint_min": "250", "bf": "3", "sc_threshold": "0"},
    "camera": {
        "g": "64",
        "keyint_min": "64",
        "bf": "0",
        "sc_threshold": "0",
        "tune": "zerolatency",
    },
}


def street(seed: int = 0) -> Draw:
    """Return a drawing with a moving camera, things that cross it, noise, and cuts."""
    chance = np.random.default_rng(seed)
    width, height = SIZE_PX
    coarse = chance.integers(40, 200, (height // 8, width // 4, 3), np.uint8)
    ground = coarse.repeat(10, axis=0).repeat(10, axis=1)  # [H, W, 3], larger than the picture
    grain = chance.integers(0, 16, (29, height, width, 1), np.uint8)
    things = chance.integers(0, 255, (10, 8, 6, 3), np.uint8).repeat(6, axis=1).repeat(6, axis=2)

    def draw(number: int, time_s: float, size_px: tuple[int, int]) -> NDArray[np.uint8]:
        left, top = int(400 + 400 * np.sin(time_s / 8)), int(40 + 40 * np.cos(time_s / 3))
        image = ground[top : top + height, left : left + width] + grain[number % len(grain)]
        for place, thing in enumerate(things):
            x = int((time_s * (20 + 15 * place) + 97 * place) % (width - 36))
            y = int(30 * place + 10 * np.sin(time_s * place / 2) + 10)
            image[y : y + 48, x : x + 36] = thing
        return image if int(time_s) // 7 % 2 else 255 - image  # a cut every 7 s

    return draw


def drawn(name: str) -> VideoInfo:
    """Return one of the encodes, drawing it if it is not there."""
    path = bench_dir() / f"sampling-{name}.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.mp4")
        options = dict(ENCODES[name])
        make_video(part, seconds=SECONDS, fps=FPS, size_px=SIZE_PX, draw=street(), options=options)
        part.replace(path)
    return probe(path)


def ours(info: VideoInfo, step_s: int) -> int:
    """Sample as an ingest does; return the number of pictures."""
    forget_timelines()
    return sum(len(batch.images) for batch in sample(info, SamplingPlan(fps=1 / step_s)))


def plain(info: VideoInfo, wanted_pts: Sequence[int]) -> int:
    """Decode every frame up to the last wanted one; return the number of pictures."""
    wanted, count = set(wanted_pts), 0
    with open_container(info.path, LIMITS) as container:
        for frame in container.decode(picture_stream(container, info.path, LIMITS)):
            if frame.pts in wanted:
                frame.to_ndarray(format="rgb24")
                count += 1
            if count == len(wanted):
                break
    return count


def timeline_of(info: VideoInfo) -> Timeline:
    with open_container(info.path, LIMITS) as container:
        stream = picture_stream(container, info.path, LIMITS)
        return scan(container, stream, info.path, info.path.stat().st_size, LIMITS)


def referred_to(info: VideoInfo) -> set[int]:
    """Return the pts of the frames that a decoder may not leave out."""
    with open_container(info.path, LIMITS) as container:
        stream = picture_stream(container, info.path, LIMITS)
        stream.codec_context.skip_frame = "NONREF"
        return {frame.pts for frame in container.decode(stream) if frame.pts is not None}


def ideal(timeline: Timeline, ranks: NDArray[np.int64], references: set[int]) -> float:
    """Return frames that the plain loop decodes over frames that must be decoded."""
    wanted = set(timeline.packets[ranks].tolist())
    needed = sum(
        packet in wanted or int(timeline.pts[packet]) in references
        for run in runs(timeline, ranks)
        for packet in range(run.first, run.last + 1)
    )
    return (int(ranks[-1]) + 1) / needed


def floor(info: VideoInfo, timeline: Timeline, ranks: NDArray[np.int64]) -> Callable[[], int]:
    """Return the work of decoding the needed packets alone: no reading, listing or RGB."""
    wanted = set(timeline.packets[ranks].tolist())
    with open_container(info.path, LIMITS) as container:
        stream = picture_stream(container, info.path, LIMITS)
        packets = [packet for packet in container.demux(stream) if packet.size]

    def work() -> int:
        with open_container(info.path, LIMITS) as container:
            codec = picture_stream(container, info.path, LIMITS).codec_context
            for run in runs(timeline, ranks):
                for number in range(run.first, run.last + 1):
                    codec.skip_frame = "DEFAULT" if number in wanted else "NONREF"
                    codec.decode(packets[number])
                codec.decode(None)
                codec.flush_buffers()
        return len(ranks)

    return work


def cpu_s(work: Callable[[], int], repeat: int, expected: int) -> float:
    """Return the least CPU time of some runs, over all threads."""
    times_s = []
    for _ in range(repeat):
        with timed() as elapsed:
            assert work() == expected
        times_s.append(elapsed.cpu_s)
    return min(times_s)


def measure(name: str, step_s: int, repeat: int) -> tuple[Ratio, ...]:
    """Return the saving, and its shares of the ideal one and of the decoder's floor."""
    info = drawn(name)
    timeline = timeline_of(info)
    ranks = wanted_ranks(timeline, SamplingPlan(fps=1 / step_s), info.path, LIMITS)
    pts = timeline.pts[timeline.packets[ranks]].tolist()
    slow_s = cpu_s(lambda: plain(info, pts), repeat, len(ranks))
    ours_s = cpu_s(lambda: ours(info, step_s), repeat, len(ranks))
    saving, most = slow_s / ours_s, slow_s / cpu_s(floor(info, timeline, ranks), repeat, len(ranks))
    best = ideal(timeline, ranks, referred_to(info))
    case = f"{name}, a frame every {step_s} s"
    return (
        show(Ratio(f"{case}: saving", saving, 1.0, "of plain decoding", AIMS.get((name, step_s)))),
        show(Ratio(f"{case}: share of the ideal", saving, best, "x", AIM_OF_IDEAL)),
        show(Ratio(f"{case}: share of the decoder's floor", saving, most, "x")),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, the least counts")
    arguments = parser.parse_args()
    ratios: list[Ratio] = []
    for name in ENCODES:
        for step_s in STEPS_S:
            ratios += measure(name, step_s, arguments.repeat)
    figures = {"size_px": SIZE_PX, "seconds_of_video": SECONDS, "frames_per_s": FPS}
    print(write_results("sampling", {**figures, "encodes": ENCODES}, tuple(ratios)))


if __name__ == "__main__":
    main()
