"""What is in a picture, for plugins: boxes with names, as shares of the picture. Knows no video."""

import importlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import UnknownNameError
from agentkit.types import Detection, What

Look = Callable[[NDArray[np.uint8]], list[Detection]]  # at one picture [H, W, 3] RGB

# module:function, which takes the number of threads and gives a Look. Imported when asked for.
_LOADERS: Mapping[What, str] = {
    "objects": "agentkit.instruments.objects:load_look",
    "faces": "agentkit.instruments.faces:load_look",
    "texts": "agentkit.instruments.ocr:load_look",
}


class Detectors:
    """The detectors of a session, each loaded when it is first needed."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._looks: dict[str, Look] = {}

    def __call__(self, images: Sequence[NDArray[np.uint8]], what: What) -> list[list[Detection]]:
        """Return what is in each picture, best first.

        Raises:
            InstrumentMissingError: weights or an extra are missing.
            UnknownNameError: nothing detects `what`.
        """
        if what not in _LOADERS:
            raise UnknownNameError("detector", what, _LOADERS)
        if what not in self._looks:
            module, _, function = _LOADERS[what].partition(":")
            self._looks[what] = getattr(importlib.import_module(module), function)(self._threads)
        return [self._looks[what](image) for image in images]


def detection(kind: str, score: float, corners: Sequence[float] | NDArray[np.float32]) -> Detection:
    """Return a detection of corners (left, top, right, bottom) that may lie outside the picture."""
    left, top, right, bottom = (round(min(max(float(at), 0.0), 1.0), 5) for at in corners)
    return Detection(kind, round(float(score), 4), (left, top, right, bottom))
