"""Is it right on this device? A small model against the CPU in float32, fast paths against slow."""

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import checkout  # noqa: F401 — the package lies in this checkout
import torch
from gpu_parts import QUESTION, ROOT, Bench, Figures, frames, random_model
from torch import Tensor

from videoxl2_model import pixels, prefill
from videoxl2_model.attention import attend, kernel_for, plain
from videoxl2_model.config import GenerationSettings, PrefillConfig
from videoxl2_model.decode_cache import DecodeCache
from videoxl2_model.decoder import Decoder
from videoxl2_model.generate import generate
from videoxl2_model.golden import case_names
from videoxl2_model.parity import Golden
from videoxl2_model.parity_model import GoldenModel
from videoxl2_model.prefill import Prefill, TokenGroup
from videoxl2_model.static_step import EAGER_STEPS, StaticStep
from videoxl2_model.testing import tiny_videoxl2_config


def correctness(bench: Bench) -> Figures:
    """A small model here against the CPU in float32, and fast paths against slow ones."""
    torch.backends.cudnn.allow_tf32 = False  # else convolutions in float32 keep 10 bits
    config = tiny_videoxl2_config(
        hidden_size=512, num_attention_heads=4, num_key_value_heads=2, intermediate_size=640
    )
    cpu = random_model(config, torch.device("cpu"), torch.float32)
    wanted = greedy(cpu.language.decoder)
    figures: Figures = {"resize_equal": resize_equal(bench)}
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        language = copy.deepcopy(cpu.language.decoder.model).to(bench.device, dtype)
        decoder = Decoder(language, "model")
        figures[name] = {
            "attention": attention_difference(bench.device, dtype),
            "keys_and_values": relative(stored(decoder), stored(cpu.language.decoder)),
            "blocks_together": relative(stored(decoder, run_rows=500), stored(decoder)),
            "static_step": static_step_difference(decoder),
            "tokens_equal": greedy(decoder) == wanted,
        }
    figures["golden"] = golden(bench)
    return figures


def resize_equal(bench: Bench) -> bool:
    """True where resized frames are the CPU's, bit for bit."""
    size = bench.config.vision.image_size
    images = torch.stack([torch.from_numpy(image) for image, _ in frames(4, bench.sizes)])
    resized = pixels.resize(images.to(bench.device), size).cpu()
    return torch.equal(resized, pixels.resize(images, size))


def attention_difference(device: torch.device, dtype: torch.dtype) -> Figures:
    """The kernel that is taken, and how far it is from scores in float32."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(heads, 300, 128, generator=random).to(device, dtype) for heads in (28, 4, 4)
    )
    far = 0.0
    for causal in (False, True):
        got = attend(query, key, value, causal=causal)
        out, log_weight = plain(query.float(), key.float(), value.float(), causal)
        far = max(far, distance(got.out, out), distance(got.log_weight, log_weight))
    return {"kernel": kernel_for(device, dtype, 128).__name__, "difference": far}


def id_groups() -> Iterator[TokenGroup]:
    random = torch.Generator().manual_seed(2)
    for _ in range(24):
        ids = torch.randint(0, 250, (48,), generator=random).tolist()
        yield TokenGroup(tuple(ids[:8]), ids=tuple(ids[8:]))


def stored(decoder: Decoder, run_rows: int = 0) -> Tensor:
    """Return all keys and values of a small video, as float32 on the CPU."""
    before = prefill.RUN_ROWS
    prefill.RUN_ROWS = {"cpu": run_rows, "cuda": run_rows}
    try:
        run = Prefill(decoder, QUESTION[:14], PrefillConfig(2, 2))
        for group in id_groups():
            run.add(group)
        run.flush()
    finally:
        prefill.RUN_ROWS = before
    return run.kv.pages.read_all(range(run.kv.num_tokens)).float().cpu()


def greedy(decoder: Decoder) -> list[int]:
    cache = DecodeCache.empty(
        decoder.spec, len(QUESTION) + 16, dtype=decoder.dtype, device=str(decoder.device)
    )
    return list(generate(decoder, cache, QUESTION, GenerationSettings(12)))


@torch.no_grad()
def static_step_difference(decoder: Decoder) -> float:
    """The step of fixed shapes (on CUDA soon a graph) against the ordinary one."""
    caches = []
    for _ in range(2):
        cache = DecodeCache.empty(decoder.spec, 96, dtype=decoder.dtype, device=str(decoder.device))
        decoder.extend(cache, QUESTION)
        caches.append(cache)
    step, far = StaticStep(decoder.run_row), 0.0
    for token in (3, 77, 200, 3, 18, 92) * (EAGER_STEPS // 6 + 2):
        row = decoder.embed([token])
        got, wanted = step.step(row, caches[0]), decoder.run_row(row, caches[1])
        far = max(far, distance(got, wanted))
        for cache in caches:
            cache.advance(1)
    return far


def distance(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().max())


def relative(one: Tensor, other: Tensor) -> float:
    """Return the root mean square difference as a share of the values'."""
    return float((one - other).square().mean().sqrt() / other.square().mean().sqrt())


class OnDevice(GoldenModel):
    """A golden model whose modules and pixels lie on another device."""

    device = torch.device("cpu")

    @cached_property
    def tower(self) -> Any:
        return super().tower.to(self.device)

    @cached_property
    def connector(self) -> Any:
        return super().connector.to(self.device)

    @cached_property
    def decoder(self) -> Decoder:
        model = super().decoder.model
        for each in model.parameters():  # its tables have no storage and are not used
            each.data = each.data.to(self.device)
        return Decoder(model, "model")

    def pixels(self, name: str, frames: int) -> Tensor:
        return super().pixels(name, frames).to(self.device)


class GoldenOnDevice(Golden):
    """The golden cases, run by `OnDevice`."""

    def model(self, name: str | None) -> GoldenModel:
        known = super().model(name)
        if not isinstance(known, OnDevice):
            known = OnDevice(known.config)
            self._models[name or self.config_name()] = known
        return known

    def config_name(self) -> str:
        return next(iter(self._models))


def golden(bench: Bench) -> Figures:
    """The public reference's numbers, on this device in float32."""
    folder = ROOT / "tests" / "golden"
    if not folder.is_dir():
        return {"skipped": "no tests/golden here"}
    OnDevice.device = bench.device
    names = [each for each in case_names(folder) if each[0] in "abdefg"]
    names = [each for each in names if each == "e_pure9" or not bench.tiny]
    cases = GoldenOnDevice(folder)
    lines = [cases.line(name) for name in names]
    return {
        "passed": sum(line.ok for line in lines),
        "of": len(lines),
        "largest": max((line.difference or 0.0 for line in lines), default=None),
        "failed": [f"{line.case}: {line.reason}" for line in lines if not line.ok],
    }
