"""What the tests of a whole tiny Video-XL-2 share."""

import numpy as np
from numpy.typing import NDArray
from torch.testing import assert_close

from videoxl2_model import GenerationSettings, VideoXL2
from videoxl2_model.weights import VideoModules

SHORT = GenerationSettings(max_new_tokens=6)


def drawn(count: int, height: int = 20, width: int = 28, seed: int = 0) -> NDArray[np.uint8]:
    """Random frames, [count, height, width, 3]."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def same_weights(one: VideoXL2, two: VideoXL2) -> None:
    """Hold two models to each other, number by number."""
    ours, theirs = (
        VideoModules(each.tower, each.connector, each.language.decoder.model).tensors()
        for each in (one, two)
    )
    assert_close(ours, theirs, rtol=0, atol=0)
