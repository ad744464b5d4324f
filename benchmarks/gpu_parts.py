"""What gpu.py is made of: a model of seeded random weights, drawn frames, a clock, figures.

Needs torch, transformers, safetensors and numpy only. Speed and memory do not depend on the values
of weights and pixels, so random ones are honest here; no answer is.
"""

import gc
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import checkout  # noqa: F401 — the package lies in this checkout
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn

from videoxl2_model.config import TOKENS_PER_GROUP, VideoXL2Config, WeightKind
from videoxl2_model.decoder import Decoder
from videoxl2_model.kv_cache import VideoKV
from videoxl2_model.model import LanguageModel
from videoxl2_model.prefill import TokenGroup
from videoxl2_model.published import EMBEDDING, LAYERS, full_size
from videoxl2_model.quant import pack
from videoxl2_model.testing import tiny_videoxl2_config
from videoxl2_model.videoxl2 import VideoXL2
from videoxl2_model.weights import VideoModules, complete

ROOT = Path(__file__).resolve().parent.parent
CHUNK_GROUPS = 4
QUESTION = list(range(100, 140))  # ids that stand for a question; the reference's have about 40


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large each stage is."""

    frames: int = 2048
    capped_frames: int = 1000
    long_frames: int = 10_000
    height_px: int = 720
    width_px: int = 1280
    batch_frames: int = 32
    steps: int = 32  # decoded tokens that are timed
    dense_chunks: int = 4  # of a question over a bi-level cache, beside the two ends
    matrix: int = 8192
    copy_bytes: int = 1 << 30
    repeats: int = 5


Figures = dict[str, Any]
TINY = Sizes(
    frames=24,
    capped_frames=8,
    long_frames=24,
    height_px=40,
    width_px=56,
    batch_frames=8,
    steps=3,
    dense_chunks=1,
    matrix=64,
    copy_bytes=1 << 16,
    repeats=2,
)


class Clock:
    """Wall time of work on a device, waited for, and the device's peak memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cuda = device.type == "cuda"

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def median(self, work: Callable[[], object], repeats: int) -> float:
        return sorted(self.seconds(work) for _ in range(repeats))[repeats // 2]

    def restart_peak(self) -> None:
        release()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> dict[str, int | None]:
        """Return the most that tensors took, and the most that the allocator held for them."""
        if not self.cuda:
            return {"peak_bytes": None, "peak_held_bytes": None}
        return {
            "peak_bytes": torch.cuda.max_memory_allocated(self.device),
            "peak_held_bytes": torch.cuda.max_memory_reserved(self.device),
        }


def release() -> None:
    """Give back the device memory that nothing refers to any more."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def random_model(
    config: VideoXL2Config,
    device: torch.device,
    dtype: torch.dtype,
    weights: WeightKind = "model",
    *,
    embedding_on_cpu: bool = False,
) -> VideoXL2:
    """Return a Video-XL-2 of these sizes, its weights drawn on the device one after the other."""
    modules = VideoModules.empty(config)
    random = torch.Generator(device).manual_seed(0)
    places = sorted(modules.slots().items(), key=lambda pair: len(pair[1].shape))
    for key, slot in places:  # biases first: a linear map is packed with its own
        flat = len(slot.shape) == 1
        spread = 0.1 if flat else 1 / math.sqrt(math.prod(slot.shape[1:]))
        mean = 1.0 if flat and key.endswith(".weight") else 0.0
        tensor = torch.empty(slot.shape, dtype=dtype, device=device)
        tensor.normal_(mean, spread, generator=random)
        linear = key.startswith(LAYERS) and isinstance(slot.owner, nn.Linear)
        if weights != "model" and linear and not flat:
            slot.replace_owner(pack(tensor, slot.owner.bias, weights))
        else:
            slot.put(tensor.cpu() if embedding_on_cpu and key == EMBEDDING else tensor)
    complete(modules.language, device)
    language = LanguageModel(Decoder(modules.language, "model"), tokenizer())
    return VideoXL2(config, modules.tower, modules.connector, language)


def tokenizer() -> Tokenizer:
    """Return a byte-level tokenizer that gives `Time 12.5s:` as many ids as the public one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("T", "i"), ("Ti", "m"), ("Tim", "e")]
    words = [*alphabet, *("".join(pair) for pair in merges)]
    made = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = decoders.ByteLevel()
    specials = ("<|im_start|>", "<|im_end|>")
    # The tiny model has no room for words beyond the bytes' own.
    made.add_special_tokens([AddedToken(each, special=True) for each in specials[:1]])
    return made


def frames(count: int, sizes: Sizes) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Yield frames of noise with their times, one a second; a few are drawn and come again."""
    drawn = noise(sizes.height_px, sizes.width_px)
    for index in range(count):
        yield drawn[index % len(drawn)], float(index)


@lru_cache(maxsize=1)
def noise(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Return some frames, drawn once: drawing is no part of what is timed."""
    return np.random.default_rng(0).integers(0, 256, (16, height_px, width_px, 3), dtype=np.uint8)


class Bench:
    """What stages share: the device, the model, and a stored video."""

    def __init__(self, device: torch.device, sizes: Sizes, *, tiny: bool) -> None:
        self.device = device
        self.sizes = sizes
        self.tiny = tiny
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.clock = Clock(device)
        self.config = tiny_videoxl2_config() if tiny else full_size()
        self.matrix_rate: float | None = None  # of the first stage, FLOP a second

    @cached_property
    def model(self) -> VideoXL2:
        return random_model(self.config, self.device, self.dtype)

    @cached_property
    def kv(self) -> VideoKV:
        """A stored video of `sizes.frames`, of random rows if no stage has encoded frames."""
        return prefilled(self.model, self.sizes.frames)

    def share(self, flop: float, seconds: float) -> float | None:
        """Return the share of the measured matrix rate."""
        return round(flop / seconds / self.matrix_rate, 4) if self.matrix_rate else None

    def dense(self, kv: VideoKV) -> list[int]:
        """Return some chunks spread over a video: what a question would keep whole."""
        chunks = -(-kv.num_groups // CHUNK_GROUPS)
        return sorted(
            {chunks * i // self.sizes.dense_chunks for i in range(self.sizes.dense_chunks)}
        )

    def forget(self) -> None:
        for name in ("model", "kv"):
            self.__dict__.pop(name, None)
        release()


def prefilled(model: VideoXL2, num_frames: int, kv_dtype: torch.dtype | None = None) -> VideoKV:
    """Return the cache of random rows, without the tower and the connector."""
    return model.prefill(random_groups(model, num_frames), kv_dtype=kv_dtype)


def random_groups(model: VideoXL2, num_frames: int) -> Iterator[TokenGroup]:
    random = torch.Generator(model.device).manual_seed(1)
    for first in range(0, num_frames, 4):
        rows = torch.randn(
            (TOKENS_PER_GROUP, model.config.hidden_size),
            device=model.device,
            dtype=model.dtype,
            generator=random,
        )
        yield model.group(float(first), rows)


# Figures


class Results:
    """A JSON file that is whole after every stage.

    What it holds of the same code, size, GPU and torch is kept; anything else is written over.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.body: dict[str, Any] = {
            "name": "gpu",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "code": code(),
            "machine": machine(),
            **facts,
        }
        self.stages: Figures = self._held()
        self.body["stages"] = self.stages

    def _held(self) -> Figures:
        try:
            held = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        same = all(held.get(name) == self.body.get(name) for name in ("code", "tiny"))
        one, other = held.get("machine", {}), self.body["machine"]
        same = same and all(one.get(name) == other.get(name) for name in ("gpu", "torch"))
        return dict(held["stages"]) if same else {}

    def done(self, stage: str) -> bool:
        """True where a stage came to its end without an error."""
        return stage in self.stages and not self.stages[stage].keys() & {"error", "skipped"}

    def add(self, stage: str, figures: dict[str, Any]) -> None:
        self.stages[stage] = figures
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.body, indent=2, ensure_ascii=False) + "\n")
        part.replace(self.path)


def code() -> str:
    """Return a digest of what is measured and of what measures it, with git or without."""
    folders = (ROOT / "videoxl2_model", "*.py"), (ROOT / "benchmarks", "gpu*.py")
    digest = hashlib.sha256()
    for path in sorted(path for folder, names in folders for path in folder.glob(names)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """Return the commit of this checkout, if it is one and git is there."""
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    import transformers

    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": card.name,
            "gpu_memory_bytes": card.total_memory,
            "capability": f"{card.major}.{card.minor}",
            "multiprocessors": card.multi_processor_count,
            "cuda": torch.version.cuda,
        }
    return facts


def in_a_line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:400]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
