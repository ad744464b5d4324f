"""The stages of gpu.py, each a function of the bench that gives figures. They know no file."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkout  # noqa: F401 — the package lies in this checkout
import torch
from gpu_arithmetic import attention_flop, connector_flop, laid_out, linear_flop, tower_flop
from gpu_correctness import correctness
from gpu_parts import (
    CHUNK_GROUPS,
    QUESTION,
    Bench,
    Figures,
    frames,
    random_model,
    release,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from videoxl2_model import pixels
from videoxl2_model.config import GenerationSettings, PrefillConfig
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.frames import Uploader, batches
from videoxl2_model.generate import generate
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.prefill import TokenGroup
from videoxl2_model.static_step import EAGER_STEPS
from videoxl2_model.videoxl2 import VideoXL2

CAP_BYTES = 24e9
FIRST_STEPS = 2 * EAGER_STEPS  # as written, then one that is recorded as a graph, then replays
INT8_BATCH_FRAMES = 16  # frames in the tower at a time: less beside the cache


# 0. What the machine can do


def ceilings(bench: Bench) -> Figures:
    """The rate of a large matrix product, and of a copy."""
    n, clock = bench.sizes.matrix, bench.clock
    one, other = (torch.randn(n, n, device=bench.device, dtype=bench.dtype) for _ in range(2))
    source = torch.ones(bench.sizes.copy_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    repeats = 20

    def products(count: int = repeats) -> None:
        for _ in range(count):
            torch.mm(one, other)

    def copies(count: int = repeats) -> None:
        for _ in range(count):
            target.copy_(source)

    products(3)
    copies(3)
    products_s, copies_s = clock.seconds(products), clock.seconds(copies)
    bench.matrix_rate = repeats * 2 * n**3 / products_s
    return {
        "matrix_tflop_per_s": bench.matrix_rate / 1e12,
        "copy_gb_per_s": repeats * 2 * len(source) / copies_s / 1e9,
    }


# 2. Pixels to a cache


def pixels_to_kv(bench: Bench) -> Figures:
    """All frames of a video to its cache: in one go, then stage by stage."""
    model, sizes, clock = bench.model, bench.sizes, bench.clock
    warm(bench)

    def whole() -> None:
        bench.kv = model.prefill(encoded(bench, sizes.frames))  # type: ignore[misc]  # the cached one

    total_s = clock.seconds(whole)
    figures: Figures = {
        "frames": sizes.frames,
        "source_px": [sizes.height_px, sizes.width_px],
        "positions": bench.kv.num_tokens,
        "kv_bytes": bench.kv.nbytes,
        "total_s": total_s,
        **clock.peak(),
    }
    seconds = by_stage(bench)
    flop = flop_by_stage(bench)
    figures["stages_s"] = seconds
    figures["share_of_matrix_rate"] = {
        name: bench.share(flop[name], seconds[name]) for name in flop
    }
    figures["share_of_matrix_rate"]["total"] = bench.share(sum(flop.values()), total_s)
    return figures


def warm(bench: Bench, kv_dtype: torch.dtype | None = None) -> None:
    """Let kernels be chosen and code be fused, on a few blocks."""
    count = min(256, bench.sizes.frames)
    bench.model.prefill(encoded(bench, count), kv_dtype=kv_dtype)
    bench.clock.restart_peak()


def encoded(bench: Bench, count: int) -> Iterator[TokenGroup]:
    sizes = bench.sizes
    return bench.model.encode_stream(frames(count, sizes), batch_frames=sizes.batch_frames)


@torch.no_grad()
def by_stage(bench: Bench) -> dict[str, float]:
    """Time each stage by itself, waiting for the device between them."""
    model, sizes, clock = bench.model, bench.sizes, bench.clock
    seconds = dict.fromkeys(("upload", "resize", "tower", "connector", "prefill"), 0.0)
    upload, rows = Uploader(bench.device), []

    def timed(name: str, work: Callable[[], Tensor]) -> Tensor:
        clock.wait()
        start = time.perf_counter()
        out = work()
        clock.wait()
        seconds[name] += time.perf_counter() - start
        return out

    for batch in batches(frames(sizes.frames, sizes), sizes.batch_frames):
        images = timed("upload", lambda batch=batch: torch.cat(list(upload.runs(batch.frames))))
        shown = timed("resize", lambda images=images: resized(model, images))
        features = timed("tower", lambda shown=shown: model.tower(shown))
        rows.append(timed("connector", lambda features=features: model.connector(features)))
    groups = [model.group(4.0 * index, each) for index, each in enumerate(torch.cat(rows))]
    seconds["prefill"] = clock.seconds(lambda: model.prefill(groups))
    return seconds


def resized(model: VideoXL2, images: Tensor) -> Tensor:
    return pixels.normalise(pixels.resize(images, model.config.vision.image_size), model.dtype)


def flop_by_stage(bench: Bench) -> dict[str, float]:
    config, count = bench.config, bench.sizes.frames
    layout = laid_out(bench.model, count, PrefillConfig())
    return {
        "tower": count * tower_flop(config),
        "connector": count / 4 * connector_flop(config),
        "prefill": layout.stop * linear_flop(config) + attention_flop(config, layout),
    }


# 3 to 5, 9. Over a stored video


def first_token(bench: Bench) -> Figures:
    """Assemble a stored video's cache, run a question over it, give the first token."""
    return {"frames": bench.sizes.frames, **first_tokens(bench, bench.kv)}


def first_tokens(bench: Bench, kv: VideoKV) -> Figures:
    figures: Figures = {}
    for name, dense in both(bench, kv).items():
        answer = [answered(bench, kv, dense) for _ in range(bench.sizes.repeats)]
        figures[name] = {
            "first_time_s": answer[0],  # kernels for these shapes are chosen on the way
            "seconds": sorted(answer)[len(answer) // 2],
            "positions": entries(kv, dense),
        }
    return figures


def both(bench: Bench, kv: VideoKV) -> dict[str, list[int]]:
    """Return the dense chunks of a bi-level cache and of a dense one."""
    return {"bi_level": bench.dense(kv), "dense": list(range(-(-kv.num_groups // CHUNK_GROUPS)))}


def entries(kv: VideoKV, dense: list[int]) -> int:
    return sum(piece.entries for piece in kv.select(dense, chunk_groups=CHUNK_GROUPS))


def answered(bench: Bench, kv: VideoKV, dense: list[int]) -> float:
    """Return the seconds to an answer's first token."""
    decoder = bench.model.language.decoder

    def work() -> None:
        cache = kv.assemble(dense, chunk_groups=CHUNK_GROUPS, room=len(QUESTION) + 16)
        next(generate(decoder, cache, QUESTION, GenerationSettings(1)))

    return bench.clock.seconds(work)


def arrival(bench: Bench) -> Figures:
    """From the arrival of frames to a cache that can be asked, with a video before them."""
    model, kv, clock = bench.model, bench.kv, bench.clock
    run = model.start(kv=kv)
    figures: Figures = {"history_frames": 4 * kv.num_groups}
    for name, count in (("group", 4), ("chunk", 16)):
        seen = list(frames(count, bench.sizes))

        def work(seen: list[Any] = seen) -> None:
            for group in model.encode_stream(seen):
                run.add(group)
            run.flush()

        figures[f"{name}_s"] = clock.median(work, bench.sizes.repeats)
    figures["question_after_s"] = answered(bench, kv, bench.dense(kv))
    return figures


def decoding(bench: Bench) -> Figures:
    """Tokens a second, dense against bi-level."""
    return {"frames": bench.sizes.frames, **decode_rates(bench, bench.kv)}


def decode_rates(bench: Bench, kv: VideoKV) -> Figures:
    figures: Figures = {name: decoded(bench, kv, dense) for name, dense in both(bench, kv).items()}
    rates = {name: each["tokens_per_s"] for name, each in figures.items()}
    return {**figures, "bi_level_over_dense": rates["bi_level"] / rates["dense"]}


def decoded(bench: Bench, kv: VideoKV, dense: list[int]) -> Figures:
    """Decode over one cache, which lives no longer: two of long videos do not fit."""
    release()
    room = len(QUESTION) + FIRST_STEPS + bench.sizes.steps
    cache = kv.assemble(dense, chunk_groups=CHUNK_GROUPS, room=room)
    return {"positions": cache.length, **decode_rate(bench, cache)}


def decode_rate(bench: Bench, cache: DecodeCache) -> Figures:
    """What the first steps over a fresh cache take, and the rate of those after them."""
    decoder, steps = bench.model.language.decoder, bench.sizes.steps
    token = int(decoder.extend(cache, QUESTION).argmax())

    def work(count: int) -> None:
        nonlocal token
        for _ in range(count):
            token = int(decoder.step(cache, token).argmax())

    return {
        "first_steps": FIRST_STEPS,
        "first_steps_s": bench.clock.seconds(lambda: work(FIRST_STEPS)),
        "tokens_per_s": steps / bench.clock.seconds(lambda: work(steps)),
    }


def revisit(bench: Bench) -> Figures:
    """Store a video's cache in files, read it back, ask."""
    kv, clock = bench.kv, bench.clock
    with tempfile.TemporaryDirectory(prefix="videoxl2-") as name:
        folder = Path(name)
        save_s = clock.seconds(lambda: save_parts(kv, folder))
        made: list[VideoKV] = []
        load_s = clock.seconds(lambda: made.append(load_parts(kv, folder)))
        first_s = answered(bench, made[0], bench.dense(kv))
        stored_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "frames": bench.sizes.frames,
        "stored_bytes": stored_bytes,
        "save_s": save_s,
        "load_s": load_s,  # the files are in the page cache
        "first_token_s": first_s,
        "load_and_first_token_s": load_s + first_s,
    }


def save_parts(kv: VideoKV, folder: Path) -> None:
    save_file({k: v.cpu() for k, v in kv.system_part().items()}, folder / "system.safetensors")
    for first in range(0, kv.num_groups, CHUNK_GROUPS):
        part = kv.part(first, min(first + CHUNK_GROUPS, kv.num_groups))
        path = folder / f"{first:06}.safetensors"
        save_file({key: value.cpu() for key, value in part.items()}, path)


def load_parts(kv: VideoKV, folder: Path) -> VideoKV:
    system = load_file(folder / "system.safetensors")
    paths = sorted(path for path in folder.iterdir() if path.stem != "system")
    parts = ((len(part["segments"]), part) for part in map(load_file, paths))
    return VideoKV.from_parts(system, parts, dtype=kv.dtype, device=kv.device)


# 6 to 8. Long videos, each in a process of its own


def capped(bench: Bench) -> Figures:
    """A video under a cap of 24 GB for everything that torch allocates, and a question."""
    if bench.clock.cuda:
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, CAP_BYTES / total), bench.device)
    figures = long_video(bench, bench.sizes.capped_frames)
    return {"cap_bytes": CAP_BYTES, **figures}


def long_bfloat16(bench: Bench) -> Figures:
    """A long video in bfloat16."""
    return long_video(bench, bench.sizes.long_frames, offload=True, rates=True)


def long_int8(bench: Bench) -> Figures:
    """A long video with 8-bit weights and an 8-bit cache, the embedding in host memory."""
    batch_frames = min(bench.sizes.batch_frames, INT8_BATCH_FRAMES)
    bench.sizes = replace(bench.sizes, batch_frames=batch_frames)
    bench.model = random_model(  # type: ignore[misc]  # the cached one
        bench.config, bench.device, bench.dtype, "int8", embedding_on_cpu=True
    )
    return long_video(bench, bench.sizes.long_frames, kv_dtype=torch.int8, offload=True)


def long_video(
    bench: Bench,
    count: int,
    *,
    kv_dtype: torch.dtype | None = None,
    offload: bool = False,
    rates: bool = False,
) -> Figures:
    """Frames to a cache and a question over it, with the peak memory of both."""
    model, clock = bench.model, bench.clock
    warm(bench, kv_dtype)
    made: list[VideoKV] = []
    figures: Figures = {"frames": count}
    figures["total_s"] = clock.seconds(
        lambda: made.append(model.prefill(encoded(bench, count), kv_dtype=kv_dtype))
    )
    kv = made[0]
    figures |= {"positions": kv.num_tokens, "kv_bytes": kv.nbytes, **clock.peak()}
    if offload:  # room for the cache that a question is decoded over
        figures["offload_s"] = clock.seconds(kv.offload)
        release()
    figures["first_token_s"] = answered(bench, kv, bench.dense(kv))
    figures["with_question"] = clock.peak()
    if rates:
        figures["decoding"] = decode_rates(bench, kv)
        figures["with_dense_decoding"] = clock.peak()
    return figures


STAGES: dict[str, Callable[[Bench], Figures]] = {
    "ceilings": ceilings,
    "correctness": correctness,
    "pixels_to_kv": pixels_to_kv,
    "first_token": first_token,
    "decoding": decoding,
    "revisit": revisit,
    "arrival": arrival,  # the stored video grows
    "capped": capped,
    "long_bfloat16": long_bfloat16,
    "long_int8": long_int8,
}
APART = ("capped", "long_bfloat16", "long_int8")  # each in a process of its own
