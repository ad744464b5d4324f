"""Video-XL-2 in the words of its specification: slow, plain, float32, one thing after the other.

It shares no code with the package: that is what it is for. Weights and inputs come from their names
and shapes (README of the golden data). Sections are those of the specification: 2 sampling,
3 pictures, 4 tower, 5 and 6 groups, 7 DTS, 8 projector, 9 and 10 texts and rows, 11 language model,
12 chunk masks, 13 mixed cache, 14 greedy answers.
"""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PAD = 151654  # stands for picture tokens in the list of time ids
VIDEO = -200
SYSTEM_IDS = [151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198, 151644, 872, 198]
SYSTEM = "You are a helpful assistant."
TOWER = "model.vision_tower.vision_tower.vision_model."


# --- weights and inputs by formula


def draw(salt: str, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    return generator.standard_normal(tuple(shape), dtype=np.float32)


def parameter(salt: str, key: str, shape: Sequence[int]) -> Tensor:
    if key.endswith(("temporal_encoding", "position_embedding.weight")):
        size = 0.5
    elif key.endswith("embeddings_table"):
        size = 0.2
    elif key.endswith("embed_tokens.weight"):
        size = 1.0
    elif len(shape) == 1:
        size = 0.1
    else:
        size = 1 / math.sqrt(math.prod(shape[1:]))
        if re.search(r"\.(q_proj|k_proj|q|k)\.weight$", key):
            size = 1.5 / math.sqrt(math.prod(shape[1:]))
    numbers = draw(salt, key, shape) * np.float32(size)
    if len(shape) == 1 and key.endswith(".weight"):
        numbers += np.float32(1)
    return torch.from_numpy(numbers)


class Weights:
    """The parameters under one prefix of keys."""

    def __init__(self, salt: str, prefix: str = "") -> None:
        self.salt, self.prefix = salt, prefix
        self.drawn: dict[str, Tensor] = {}

    def __call__(self, key: str, *shape: int) -> Tensor:
        if key not in self.drawn:
            self.drawn[key] = parameter(self.salt, self.prefix + key, shape)
        return self.drawn[key]

    def linear(self, x: Tensor, key: str, out: int, bias: bool = True, ones: int = 0) -> Tensor:
        """x [..., in] -> [..., out]; `ones` trailing unit axes stand in the stored shape."""
        y = x @ self(f"{key}.weight", out, x.shape[-1], *[1] * ones).reshape(out, -1).T
        return y + self(f"{key}.bias", out) if bias else y


# --- 2 sampling


def loader_frames(case: dict[str, Any], pure: bool) -> list[int]:
    count, rate = case["total_frames"], case["video_fps"]
    if rate <= 0:
        return []

    def every(target: float) -> list[int]:
        return list(range(0, count, round(rate / target)))

    frames = every(case["target_fps"])
    if case["max_fps"] is not None:
        wished = min(case["max_frames"] // len(frames), case["max_fps"])
        if wished > case["target_fps"]:
            frames = every(wished)
    if 0 < case["max_frames"] < len(frames):
        frames = uniform_frames(count, case["max_frames"])
    return frames[: len(frames) - len(frames) % 4] if pure else frames


def uniform_frames(count: int, wanted: int) -> list[int]:
    if wanted == 1:
        return [0]
    step = (count - 1) / (wanted - 1)
    return [math.floor(i * step) for i in range(wanted - 1)] + [count - 1]


def times_of(frames: Sequence[int], rate: float) -> list[float]:
    return [round(frame / rate, 1) for frame in frames]


# --- 3 pictures


def resize(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """[H, W, 3] -> [3, size, size]: Pillow 11, whole rows first, 8 bit between."""
    across = _resize_rows(picture.transpose(2, 0, 1), size)
    return _resize_rows(across.transpose(0, 2, 1), size).transpose(0, 2, 1)


def _resize_rows(rows: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """[3, n, length] -> [3, n, size] with whole-number weights of 22 bits."""
    length = rows.shape[2]
    shrink = max(1.0, length / size)
    out = np.empty((*rows.shape[:2], size), np.uint8)
    for at in range(size):
        centre = (at + 0.5) * length / size
        first = max(0, int(centre - 2 * shrink + 0.5))
        stop = min(length, int(centre + 2 * shrink + 0.5))
        raw = [_cubic((i - centre + 0.5) / shrink) for i in range(first, stop)]
        weights = [w / sum(raw) * 2**22 for w in raw]
        whole = np.array([int(w + 0.5) if w >= 0 else int(w - 0.5) for w in weights])
        sums = (rows[:, :, first:stop].astype(np.int64) * whole).sum(2) + 2**21
        out[:, :, at] = np.clip(sums >> 22, 0, 255)
    return out


def _cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = picture.shape
    side = max(height, width)
    out = np.full((side, side, 3), 127, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    out[top : top + height, left : left + width] = picture
    return out


def normalise(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    scaled = (picture.astype(np.float64) * (1 / 255)).astype(np.float32)
    return (scaled - np.float32(0.5)) / np.float32(0.5)


# --- 4 tower


def layer_norm(x: Tensor, w: Weights, key: str, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    spread = ((x - mean) ** 2).mean(-1, keepdim=True)
    width = x.shape[-1]
    return (x - mean) / torch.sqrt(spread + eps) * w(f"{key}.weight", width) + w(
        f"{key}.bias", width
    )


def patches(w: Weights, v: dict[str, Any], pixels: Tensor) -> Tensor:
    """[T, 3, S, S] -> [T, P, C]: patches in rows, positions added."""
    size, width, side = v["patch_size"], v["hidden_size"], v["image_size"] // v["patch_size"]
    kernel = w("embeddings.patch_embedding.weight", width, 3, size, size).flatten(1)
    cut = [
        pixels[:, :, y * size : (y + 1) * size, x * size : (x + 1) * size].flatten(1)
        for y in range(side)
        for x in range(side)
    ]
    values = torch.stack(cut, 1) @ kernel.T + w("embeddings.patch_embedding.bias", width)
    return values + w("embeddings.position_embedding.weight", side * side, width)


def tower(w: Weights, v: dict[str, Any], pixels: Tensor) -> Tensor:
    """[T, 3, S, S] -> [T, P, C]: all layers but the last, no norm after them."""
    return torch.cat([_tower_frame(w, v, each[None]) for each in pixels])


def _tower_frame(w: Weights, v: dict[str, Any], pixels: Tensor) -> Tensor:
    x, width, heads = patches(w, v, pixels), v["hidden_size"], v["num_attention_heads"]
    eps = v["layer_norm_eps"]
    for index in range(v["num_hidden_layers"] - 1):
        name = f"encoder.layers.{index}."
        normed = layer_norm(x, w, f"{name}layer_norm1", eps)
        q, k, v_ = (
            w.linear(normed, f"{name}self_attn.{part}_proj", width).unflatten(2, (heads, -1))
            for part in "qkv"
        )
        weights = torch.einsum("tqhd,tkhd->thqk", q, k) * (width // heads) ** -0.5
        seen = torch.einsum("thqk,tkhd->tqhd", weights.softmax(-1), v_).flatten(2)
        x = x + w.linear(seen, f"{name}self_attn.out_proj", width)
        inner = w.linear(
            layer_norm(x, w, f"{name}layer_norm2", eps), f"{name}mlp.fc1", v["intermediate_size"]
        )
        inner = (
            0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        )
        x = x + w.linear(inner, f"{name}mlp.fc2", width)
    return x


# --- 5 and 6 groups


def interpolate(features: Tensor) -> Tensor:
    """[T, P, C] -> [T, C, 24, 24]: bilinear, half-pixel centres, no antialiasing."""
    side = math.isqrt(features.shape[1])
    mix = torch.zeros(24, side)
    for i in range(24):
        source = max((i + 0.5) * side / 24 - 0.5, 0.0)
        low = min(math.floor(source), side - 1)
        mix[i, low] += 1 - (source - low)
        mix[i, min(low + 1, side - 1)] += source - low
    grid = features.unflatten(1, (side, side))
    return torch.einsum("iy,tyxc,jx->tcij", mix, grid, mix)


def groups_of(maps: Tensor) -> Tensor:
    """[4G, C, y, x] -> [G, C, 4, y, x]: not a transpose but the same memory read anew."""
    width = maps.shape[1]
    out = torch.empty(len(maps) // 4, width, 4, *maps.shape[2:])
    for channel in range(width):
        for time in range(4):
            r = 4 * channel + time
            out[:, channel, time] = maps[r // width :: 4, r % width]
    return out


# --- 7 DTS


def group_norm(x: Tensor, w: Weights, key: str) -> Tensor:
    """Over each thirty-second of the channels and all axes after them; x [N, C, ...]."""
    width = x.shape[1]
    runs = x.reshape(len(x), 32, -1)
    mean = runs.mean(2, keepdim=True)
    spread = ((runs - mean) ** 2).mean(2, keepdim=True)
    axes = [1, width, *[1] * (x.dim() - 2)]
    normed = ((runs - mean) / torch.sqrt(spread + 1e-6)).reshape(x.shape)
    return normed * w(f"{key}.weight", width).reshape(axes) + w(f"{key}.bias", width).reshape(axes)


def spatial(x: Tensor, w: Weights, key: str) -> Tensor:
    """Attention among a time's positions, for every group and time; x [G, C, T, y, x]."""
    groups, width, times, height, across = x.shape
    normed = group_norm(x, w, f"{key}.norm")
    out = torch.empty_like(x)
    for g in range(groups):
        for t in range(times):
            tokens = normed[g, :, t].flatten(1).T
            q, k, v = (w.linear(tokens, f"{key}.{part}", width, ones=3) for part in "qkv")
            seen = (q @ k.T * width**-0.5).softmax(1) @ v
            out[g, :, t] = w.linear(seen, f"{key}.proj_out", width, ones=3).T.reshape(
                width, height, across
            )
    return x + out


def temporal(x: Tensor, w: Weights, key: str) -> Tensor:
    """Attention among a position's times; the relative key term is transposed, scaled once."""
    groups, width, times, height, across = x.shape
    pixels = x.permute(0, 3, 4, 1, 2).reshape(-1, width, times)
    normed = group_norm(pixels, w, f"{key}.norm").transpose(1, 2)  # [N, T, C]
    q, k, v = w.linear(normed, f"{key}.qkv", 3 * width, ones=1).split(width, 2)
    rk = w(f"{key}.relative_position_k.embeddings_table", 129, width)
    rv = w(f"{key}.relative_position_v.embeddings_table", 129, width)
    s = width**-0.25
    logits = torch.empty(len(pixels), times, times)
    for i in range(times):
        for j in range(times):
            content = ((s * q[:, i]) * (s * k[:, j])).sum(1)
            logits[:, i, j] = content + (s * q[:, j] * rk[64 + max(-64, min(64, i - j))]).sum(1)
    weights = logits.softmax(2)
    out = torch.zeros_like(normed)
    for i in range(times):
        for j in range(times):
            seen = v[:, j] + rv[64 + max(-64, min(64, j - i))]
            out[:, i] += weights[:, i, j, None] * seen
    out = w.linear(out, f"{key}.proj_out", width, ones=1)
    return x + out.reshape(groups, height, across, times, width).permute(0, 4, 3, 1, 2)


def convolution(x: Tensor, w: Weights, key: str) -> Tensor:
    """3 x 3 x 3, every second time; edges repeated, in time before the first only."""
    groups, width, times, height, across = x.shape
    kernel, out = w(f"{key}.conv.weight", width, width, 3, 3, 3), torch.zeros(0)
    out = (
        w(f"{key}.conv.bias", width)
        .reshape(1, -1, 1, 1, 1)
        .expand(groups, width, times // 2, height, across)
    )
    for dt in range(3):
        at = [max(0, 2 * n + dt - 1) for n in range(times // 2)]
        for dy in range(3):
            rows = [min(max(y + dy - 1, 0), height - 1) for y in range(height)]
            for dx in range(3):
                columns = [min(max(c + dx - 1, 0), across - 1) for c in range(across)]
                moved = x[:, :, at][:, :, :, rows][:, :, :, :, columns]
                out = out + torch.einsum("oc,gctyx->gotyx", kernel[:, :, dt, dy, dx], moved)
    return out


def dts(w: Weights, x: Tensor) -> list[Tensor]:
    """[G, C, 4, y, x] -> what each of the six blocks gives; the last is [G, C, 1, y, x]."""
    x = x + w("temporal_encoding", 4, x.shape[1]).T.reshape(1, -1, 4, 1, 1)
    given = []
    for index, block in enumerate((spatial, temporal, convolution) * 2):
        x = block(x, w, f"encoder.{index}")
        given.append(x)
    return given


# --- 8 projector


@dataclass(frozen=True)
class Connected:
    interpolated: Tensor  # [T, C, 24, 24]
    groups: Tensor  # [G, C, 4, 24, 24]
    blocks: list[Tensor]
    projected: Tensor  # [G, 576, H]
    tokens: Tensor  # [G, 144, H]; pictures [G, 576, H]


def connect(salt: str, features: Tensor, hidden: int, video: bool) -> Connected:
    maps = interpolate(features)
    whole = maps
    if video:
        while len(whole) % 4:
            whole = torch.cat((whole, maps[-1:]))
    else:
        whole = torch.cat([each[None] for each in maps for _ in range(4)])
    groups = groups_of(whole)
    blocks = dts(Weights(salt, "model.sae."), groups)
    projected = project(salt, blocks[-1][:, :, 0].flatten(2).transpose(1, 2), hidden)
    if not video:
        return Connected(maps, groups, blocks, projected, projected)
    grid = projected.unflatten(1, (12, 2, 12, 2))
    tokens = (
        grid[:, :, 0, :, 0] + grid[:, :, 0, :, 1] + grid[:, :, 1, :, 0] + grid[:, :, 1, :, 1]
    ) / 4
    return Connected(maps, groups, blocks, projected, tokens.flatten(1, 2))


def project(salt: str, tokens: Tensor, hidden: int) -> Tensor:
    w = Weights(salt, "model.mm_projector.")
    inner = w.linear(tokens, "0", hidden)
    return w.linear(0.5 * inner * (1 + torch.erf(inner / math.sqrt(2))), "2", hidden)


# --- 9 and 10 texts and rows


def time_ids(times: Sequence[float]) -> list[int]:
    """Ids of `Time 12.5s:` digit by digit, then 144 placeholders, for every fourth time."""
    ids: list[int] = []
    for first in times[::4]:
        digits = [13 if each == "." else 15 + int(each) for each in f"{round(first, 1)}"]
        ids += [1462, 220, *digits, 82, 25, *[PAD] * 144]
    return ids


def prompt(question: str) -> tuple[str, str]:
    """The prompt, and the prompt with its clock times in seconds."""
    marked = question if "<image>" in question else "<image>\n" + question
    text = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{marked}<|im_end|>\n"
    text += "<|im_start|>assistant\n"
    changed, at, found = text, 0, []
    while match := re.search("[0-9]{2}:[0-9]{2}", text[at:]):
        found.append(match[0])
        at += match.end()
    for each in found:
        seconds = 60 * int(each[:2]) + int(each[3:])
        changed = f"{seconds} seconds".join(changed.split(each))
    return text, changed


# --- 11 language model, 12 masks, 13 mixed cache, 14 answers


@dataclass(frozen=True)
class Kept:
    """A layer's keys, before rotation, and values: [H_kv, n, D]."""

    keys: Tensor
    values: Tensor


class Language:
    def __init__(self, salt: str, config: dict[str, Any]) -> None:
        self.w, self.c = Weights(salt), config
        self.table = self.w(
            "model.embed_tokens.weight", config["vocab_size"], config["hidden_size"]
        )

    def run(
        self, rows: Tensor, allowed: Tensor, past: Sequence[Kept] = ()
    ) -> tuple[Tensor, list[Kept]]:
        """Rows [n, H] after a cache of P; `allowed` [n, P + n]; positions are 0, 1, 2, ..."""
        c, kept = self.c, []
        heads, groups, size = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        for index in range(c["num_hidden_layers"]):
            name = f"model.layers.{index}."
            x = self.rms(rows, f"{name}input_layernorm")
            q, k, v = (
                self.w.linear(x, f"{name}self_attn.{part}_proj", n * size)
                .unflatten(1, (n, size))
                .transpose(0, 1)
                for part, n in (("q", heads), ("k", groups), ("v", groups))
            )
            if past:
                k = torch.cat((past[index].keys, k), 1)
                v = torch.cat((past[index].values, v), 1)
            kept.append(Kept(k, v))
            keys, total = self.rotate(k, 0), k.shape[1]
            query = self.rotate(q, total - len(rows))
            seen = []
            for head in range(heads):
                served = head // (heads // groups)
                scores = query[head] @ keys[served].T * size**-0.5
                weights = scores.masked_fill(~allowed, -math.inf).softmax(1)
                seen.append(weights @ v[served])
            width = c["hidden_size"]
            rows = rows + self.w.linear(torch.cat(seen, 1), f"{name}self_attn.o_proj", width, False)
            x = self.rms(rows, f"{name}post_attention_layernorm")
            gate = self.w.linear(x, f"{name}mlp.gate_proj", c["intermediate_size"], False)
            up = self.w.linear(x, f"{name}mlp.up_proj", c["intermediate_size"], False)
            inner = gate / (1 + torch.exp(-gate)) * up
            rows = rows + self.w.linear(inner, f"{name}mlp.down_proj", width, False)
        return self.rms(rows, "model.norm"), kept

    def rms(self, x: Tensor, key: str) -> Tensor:
        spread = (x * x).mean(-1, keepdim=True)
        return (
            x / torch.sqrt(spread + self.c["rms_norm_eps"]) * self.w(f"{key}.weight", x.shape[-1])
        )

    def rotate(self, x: Tensor, first: int) -> Tensor:
        """[H, n, D] turned by the angles of positions first, first + 1, ..."""
        half = x.shape[2] // 2
        speeds = torch.tensor(
            [self.c["rope_theta"] ** (-i / half) for i in range(half)], dtype=torch.float64
        )
        angles = torch.arange(first, first + x.shape[1], dtype=torch.float64)[:, None] * speeds
        cos, sin = angles.cos().float(), angles.sin().float()
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), 2)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.w.linear(hidden, "lm_head", self.c["vocab_size"], bias=False)

    def answer(
        self, hidden: Tensor, cache: list[Kept], tokens: int
    ) -> tuple[list[Tensor], list[int]]:
        """The logits that choose each token, and the cache's length before each."""
        rows, lengths = [self.logits(hidden[-1])], [cache[0].keys.shape[1]]
        while len(rows) < tokens:
            row = self.table[int(rows[-1].argmax())][None]
            seen = torch.ones(1, lengths[-1] + 1, dtype=torch.bool)
            hidden, cache = self.run(row, seen, cache)
            rows.append(self.logits(hidden[-1]))
            lengths.append(lengths[-1] + 1)
        return rows, lengths


def causal(length: int, past: int = 0) -> Tensor:
    return torch.ones(length, past + length, dtype=torch.bool).tril(past)


def blocks_of(ids: Sequence[int], block_groups: int, start: int) -> list[int]:
    """The block of every token of a list of time ids that begins at position `start`."""
    group, blocks = -1, []
    for index, each in enumerate(ids):
        group += each == 1462 and (index == 0 or ids[index - 1] == PAD)
        blocks.append(group // block_groups)
    return [-1] * start + blocks


def chunk_mask(
    ids: Sequence[int], start: int, length: int, block_groups: int, lookback: int
) -> Tensor:
    """Allowed pairs [L, L] as the five rules say."""
    block = blocks_of(ids, block_groups, start)
    pairs = torch.zeros(length, length, dtype=torch.bool)
    stop = start + len(ids)
    number = torch.tensor(block)
    behind = number[:, None] - number[None, :]
    pairs[:stop, :stop] = (behind >= 0) & (behind <= lookback)
    text = [start + index for index, each in enumerate(ids) if each != PAD]
    pairs[:, :start] = True
    pairs[stop:] = True
    pairs[text] = True
    pairs[:, text] = True
    return pairs & causal(length)


def mixed_cache(
    cache: list[Kept], ids: Sequence[int], start: int, units: Sequence[int], size: int, step: int
) -> list[Kept]:
    """Section 13, step 5: `size` groups a selection block, runs of `step` averaged."""
    block = [each + 1 for each in blocks_of(ids, size, start)]
    last = max(block)
    dense = {0, 1, last} | {math.floor(unit / (size / 2)) + 1 for unit in units}
    if not units:
        dense = set(range(last + 1))
    runs: list[list[int]] = []
    for position, number in enumerate(block):
        pooled = number not in dense and ids[position - start] == PAD
        if not pooled:
            runs.append([position])
        elif ids[position - start - 1] != PAD:  # the first of its group: all of the group's runs
            runs += [
                list(range(at, at + step)) for at in range(position, position + 145 - step, step)
            ]
    return [Kept(_averages(each.keys, runs), _averages(each.values, runs)) for each in cache]


def _averages(x: Tensor, runs: list[list[int]]) -> Tensor:
    return torch.stack([sum(x[:, i] for i in run) / len(run) for run in runs], 1)
