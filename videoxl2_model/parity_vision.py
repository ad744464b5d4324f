"""Cases of pictures: a tower, b connector, c DTS alone, preprocess."""

import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videoxl2_model.config import FRAMES_PER_GROUP
from videoxl2_model.connector import interpolate, padded, to_groups
from videoxl2_model.errors import SettingError
from videoxl2_model.golden import drawn_input
from videoxl2_model.parity_model import GoldenModel, golden_dts
from videoxl2_model.parity_report import Report
from videoxl2_model.pixels import normalise, resize, square

BLOCK = 8  # pixels a side of the drawn squares in a preprocess picture


def check_tower(model: GoldenModel, facts: Mapping[str, Any], report: Report) -> None:
    """Case a: drawn pixels through the tower."""
    report.what = f"tower, frames: {facts['frames']}"
    pixels = model.pixels(facts["pixels_name"], facts["frames"])
    report.equal("pixels_shape", list(pixels.shape), facts["pixels_shape"])
    report.equal("layers_kept", model.config.model.vision.kept_layers, facts["layers_kept"])
    report.array("embeddings_out", model.tower.embed(pixels))
    report.array("hidden", model.tower(pixels))


def check_connector(model: GoldenModel, facts: Mapping[str, Any], report: Report) -> None:
    """Case b: drawn features through the connector, its stages on the way."""
    video, connector = facts["video"], model.connector
    report.what = f"connector, {'frames' if video else 'pictures'}: {facts['frames']}"
    features = drawn_input(
        facts["features_name"], facts["features_shape"], model.salt, facts["features_scale"]
    ).to(connector.sae.temporal_encoding.device)
    report.equal("frames", len(features), facts["frames"])
    whole = padded(features) if video else features.repeat_interleave(FRAMES_PER_GROUP, dim=0)
    maps = interpolate(whole)
    groups = to_groups(maps)
    report.equal("dts_input_shape", list(groups.shape), facts["dts_input_shape"])
    _one_of_each(report, "interpolated_frame", maps[:: 1 if video else FRAMES_PER_GROUP])
    _one_of_each(report, "dts_input_group", groups)

    def observe(index: int, given: Tensor) -> None:
        _one_of_each(report, f"dts_layer{index}_group", given)

    compressed = connector.sae(groups, observe)
    report.array("dts_output", compressed.unsqueeze(2))
    report.array("projector_output", connector.unpooled(compressed))
    report.array("tokens", connector(features) if video else connector.image(features))


def _one_of_each(report: Report, name: str, values: Tensor) -> None:
    """Compare name0, name1, ... as far as the case has them."""
    for index, value in enumerate(values):
        report.array(f"{name}{index}", value)


def check_dts(facts: Mapping[str, Any], salt: str, report: Report) -> None:
    """Case c: DTS alone, at its own width, under its own salt and prefix of keys."""
    shape = facts["input_shape"]
    report.what = f"DTS, {shape[1]} wide, {shape[0]} groups of {shape[3]} x {shape[4]}"
    report.tolerance = 2e-4
    dts = golden_dts(facts["width"], facts["weight_key_prefix"], salt)
    groups = drawn_input(facts["input_name"], shape, salt, facts["input_scale"])
    result = dts(groups, lambda index, given: report.array(f"layer{index}", given))
    report.array("output", result.unsqueeze(2))


def check_preprocess(facts: Mapping[str, Any], report: Report) -> None:
    """Case preprocess: drawn pictures resized to the last bit, and their first values."""
    report.what = f"resized pictures: {len(report.arrays)}"
    found = re.search(r"crc32\('(.*?)HxW'\)", facts["input_formula"])
    if found is None:
        raise SettingError("input_formula names no crc32('...HxW')")
    prefix = found[1]
    for case in facts["cases"]:
        height, width = case["height"], case["width"]
        name = f"frame0_u8_{height}x{width}"
        small = _resized(picture(prefix, height, width), report.arrays.get(name))
        report.array(name, small[0])
        values = normalise(small, torch.float32)[0, :, 0, 0].tolist()
        report.equal(f"values of {name}", values, case["exact_values_first_pixel"])
    _check_still(prefix, facts.get("still_image", ""), report)


def _check_still(prefix: str, text: str, report: Report) -> None:
    """Still pictures: their sizes stand in their names, what they are cut from in a sentence."""
    source = re.search(r"the (\d+)x(\d+) frame's blocks", text)
    for name in [each for each in report.arrays if each.startswith("still_image")]:
        size = re.search(r"(\d+)x(\d+)$", name)
        if source is None or size is None:
            raise SettingError(f"{name}: still_image does not say which frame it is cut from")
        drawn = picture(prefix, int(source[1]), int(source[2]))
        cut = square(drawn[: int(size[1]), : int(size[2])])
        report.array(name, _resized(cut, report.arrays[name])[0])


def _resized(image: Tensor, golden: Tensor | None) -> Tensor:
    """[H, W, 3] -> [1, 3, S, S], S that of the golden picture."""
    return resize(image[None], 384 if golden is None else golden.shape[-1])


def picture(prefix: str, height: int, width: int) -> Tensor:
    """Return a drawn picture, 8-bit [height, width, 3], of squares of one colour."""
    seed = zlib.crc32(f"{prefix}{height}x{width}".encode())
    shape = (math.ceil(height / BLOCK), math.ceil(width / BLOCK), 3)
    generator = np.random.Generator(np.random.PCG64(seed))
    blocks = generator.integers(0, 256, size=shape, dtype=np.uint8)
    whole = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return torch.from_numpy(whole[:height, :width].copy())
