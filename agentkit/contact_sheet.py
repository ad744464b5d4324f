"""Frames side by side with their times: evidence that a person can look at."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

CELL_PX = (320, 180)
CAPTION_PX = 34
GAP_PX = 6


def contact_sheet(
    frames: Sequence[NDArray[np.uint8]], captions: Sequence[str], path: Path, columns: int = 3
) -> Path:
    """Write a PNG of frames, each [H, W, 3] RGB, with a caption under each; return its path."""
    rows = math.ceil(len(frames) / columns)
    cell_w, cell_h = CELL_PX[0] + GAP_PX, CELL_PX[1] + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (columns * cell_w + GAP_PX, rows * cell_h + GAP_PX), "#15181c")
    draw = ImageDraw.Draw(sheet)
    for place, (frame, caption) in enumerate(zip(frames, captions, strict=True)):
        left = GAP_PX + (place % columns) * cell_w
        top = GAP_PX + (place // columns) * cell_h
        picture = Image.fromarray(frame)
        picture.thumbnail(CELL_PX)
        inset = (CELL_PX[0] - picture.width) // 2, (CELL_PX[1] - picture.height) // 2
        sheet.paste(picture, (left + inset[0], top + inset[1]))
        for line, text in enumerate(caption.splitlines()[:2]):
            at = (left + 4, top + CELL_PX[1] + 2 + 15 * line)
            draw.text(at, _fit(draw, text, CELL_PX[0] - 8), fill="#e8eaed")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _fit(draw: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    """Return the text, shortened to a width."""
    if draw.textlength(text) <= width_px:
        return text
    while text and draw.textlength(f"{text}...") > width_px:
        text = text[:-1]
    return f"{text}..."
