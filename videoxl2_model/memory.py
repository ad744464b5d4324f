"""What a video of so many frames needs of a device's memory, by setting, before any work starts.

Everything is computed from the model's sizes; docs/model.md explains the parts. Bytes that grow
with the video are exact (weights, keys and values, the assembled cache, tables of the rotation).
What is alive for a moment is counted from the tensors of the widest step and is meant to be too
much rather than too little; tests hold it against what torch allocates at small sizes. GB are
10 ** 9 bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Literal

import torch

from videoxl2_model.assembly import BATCH_ROWS
from videoxl2_model.config import (
    FRAMES_PER_GROUP,
    GRID,
    TOKENS_PER_GROUP,
    VideoXL2Config,
    WeightKind,
)
from videoxl2_model.connector import LOT_GROUPS
from videoxl2_model.dts import FARTHEST
from videoxl2_model.errors import RoomError, SettingError
from videoxl2_model.pages import PAGE_ROWS_CUDA, KVSpec
from videoxl2_model.pixels import ELSEWHERE
from videoxl2_model.prefill import RUN_ROWS, TILE_ROWS
from videoxl2_model.published import full_size
from videoxl2_model.quant import SLICE_VALUES, packed_nbytes
from videoxl2_model.rotary import POSITIONS

KVKind = Literal["model", "int8"]

GB = 10**9
HALF = torch.bfloat16
CARDS_GB = (8, 24, 48, 80, 141)
KINDS: tuple[tuple[WeightKind, KVKind], ...] = (
    ("model", "model"),
    ("model", "int8"),
    ("int8", "int8"),
    ("int4", "int8"),
)
USUAL_FRAMES = 1_000
FRAMES = (256, 1_000, 2_048, 10_000)
# The device's own context, library workspaces and what the allocator rounds up. Not measured.
ALLOWANCE_BYTES = 800_000_000
MOST_FRAMES = 1 << 24


@dataclass(frozen=True, slots=True)
class Setting:
    """What may be given up, from nothing on. Only the two kinds change answers."""

    weights: WeightKind = "model"  # packed: the linear maps of the language model's layers
    kv: KVKind = "model"
    offload: bool = False  # keys and values to host memory once prefilled
    embedding_on_cpu: bool = False
    batch_frames: int = 32

    @property
    def kinds(self) -> str:
        named = {"model": "16-bit", "int8": "int8", "int4": "int4"}
        return f"{named[self.weights]} weights and {named[self.kv]} KV"

    def __str__(self) -> str:
        parts = [self.kinds]
        parts += ["offloaded after prefill"] if self.offload else []
        parts += ["embedding on the CPU"] if self.embedding_on_cpu else []
        return ", ".join([*parts, f"{self.batch_frames} frames at a time"])


@dataclass(frozen=True, slots=True)
class Workload:
    """A video and a question. `dense_groups` stay whole in the decoded cache; None: all do."""

    num_frames: int
    fps: float = 1.0
    frame_pixels: int = 1920 * 1080
    system_tokens: int = 14
    question_tokens: int = 64
    answer_tokens: int = 256
    block_groups: int = 4
    dense_groups: int | None = 32
    pooling_step: int = 4

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise SettingError(f"num_frames is {self.num_frames}; it must be 1 or more")
        if not self.fps > 0:
            raise SettingError(f"fps is {self.fps}; it must be positive")

    @property
    def groups(self) -> int:
        return ceil(self.num_frames / FRAMES_PER_GROUP)

    @property
    def time_tokens(self) -> int:
        """Tokens of all timestamp texts: 7 for `Time 0.0s:` and one for each further digit."""
        tokens, digits = 7 * self.groups, 1
        while (first := ceil(10**digits * self.fps / FRAMES_PER_GROUP)) < self.groups:
            tokens += self.groups - first
            digits += 1
        return tokens

    @property
    def tokens(self) -> int:
        """Rows of the prefilled cache: system text and groups."""
        return self.system_tokens + self.time_tokens + self.groups * TOKENS_PER_GROUP

    @property
    def entries(self) -> int:
        """Positions of the decoded cache: video, question and answer."""
        whole = self.groups if self.dense_groups is None else min(self.dense_groups, self.groups)
        pooled = (self.groups - whole) * ceil(TOKENS_PER_GROUP / self.pooling_step)
        video = self.system_tokens + self.time_tokens + whole * TOKENS_PER_GROUP + pooled
        return video + self.question_tokens + self.answer_tokens


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One thing that takes memory, and in which phases."""

    name: str
    nbytes: int
    phases: tuple[str, ...]


ALWAYS = ("encode", "prefill", "decode")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What one setting needs for one video. Frames are encoded and prefilled in turns."""

    workload: Workload
    setting: Setting
    device_bytes: int
    items: tuple[MemoryItem, ...]
    max_frames: int  # that fit with this setting; 0 if not even a group does

    def phase_bytes(self, phase: str) -> int:
        """Return the peak of a phase: encode, prefill or decode."""
        return sum(item.nbytes for item in self.items if phase in item.phases)

    def item_bytes(self, name: str) -> int:
        """Return the bytes of an item; 0 if the setting has none."""
        return sum(item.nbytes for item in self.items if item.name == name)

    @property
    def peak_bytes(self) -> int:
        return max(self.phase_bytes(phase) for phase in ALWAYS)

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= self.device_bytes

    def require(self) -> "MemoryPlan":
        """Return the plan itself.

        Raises:
            RoomError: it does not fit; the message says how many frames would.
        """
        if self.fits:
            return self
        raise RoomError(
            f"more tokens than memory allows: {self.workload.num_frames} frames need"
            f" {self.peak_bytes / GB:.1f} GB of {self.device_bytes / GB:.1f};"
            f" {self.max_frames} frames fit with these settings ({self.setting})"
        )


def plan_memory(
    num_frames: int,
    device_bytes: int,
    config: VideoXL2Config | None = None,
    *,
    workload: Workload | None = None,
    weights: WeightKind | None = None,
    kv: KVKind | None = None,
) -> MemoryPlan:
    """Return the plan of the best setting that fits, else of the smallest, which does not.

    Answers come first, speed second: a slower setting of the same kinds is taken before a coarser
    kind. `weights` and `kv` fix the kinds, as for a model that is loaded. `config` is by default
    that of the public checkpoint; `workload` gives everything but the frames.
    """
    config = config or full_size()
    load = replace(workload or Workload(1), num_frames=num_frames)
    choices = [
        each
        for each in settings()
        if (weights is None or each.weights == weights) and (kv is None or each.kv == kv)
    ]
    if not choices:
        raise SettingError(f"no setting has {weights} weights and {kv} KV")
    fitting = (each for each in choices if _peak(config, each, load) <= device_bytes)
    return plan_of(config, next(fitting, choices[-1]), load, device_bytes)


def settings() -> Iterator[Setting]:
    """Yield settings, best first: by what answers lose, then by speed."""
    for weights, kv in KINDS:
        yield Setting(weights, kv)
        yield Setting(weights, kv, offload=True)
        for batch_frames in (32, 16, 8, 4):
            yield Setting(weights, kv, True, True, batch_frames)


def plan_of(
    config: VideoXL2Config, setting: Setting, workload: Workload, device_bytes: int
) -> MemoryPlan:
    """Return what one setting needs, whether it fits or not."""
    most = _most_frames(config, setting, workload, device_bytes)
    return MemoryPlan(workload, setting, device_bytes, _items(config, setting, workload), most)


def table(
    config: VideoXL2Config | None = None,
    frames: Sequence[int] = FRAMES,
    cards_gb: Sequence[int] = CARDS_GB,
) -> dict[int, list[MemoryPlan]]:
    """Return for each card, in GB, the plan of each number of frames."""
    config = config or full_size()
    return {card: [plan_memory(each, card * GB, config) for each in frames] for card in cards_gb}


def told(device_bytes: int, config: VideoXL2Config | None = None) -> str:
    """Return in words what a device takes: 1000 frames, and how many at most by the kinds."""
    config = config or full_size()
    most = [plan_memory(MOST_FRAMES, device_bytes, config, weights=w, kv=k) for w, k in KINDS]
    words = [f"{plan.max_frames} with {plan.setting.kinds}" for plan in most if plan.max_frames]
    if not words:
        return "too small, whatever the setting"
    usual = plan_memory(USUAL_FRAMES, device_bytes, config)
    takes = f"{USUAL_FRAMES} frames take {usual.peak_bytes / GB:.1f} GB ({usual.setting.kinds}); "
    return (takes if usual.fits else "") + f"frames at most: {', '.join(words)}"


def _peak(config: VideoXL2Config, setting: Setting, workload: Workload) -> int:
    return MemoryPlan(workload, setting, 0, _items(config, setting, workload), 0).peak_bytes


def _most_frames(
    config: VideoXL2Config, setting: Setting, workload: Workload, device_bytes: int
) -> int:
    """Return the most frames, in whole groups, whose peak fits: it grows with the frames."""

    def fits(groups: int) -> bool:
        load = replace(workload, num_frames=groups * FRAMES_PER_GROUP)
        return _peak(config, setting, load) <= device_bytes

    low, high = 0, MOST_FRAMES // FRAMES_PER_GROUP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low * FRAMES_PER_GROUP


# The parts


def _items(config: VideoXL2Config, setting: Setting, workload: Workload) -> tuple[MemoryItem, ...]:
    spec = kv_spec(config)
    rows = PAGE_ROWS_CUDA * ceil(workload.tokens / PAGE_ROWS_CUDA)
    held = ("encode", "prefill") if setting.offload else ALWAYS
    turns = POSITIONS * ceil(max(workload.tokens, workload.entries) / POSITIONS)
    vocabulary = int(config.language_model["vocab_size"])
    return (
        MemoryItem("weights", weight_bytes(config, setting), ALWAYS),
        MemoryItem("keys and values", spec.nbytes(rows, kv_type(setting.kv)), held),
        MemoryItem("rotation tables", turns * spec.head_dim * 4, ALWAYS),
        MemoryItem("encoding", encode_bytes(config, setting, workload), ("encode",)),
        MemoryItem("prefilling", prefill_bytes(config, _run_rows(workload)), ("prefill",)),
        MemoryItem("unpacking", unpacking_bytes(config, setting.weights), ("prefill", "decode")),
        MemoryItem("decoded cache", spec.nbytes(workload.entries, HALF), ("decode",)),
        MemoryItem("assembling", assembly_bytes(spec), ("decode",)),
        MemoryItem("logits", vocabulary * (4 + HALF.itemsize), ("decode",)),
        MemoryItem("allowance", ALLOWANCE_BYTES, ALWAYS),
    )


def kv_type(kind: KVKind) -> torch.dtype:
    return torch.int8 if kind == "int8" else HALF


def kv_spec(config: VideoXL2Config) -> KVSpec:
    """Return what the language model's keys and values look like."""
    fields = config.language_model
    heads = int(fields["num_attention_heads"])
    head_dim = int(fields.get("head_dim") or config.hidden_size // heads)
    layers, kv_heads = int(fields["num_hidden_layers"]), int(fields["num_key_value_heads"])
    return KVSpec(layers, kv_heads, head_dim, float(fields["rope_theta"]))


def weight_bytes(config: VideoXL2Config, setting: Setting) -> int:
    """Return the bytes of all weights on the device."""
    size = HALF.itemsize
    fields = config.language_model
    layers, table = int(fields["num_hidden_layers"]), _table_parameters(config)
    linear = sum(
        prod(shape) * size if setting.weights == "model" else packed_nbytes(*shape, setting.weights)
        for shape in _linears(config)
    )
    tables = table * size
    if not fields.get("tie_word_embeddings") and not setting.embedding_on_cpu:
        tables += table * size  # else the output layer is the only one there
    rest = layers * _small_parameters(config) + config.hidden_size  # and the last norm
    pictures = vision_parameters(config) + connector_parameters(config)
    return layers * linear + tables + (rest + pictures) * size


def language_parameters(config: VideoXL2Config) -> int:
    """Return how many numbers the language model has, its tables once if they are tied."""
    layer = sum(map(prod, _linears(config))) + _small_parameters(config)
    tables = 1 if config.language_model.get("tie_word_embeddings") else 2
    layers = int(config.language_model["num_hidden_layers"])
    return layers * layer + config.hidden_size + tables * _table_parameters(config)


def _table_parameters(config: VideoXL2Config) -> int:
    return int(config.language_model["vocab_size"]) * config.hidden_size


def _linears(config: VideoXL2Config) -> list[tuple[int, int]]:
    """Return (inputs, outputs) of the linear maps of one layer: q, k, v, o, gate, up, down."""
    hidden, inner = config.hidden_size, int(config.language_model["intermediate_size"])
    spec, heads = kv_spec(config), int(config.language_model["num_attention_heads"])
    query, key = heads * spec.head_dim, spec.kv_heads * spec.head_dim
    maps = [(hidden, query), (hidden, key), (hidden, key), (query, hidden)]
    return [*maps, (hidden, inner), (hidden, inner), (inner, hidden)]


def _small_parameters(config: VideoXL2Config) -> int:
    """Return one layer's biases of q, k and v and its two norms."""
    return sum(outputs for _, outputs in _linears(config)[:3]) + 2 * config.hidden_size


def vision_parameters(config: VideoXL2Config) -> int:
    """Return how many numbers the tower has."""
    vision = config.vision
    width, inner = vision.hidden_size, vision.intermediate_size
    layer = 4 * width * (width + 1) + 4 * width + inner * (width + 1) + width * (inner + 1)
    patches = width * (3 * vision.patch_size**2 + 1) + vision.patches_per_side**2 * width
    return patches + vision.kept_layers * layer


def connector_parameters(config: VideoXL2Config) -> int:
    """Return how many numbers DTS and the projector have."""
    width, hidden = config.vision.hidden_size, config.hidden_size
    spatial = 2 * width + 4 * width * (width + 1)
    temporal = 2 * width + 4 * width * (width + 1) + 2 * (2 * FARTHEST + 1) * width
    halve = 27 * width * width + width
    dts = FRAMES_PER_GROUP * width + 2 * (spatial + temporal + halve)
    return dts + hidden * (width + 1) + hidden * (hidden + 1)


def encode_bytes(config: VideoXL2Config, setting: Setting, workload: Workload) -> int:
    """Return what is alive while one batch of frames becomes rows; frames come in host memory."""
    frames, size = setting.batch_frames, HALF.itemsize
    side = config.vision.image_size
    pixels = frames * 3 * side**2
    source = frames * 3 * workload.frame_pixels
    lot = min(ELSEWHERE.pixels, frames * workload.frame_pixels)
    resizing = 2 * source + 3 * 3 * lot * 4  # two batches; floats in, sums of digits, floats out
    normalised = pixels * (1 + size)
    tower = normalised + tower_bytes(config, frames, size)
    connecting = normalised + connector_bytes(config, frames, size)
    rows = ceil(frames / FRAMES_PER_GROUP) * TOKENS_PER_GROUP * config.hidden_size * size
    return max(resizing, source + tower, source + connecting) + 3 * rows


def tower_bytes(config: VideoXL2Config, frames: int, size: int) -> int:
    """Return the tower's activations, by its widest step."""
    vision = config.vision
    cutting = 3 * vision.patch_size**2 + 2 * vision.hidden_size
    attention = 11 * vision.hidden_size  # a kernel may pad heads of 72 and so copy three
    mlp = 3 * vision.hidden_size + 2 * vision.intermediate_size
    return frames * vision.patches_per_side**2 * size * max(cutting, attention, mlp)


def connector_bytes(config: VideoXL2Config, frames: int, size: int) -> int:
    """Return the connector's activations, a lot of groups at a time, the features included."""
    width, hidden = config.vision.hidden_size, config.hidden_size
    patches = config.vision.patches_per_side**2
    lot = min(LOT_GROUPS, ceil(frames / FRAMES_PER_GROUP))
    maps = lot * FRAMES_PER_GROUP * width * GRID**2
    floats = lot * FRAMES_PER_GROUP * width * patches * 4 + maps * (4 + size)
    widest = max(floats, 12 * maps * size, 3 * lot * GRID**2 * hidden * size)
    return frames * patches * width * size + widest


def _run_rows(workload: Workload) -> int:
    """Return the rows that run together on a GPU: whole blocks until there are enough."""
    group = ceil(workload.tokens / workload.groups)
    return min(RUN_ROWS["cuda"] + workload.block_groups * group, workload.tokens)


def prefill_bytes(
    config: VideoXL2Config, rows: int, size: int = 2, tile_rows: int = TILE_ROWS["cuda"]
) -> int:
    """Return what is alive while `rows` rows run through a layer over the cache."""
    hidden, inner = config.hidden_size, int(config.language_model["intermediate_size"])
    spec = kv_spec(config)
    width = max(hidden, int(config.language_model["num_attention_heads"]) * spec.head_dim)
    mlp = rows * size * (4 * hidden + 4 * inner)
    attention = rows * (12 * width * size + 2 * width * 4)  # rotation is in float32
    tile = tile_rows * spec.kv_heads * spec.head_dim * (6 * size + 2 * 4)
    waiting = 2 * rows * hidden * size
    return max(mlp, attention + tile) + waiting


def unpacking_bytes(config: VideoXL2Config, kind: WeightKind) -> int:
    """Return what is alive while packed weights are turned back, a slice at a time."""
    largest = max(map(prod, _linears(config)))
    values = 0 if kind == "model" else min(SLICE_VALUES, largest)
    return values * (1 + 2 * 4 + HALF.itemsize)  # steps, floats, the activation's type


def assembly_bytes(spec: KVSpec) -> int:
    """Return what is alive beside the decoded cache while it is put together."""
    return 3 * spec.nbytes(BATCH_ROWS, torch.float32)
