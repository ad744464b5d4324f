"""Folders in the golden format for any configuration and cases, made by the naive twin.

Every function returns what a case's two files hold, (facts, arrays), under the names that the
public reference's own golden data use.
"""

import json
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import naive
import numpy as np
import torch
from naive import PAD, VIDEO
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

Made = tuple[dict[str, Any], dict[str, Tensor]]
STEPS = 8
SHOWN_IDS = [*naive.SYSTEM_IDS, VIDEO, 198, 3838, 374, 6839, 30, 151645, 198, 151644, 77091, 198]


def write(folder: Path, name: str, made: Made) -> None:
    facts, arrays = made
    (folder / f"{name}.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    if arrays:
        save_file(
            {k: v.clone().contiguous() for k, v in arrays.items()}, folder / f"{name}.safetensors"
        )


def listed(facts: dict[str, Any], arrays: dict[str, Tensor]) -> Made:
    tensors = {
        name: {"shape": list(each.shape), "dtype": str(each.dtype).removeprefix("torch.")}
        for name, each in arrays.items()
    }
    return {**facts, "tensors": tensors}, arrays


class Forge:
    """Cases of one configuration, a mapping as in the golden config_*.json."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.salt = config, config["salt"]
        self.tower = naive.Weights(self.salt, naive.TOWER)
        self.language = naive.Language(self.salt, config["language_model"])
        self.seen: dict[tuple[str, int], Tensor] = {}

    def pixels(self, name: str, frames: int) -> Tensor:
        size = self.config["vision"]["image_size"]
        return torch.from_numpy(naive.draw(self.salt, name, (frames, 3, size, size))) * 0.5

    def rows(self, name: str, frames: int) -> Tensor:
        """The visual tokens of drawn pixels, [G, 144, H]."""
        if (name, frames) not in self.seen:
            features = naive.tower(self.tower, self.config["vision"], self.pixels(name, frames))
            hidden = self.config["language_model"]["hidden_size"]
            made = naive.connect(self.salt, features, hidden, video=True)
            self.seen[name, frames] = made.tokens
        return self.seen[name, frames]

    def tower_case(self, frames: int, pixels_name: str) -> Made:
        pixels, vision = self.pixels(pixels_name, frames), self.config["vision"]
        kept = vision["num_hidden_layers"] - 1
        facts = {
            "config": self.config["name"],
            "frames": frames,
            "pixels_name": pixels_name,
            "pixels_shape": list(pixels.shape),
            "layers_kept": kept,
            "hidden_states_returned": kept + 1,
        }
        arrays = {
            "hidden": naive.tower(self.tower, vision, pixels),
            "embeddings_out": naive.patches(self.tower, vision, pixels),
        }
        return listed(facts, arrays)

    def connector_case(
        self,
        frames: int,
        features_name: str,
        *,
        video: bool,
        stages: bool = False,
        scale: float = 0.75,
    ) -> Made:
        vision, hidden = self.config["vision"], self.config["language_model"]["hidden_size"]
        shape = (frames, (vision["image_size"] // vision["patch_size"]) ** 2, vision["hidden_size"])
        features = torch.from_numpy(naive.draw(self.salt, features_name, shape)) * scale
        made = naive.connect(self.salt, features, hidden, video)
        arrays = {
            "tokens": made.tokens,
            "dts_output": made.blocks[-1],
            "projector_output": made.projected,
        }
        if stages:
            arrays["interpolated_frame0"] = made.interpolated[0]
            arrays["dts_input_group0"] = made.groups[0]
            arrays |= {f"dts_layer{i}_group0": each[0] for i, each in enumerate(made.blocks)}
        facts = {
            "config": self.config["name"],
            "frames": frames,
            "video": video,
            "features_name": features_name,
            "stages": stages,
            "features_shape": list(shape),
            "features_scale": scale,
            "dts_input_shape": list(made.groups.shape),
        }
        return listed(facts, arrays)

    def assembled_case(self, times: Sequence[float], pixels_name: str) -> Made:
        facts, rows = self._assembled(times, pixels_name)
        return listed(facts, {"inputs_embeds": rows})

    def _assembled(self, times: Sequence[float], pixels_name: str) -> tuple[dict[str, Any], Tensor]:
        ids, table = naive.time_ids(times), self.language.table
        start = SHOWN_IDS.index(VIDEO)
        middle = table[ids].clone()
        visual = self.rows(pixels_name, len(times))
        middle[torch.tensor(ids) == PAD] = visual.reshape(-1, table.shape[1])
        rows = torch.cat((table[SHOWN_IDS[:start]], middle, table[SHOWN_IDS[start + 1 :]]))
        facts = {
            "config": self.config["name"],
            "frames": len(times),
            "times": list(times),
            "question": "What is shown?",
            "pixels_name": pixels_name,
            "input_ids": SHOWN_IDS,
            "time_embedding_ids": ids,
            "visual_start": start,
            "visual_end": start + len(ids),
            "prompt_len": len(rows),
        }
        return facts, rows

    def pure_case(self, times: Sequence[float], pixels_name: str) -> Made:
        facts, rows = self._assembled(times, pixels_name)
        hidden, cache = self.language.run(rows, naive.causal(len(rows)))
        steps, arrays, _ = self._answered(hidden, cache)
        return listed({**facts, **steps}, {"inputs_embeds": rows, "final_hidden": hidden, **arrays})

    def chunk_case(
        self,
        times: Sequence[float],
        pixels_name: str,
        block: int,
        lookback: int,
    ) -> Made:
        facts, rows = self._assembled(times, pixels_name)
        mask = self._mask(facts, block, lookback)
        hidden, cache = self.language.run(rows, mask)
        steps, arrays, lengths = self._answered(hidden, cache)
        facts |= {"block_size": block, "prev_blocks": lookback, **steps}
        facts |= {"ratio": int(mask.sum()) / (len(rows) * (len(rows) + 1) // 2)}
        facts |= {"kv_len_per_step": [self._per_layer(each) for each in lengths]}
        arrays |= {"inputs_embeds": rows, "final_hidden": hidden, "mask_packed": packed(mask)}
        return listed(facts, arrays)

    def selected_case(
        self,
        times: Sequence[float],
        pixels_name: str,
        block: int,
        lookback: int,
        units: Sequence[int] | None,
        size: int,
        step: int,
        mixed: bool = False,
    ) -> Made:
        facts, rows = self._assembled(times, pixels_name)
        facts |= {"block_size": block, "prev_blocks": lookback, "selected_units": units}
        if units is None:
            return self._unselected(facts, rows)
        mask = self._mask(facts, block, lookback)
        before, cache = self.language.run(rows, mask)
        start, length = facts["visual_start"], len(rows)
        cache = naive.mixed_cache(cache, facts["time_embedding_ids"], start, units, size, step)
        arrays = {
            "inputs_embeds": rows,
            "prefill_final_hidden": before,
            "mask_packed": packed(mask),
        }
        for layer, each in enumerate(cache if mixed else ()):
            arrays |= {
                f"mixed_key_layer{layer}": each.keys,
                f"mixed_value_layer{layer}": each.values,
            }
        p, suffix = cache[0].keys.shape[1], rows[facts["visual_end"] :]
        hidden, cache = self.language.run(suffix, naive.causal(len(suffix), p), cache)
        steps, more, lengths = self._answered(hidden, cache)
        config = {"selected_topk": len(units), "selected_chunk_size": size, "compression": step}
        spans = [[0, length - 1], [p, p + len(suffix) - 1], *([n, n] for n in lengths[:-1])]
        facts |= {"selected_config": config, **steps, "position_ids_first_last_per_forward": spans}
        facts |= {
            "number_of_model_forwards": len(spans),
            "mixed_kv_length_per_layer": self._per_layer(p),
        }
        facts |= {"kv_len_per_forward": [self._per_layer(each) for each in (length, *lengths)]}
        return listed(facts, {**arrays, **more, "suffix_final_hidden": hidden})

    def _unselected(self, facts: dict[str, Any], rows: Tensor) -> Made:
        hidden, cache = self.language.run(rows, naive.causal(len(rows)))
        steps, arrays, lengths = self._answered(hidden, cache)
        spans = [[0, len(rows) - 1], *([n, n] for n in lengths[:-1])]
        facts |= {"selected_config": None, **steps, "position_ids_first_last_per_forward": spans}
        facts |= {"number_of_model_forwards": len(spans)}
        facts |= {"kv_len_per_forward": [self._per_layer(each) for each in lengths]}
        return listed(facts, {"inputs_embeds": rows, "prefill_final_hidden": hidden, **arrays})

    def _per_layer(self, value: int) -> list[int]:
        return [value] * self.config["language_model"]["num_hidden_layers"]

    @staticmethod
    def _mask(facts: dict[str, Any], block: int, lookback: int) -> Tensor:
        ids, start = facts["time_embedding_ids"], facts["visual_start"]
        return naive.chunk_mask(ids, start, facts["prompt_len"], block, lookback)

    def _answered(
        self, hidden: Tensor, cache: list[naive.Kept]
    ) -> tuple[dict[str, Any], dict[str, Tensor], list[int]]:
        logits, lengths = self.language.answer(hidden, cache, STEPS)
        steps = []
        for row in logits:
            best = row.topk(8)
            values = [round(each, 6) for each in best.values.tolist()]
            ids = best.indices.tolist()
            gap = round(float(best.values[0] - best.values[1]), 6)
            steps.append(
                {"token": ids[0], "top8_ids": ids, "top8_logits": values, "gap_top1_top2": gap}
            )
        facts = {"steps": steps, "greedy_tokens": [each["token"] for each in steps]}
        arrays = {
            "logits_first": logits[0],
            "logits_steps_subset": torch.stack([row[::64] for row in logits]),
        }
        return facts, arrays, lengths


def packed(mask: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(mask.numpy()))


def dts_case(salt: str, prefix: str, name: str, shape: Sequence[int]) -> Made:
    """DTS alone, under its own salt, key prefix, width and grid; shape [G, C, 4, y, x]."""
    given = torch.from_numpy(naive.draw(salt, name, shape)) * 1.25
    blocks = naive.dts(naive.Weights(salt, prefix), given)
    arrays = {f"layer{index}": each for index, each in enumerate(blocks[:-1])}
    facts = {
        "input_name": name,
        "input_shape": list(shape),
        "input_scale": 1.25,
        "width": shape[1],
        "weight_key_prefix": prefix,
        "salt": salt,
    }
    return listed(facts, {"output": blocks[-1], **arrays})


def masks_case(config: str, rules: Sequence[tuple[Sequence[float], int, int]]) -> Made:
    """Chunk masks of (times, groups a block, blocks looked back)."""
    arrays: dict[str, Tensor] = {}
    masks = []
    for times, block, lookback in rules:
        name = f"mask_f{len(times)}_b{block}_p{lookback}"
        ids, start = naive.time_ids(times), SHOWN_IDS.index(VIDEO)
        length = len(SHOWN_IDS) - 1 + len(ids)
        mask = naive.chunk_mask(ids, start, length, block, lookback)
        arrays[name] = packed(mask)
        text = [each != PAD for each in ids]
        edges = [at for at, (a, b) in enumerate(pairwise([False, *text, False])) if a != b]
        pairs, allowed = length * (length + 1) // 2, int(mask.sum())
        masks.append(
            {
                "name": name,
                "frames": len(times),
                "block_size": block,
                "prev_blocks": lookback,
                "times": list(times),
                "question": "What is shown?",
                "L": length,
                "allowed": allowed,
                "causal_total": pairs,
                "ratio": allowed / pairs,
                "input_ids": SHOWN_IDS,
                "time_embedding_ids": ids,
                "total_len": length,
                "num_blocks": -(-len(times) // (4 * block)),
                "time_token_start_indices": [start + at for at in edges[::2]],
                "time_token_end_indices": [start + at for at in edges[1::2]],
                "visual_start": start,
                "visual_end": start + len(ids),
            }
        )
    return listed({"config": config, "masks": masks}, arrays)


def sampling_case(
    videos: Sequence[tuple[int, float, float, int, float | None]],
    uniform: Sequence[tuple[int, float, int]],
) -> Made:
    """Videos: (frames, rate, target rate, cap, ceiling); spread ones: (frames, rate, count)."""
    loaded = []
    for count, rate, target, cap, ceiling in videos:
        case: dict[str, Any] = {
            "total_frames": count,
            "video_fps": rate,
            "target_fps": target,
            "max_frames": cap,
            "max_fps": ceiling,
        }
        loaded.append({**case, **{name: _loaded(case, name) for name in ("pure", "w_chunk")}})
    spread = []
    for count, rate, wanted in uniform:
        frames = naive.uniform_frames(count, wanted)
        case = {"total_frames": count, "video_fps": rate, "frames": wanted}
        spread.append({**case, "frame_indices": frames, "timestamps": naive.times_of(frames, rate)})
    return {"load_video": loaded, "load_video_uniform": spread}, {}


def _loaded(case: dict[str, Any], loader: str) -> dict[str, Any]:
    try:
        frames = naive.loader_frames(case, loader == "pure")
    except (ValueError, ZeroDivisionError) as error:
        return {"error": type(error).__name__}
    times = naive.times_of(frames, case["video_fps"])
    texts = [f"Time {each}s:" for each in times[::4]]
    return {"frame_indices": frames, "timestamps": times, "time_texts": texts}


def prompt_case(
    questions: Sequence[str], times: Sequence[float], vocabulary: dict[str, int]
) -> Made:
    """Prompts whose ids are those of a vocabulary of single characters."""
    prompts = []
    for question in questions:
        before, after = naive.prompt(question)
        parts = [[vocabulary[each] for each in part] for part in after.split("<image>")]
        prompts.append(
            {
                "question": question,
                "prompt": before,
                "prompt_after_time_conversion": after,
                "input_ids": [*parts[0], VIDEO, *parts[1]],
            }
        )
    texts = [
        {"time": each, "text": f"Time {each}s:", "ids": naive.time_ids([each])[:-144]}
        for each in times
    ]
    return {"prompts": prompts, "time_texts": texts}, {}


def preprocess_case(
    salt: str, sizes: Sequence[tuple[int, int]], still: tuple[int, int], size: int = 384
) -> Made:
    """Drawn pictures of (height, width), resized; the still one is cut from the last."""
    arrays: dict[str, Tensor] = {}
    cases = []
    for height, width in sizes:
        small = naive.resize(picture(salt, height, width, height, width), size)
        arrays[f"frame0_u8_{height}x{width}"] = torch.from_numpy(small.copy())
        first = naive.normalise(small)[:, 0, 0].tolist()
        cases.append({"height": height, "width": width, "exact_values_first_pixel": first})
    height, width = still
    padded = naive.square(picture(salt, *sizes[-1], height, width))
    name = f"still_image_padded_square_u8_{height}x{width}"
    arrays[name] = torch.from_numpy(naive.resize(padded, size).copy())
    drawn = "{}x{}".format(*sizes[-1])
    facts = {
        "input_formula": f"seed crc32('{salt}preprocess/HxW'); blocks = Generator(PCG64(seed))"
        ".integers(0,256,size=(ceil(H/8),ceil(W/8),3),dtype=uint8); frame = each block repeated"
        " 8x8, cropped to HxW",
        "cases": cases,
        "still_image": f"the {drawn} frame's blocks, repeated and cropped to {height}x{width}, put"
        " through the still-image path (pad to a square with grey 127, then the same processor)",
        "tensors": {key: list(each.shape) for key, each in arrays.items()},
    }
    return facts, arrays


def picture(
    salt: str, drawn_height: int, drawn_width: int, height: int, width: int
) -> NDArray[np.uint8]:
    """Squares of 8 x 8 pixels drawn for one size, cut to another: [height, width, 3]."""
    seed = zlib.crc32(f"{salt}preprocess/{drawn_height}x{drawn_width}".encode())
    shape = (-(-drawn_height // 8), -(-drawn_width // 8), 3)
    blocks = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, size=shape, dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
