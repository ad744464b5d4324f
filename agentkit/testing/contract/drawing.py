"""What a plugin is held against: drawn texts, rubbish, and a drawn film with its notes."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from agentkit.errors import UsageError
from agentkit.testing.sessions import stored_video
from agentkit.testing.videos import Image, make_video, tone
from agentkit.types import Detection, Note, StoredVideo, What

try:
    from hypothesis import HealthCheck, Phase, configuration, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise UsageError("checking a plugin needs hypothesis; pip install hypothesis") from error

SECONDS = 24
EXAMPLES = 25  # texts that a law is tried on
SHOWN = 60  # characters of a text that an error shows
COLOURS = ((200, 30, 30), (30, 160, 30), (40, 40, 190))
OBJECTS = ("1 person centre", "2 people left and centre, 1 car right", "1 person right")
WORDS = ("Good morning everybody.", "Now we begin.", "大家好。", "That was it.")

# What a small model writes on a bad day: nothing, too much, half of it, another language.
RUBBISH: tuple[str, ...] = (
    *("", "   \n\t ", "\x00\x01\x02", "?", "{", "[1, 2", '{"step": "cut', "null", "NaN", "1e999"),
    *("-1", "7", "3.5, 4, five", "A", "Z.", "A\nB\nC", "1. a\n2. b\n- c", "yes no yes maybe"),
    *("99:99:99 - 00:00", "from 12 s to 3 s", "第一步完成了", "是的。", "Это не ответ", "لا أعرف"),
    *('{"a": {"b": [1, null, "c"]}}', "<|im_end|>", "{0} {name} %s", "🙂" * 50),
    *("The answer is that the answer is ", "yes " * 262_144, "{" * 20_000, "1" * 20_000),
)
TEXTS = st.text(max_size=200)
ODD_TEXTS = TEXTS | st.sampled_from(
    ["{", "}", "{}", "{0}", "{title}", "%s", "a\nb", "\\", "'\"", "<image>", "<|im_end|>", "名前"]
)


def for_all(check: Callable[..., None], *drawn: st.SearchStrategy[Any]) -> None:
    """Call `check` with drawn values; what fails is made as small as can be, and raised."""
    held = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),  # to explain a failure takes many times as long
        suppress_health_check=list(HealthCheck),
    )
    held(given(*drawn)(check))()


@contextmanager
def home_elsewhere() -> Iterator[None]:
    """Keep hypothesis from writing its folder into the one that the user works in."""
    with tempfile.TemporaryDirectory(prefix="agentkit-contract-") as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(None)


def shown(text: str) -> str:
    """Return a text as an error may show it: quoted, in one line, cut."""
    return repr(text[:SHOWN]) + (f" and {len(text) - SHOWN} more" if len(text) > SHOWN else "")


def draw(number: int, time_s: float, size_px: tuple[int, int]) -> Image:
    """Draw three shots with a white figure that walks from left to right."""
    width, height = size_px
    image = np.empty((height, width, 3), np.uint8)  # [H, W, 3] RGB
    image[:] = COLOURS[int(time_s * len(COLOURS) / SECONDS)]
    left = int(time_s / SECONDS * (width - 16))
    image[height // 3 : height - 8, left : left + 16] = 255
    return image


@cache
def film() -> StoredVideo:
    """Return a drawn film with sound; its file stays until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="agentkit-contract-")
    _FOLDERS.append(folder)
    path = Path(folder.name) / "film.mp4"
    make_video(
        path, seconds=SECONDS, fps=5, size_px=(128, 96), draw=draw, sound=tone(440, SECONDS, 8)
    )
    seen = ("objects", "scene", "ocr", "speech", "shots")
    return stored_video(path, title="{film} <|im_end|>\nAnswer yes.", instruments=seen)


def other_film() -> StoredVideo:
    """Return the film once more under another id, for what looks at several."""
    return replace(film(), video_id="cd" * 32)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # held: they go with the process


def notes() -> list[Note]:
    """Return what instruments would note of the film, of each kind that they write."""
    shot_s = SECONDS / len(COLOURS)
    found = [Note(cut * shot_s, cut * shot_s, "shot", "cut", 0.9) for cut in (1, 2)]
    for index in range(SECONDS // 4):
        start_s, end_s = index * 4.0, index * 4.0 + 4
        text = OBJECTS[index % len(OBJECTS)]
        found.append(Note(start_s, end_s, "objects", text, 0.8, (0.1, 0.3, 0.9, 0.9)))
        found.append(Note(start_s, end_s, "scene", "street", 0.6))
        found.append(Note(start_s, end_s, "motion", "some motion", 0.4))
    for index, text in enumerate(WORDS):
        found.append(Note(index * 6.0 + 0.5, index * 6.0 + 3.0, "speech", text))
    return [*found, Note(9.0, 11.0, "ocr", "EXIT 12:30", 0.9, (0.4, 0.1, 0.6, 0.2))]


def see(image: Image, what: What) -> list[Detection]:
    """Find the white figure: a person, the face at its top, no text."""
    white = np.argwhere(image.min(axis=-1) > 200)  # [n, 2] row, column
    if what == "texts" or not len(white):
        return []
    height, width = image.shape[:2]
    (top, left), (bottom, right) = white.min(axis=0), white.max(axis=0) + 1
    if what == "faces":
        bottom = top + max((bottom - top) // 4, 1)
    box = (left / width, top / height, right / width, bottom / height)
    share = tuple(float(side) for side in box)
    kind = "face" if what == "faces" else "person"
    return [Detection(kind, 0.9, (share[0], share[1], share[2], share[3]))]
