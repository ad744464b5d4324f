"""How much arithmetic each stage does; a multiply and an add count as 2. What runs is counted:

the last layer's end, which a prefill leaves out, is not, and the projector's second Linear runs on
the quarter that pooling leaves.
"""

import checkout  # noqa: F401 — the package lies in this checkout

from videoxl2_model.config import GRID, TOKENS_PER_GROUP, PrefillConfig, VideoXL2Config
from videoxl2_model.layout import SegmentLayout
from videoxl2_model.videoxl2 import VideoXL2


def tower_flop(config: VideoXL2Config) -> float:
    """Return the tower's for one frame."""
    vision = config.vision
    patches, width = vision.patches_per_side**2, vision.hidden_size
    layer = 8 * patches * width**2 + 4 * patches**2 * width
    layer += 4 * patches * width * vision.intermediate_size
    return vision.kept_layers * layer + 6 * patches * vision.patch_size**2 * width


def connector_flop(config: VideoXL2Config) -> float:
    """Return DTS's and the projector's for one group; the second Linear runs on a quarter."""
    cells, width, hidden = GRID**2, config.vision.hidden_size, config.hidden_size
    flop = 0.0
    for times in (4, 2):
        linear = 8 * times * cells * width**2
        flop += linear + 4 * times * cells**2 * width  # in space
        flop += linear + 8 * cells * times**2 * width  # in time
        flop += (times // 2) * 2 * 27 * cells * width**2  # halving
    return flop + 2 * cells * width * hidden + 2 * TOKENS_PER_GROUP * hidden**2


def linear_flop(config: VideoXL2Config) -> float:
    """Return the language model's linear maps' for one token; the last layer's end is left out."""
    model = config.language_model
    hidden, layers = config.hidden_size, model["num_hidden_layers"]
    head = hidden // model["num_attention_heads"]
    qkv = 2 * hidden * (hidden + 2 * head * model["num_key_value_heads"])
    rest = 2 * hidden**2 + 6 * hidden * model["intermediate_size"]
    return float(layers * qkv + (layers - 1) * rest)


def attention_flop(config: VideoXL2Config, layout: SegmentLayout) -> float:
    """Return attention's for all of a video's rows, over the keys that they see."""
    pairs = 0
    for index, span in enumerate(layout.spans):
        block = layout.block_of(index)
        pairs += sum(position + 1 for position in span.time)
        hidden = layout.seen_from(block) - sum(map(len, layout.always(block)))
        pairs += sum(position + 1 - hidden for position in span.tokens)
    layers = config.language_model["num_hidden_layers"] - 1
    return 4.0 * config.hidden_size * layers * pairs


def laid_out(model: VideoXL2, num_frames: int, config: PrefillConfig) -> SegmentLayout:
    """Return the positions of a video of one frame a second."""
    layout = SegmentLayout(len(model.start().kv.system_ids), config)
    for first in range(0, num_frames, 4):
        time_ids = model.language.encode(f"Time {float(first)}s:")
        layout.add(len(time_ids), TOKENS_PER_GROUP)
    return layout
