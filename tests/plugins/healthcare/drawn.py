"""A drawn clip of instruments and captions: no surgery, no tissue, and nobody in it is real.

Its seconds are true by construction: which phase is on, which instrument's name stands on screen,
when the critical view is noted. The patient, the surgeon and the dates are invented, to be hidden.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from agentkit.testing import Image, make_video

SIZE_PX = (640, 360)
FPS = 5
PATIENT, SURGEON = "Johanna Weber", "Kowalski"
BORN, OPERATED, RECORD = "14.03.1962", "2024-05-17", "4471982"
SECRETS = ("johanna", "weber", "kowalski", BORN, OPERATED, RECORD)
NOT_SURGERY = "DRAWN TEST CLIP, NO SURGERY"


@dataclass(frozen=True, slots=True)
class Part:
    """One phase: its step in cholec80.toml, how long it is drawn, and what is written meanwhile."""

    step: str
    seconds: float
    lines: tuple[str, ...]
    colour: tuple[int, int, int]


PARTS = (
    Part("preparation", 11.0, ("PHASE: PREPARATION", "TROCAR"), (120, 70, 60)),
    Part(
        "calot-dissection", 19.0,
        ("PHASE: CALOT TRIANGLE DISSECTION", "GRASPER   HOOK"), (140, 60, 50),
    ),
    Part("clipping", 13.0, ("PHASE: CLIPPING AND CUTTING", "CLIP APPLIER"), (150, 90, 70)),
    Part(
        "gallbladder-dissection", 18.0,
        ("PHASE: GALLBLADDER DISSECTION", "HOOK"), (110, 80, 40),
    ),
    Part("packaging", 9.0, ("PHASE: GALLBLADDER PACKAGING", "SPECIMEN BAG"), (90, 90, 80)),
    # This phase is never named: only what is done and held says which it is.
    Part("cleaning", 14.0, ("IRRIGATOR", "SUCTION OF FLUID"), (130, 50, 60)),
    Part("retraction", 10.0, ("PHASE: GALLBLADDER RETRACTION", "GRASPER"), (80, 60, 70)),
)  # fmt: skip
SECONDS = sum(part.seconds for part in PARTS)
CRITICAL_VIEW_S = (24.0, 30.0)  # before clipping, which begins at 30 s


def spans() -> list[tuple[str, float, float]]:
    """Return (step, start in s, end in s) of each phase, as drawn."""
    ends_s = np.cumsum([part.seconds for part in PARTS]).tolist()
    starts_s = [0.0, *ends_s[:-1]]
    return [(p.step, a, b) for p, a, b in zip(PARTS, starts_s, ends_s, strict=True)]


def part_at(time_s: float) -> Part:
    ends_s = np.cumsum([part.seconds for part in PARTS])
    return PARTS[min(int(np.searchsorted(ends_s, time_s, "right")), len(PARTS) - 1)]


def draw(number: int, time_s: float, size_px: tuple[int, int]) -> Image:
    """Draw one frame: a round field of view, a moving rod, captions above and below."""
    part = part_at(time_s)
    width, height = size_px
    picture = Pictures.new("RGB", size_px, (8, 8, 10))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((width // 2 - 130, 55, width // 2 + 130, 315), fill=part.colour)
    tip = (width // 2 + 60 * np.sin(time_s * 1.7), height // 2 + 40 * np.cos(time_s * 1.1))
    pen.line((width // 2 + 120, 300, *tip), fill=(190, 190, 200), width=14)
    pen.line((tip[0], tip[1], tip[0] - 16, tip[1] - 10), fill=(230, 230, 235), width=5)
    lines = [*part.lines]
    if CRITICAL_VIEW_S[0] <= time_s < CRITICAL_VIEW_S[1]:
        lines.append("CRITICAL VIEW OF SAFETY")
    for row, text in enumerate(lines):
        _write(pen, (16, 12 + 28 * row), text, 22)
    _write(pen, (16, 282), f"PATIENT: {PATIENT.upper()}  BORN {BORN}", 18)
    _write(pen, (16, 306), f"DR. {SURGEON.upper()}   MRN {RECORD}   {OPERATED}", 18)
    _write(pen, (16, 332), NOT_SURGERY, 16)
    return np.asarray(picture, dtype=np.uint8).copy()


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, px: int) -> None:
    font = ImageFont.load_default(px)
    pen.text(at, text, fill=(255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0))


def make(path: Path) -> Path:
    """Draw the clip into `path`."""
    return make_video(path, seconds=SECONDS, fps=FPS, size_px=SIZE_PX, draw=draw)
