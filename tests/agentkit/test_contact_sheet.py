"""The sheet of cited frames."""

from pathlib import Path

import numpy as np
from PIL import Image

from agentkit.contact_sheet import contact_sheet


def test_every_frame_is_on_the_sheet_with_room_for_its_caption(tmp_path: Path) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    frames = [np.full((90, 160, 3), colour, np.uint8) for colour in colours]
    path = contact_sheet(frames, ["a\nb", "long " * 100, "", "d"], tmp_path / "new" / "sheet.png")
    sheet = np.asarray(Image.open(path).convert("RGB"))
    for colour in colours:
        assert (sheet == colour).all(axis=-1).sum() == 160 * 90


def test_no_frames_give_an_empty_sheet(tmp_path: Path) -> None:
    assert contact_sheet([], [], tmp_path / "sheet.png").is_file()
