"""Where an instrument's weights come from, and what is said when it cannot be had."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agentkit import models
from agentkit.errors import AgentkitError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

T = TypeVar("T")


class InstrumentMissingError(AgentkitError):
    """An instrument cannot run here; the message says what to do about it."""


def weight_file(model: str, pattern: str) -> Path:
    """Return the one file of a model's folder that fits `pattern`.

    Raises:
        InstrumentMissingError: the model is not in the model folder.
    """
    folder = weight_folder(model)
    found = sorted(folder.glob(pattern))
    if not found:
        raise InstrumentMissingError(_missing(model))
    return found[0]


def weight_folder(model: str) -> Path:
    """Return a model's folder.

    Raises:
        InstrumentMissingError: the model is not in the model folder.
    """
    if not models.available(model):
        raise InstrumentMissingError(_missing(model))
    return models.path(model)


def weights_version(model: str) -> str:
    """Return what names a model's weights: the hashes under which its files are accepted."""
    hashes = (file.digest.sha256[:16] for file in models.spec(model).files)
    return f"{model} {' '.join(hashes)}"


def require_extra(extra: str, module: str) -> None:
    """See that an optional package is there, without importing it.

    Raises:
        InstrumentMissingError: it is not; the message says how to install it.
    """
    if find_spec(module) is None:
        raise InstrumentMissingError(
            f"extra '{extra}' is not installed; pip install 'videoxl2-agentkit[{extra}]'"
        )


def once(make: Callable[[], T]) -> Callable[[], T]:
    """Return a function that makes its value when it is first called, and keeps it.

    A session that only answers questions never waits for a network that looks at frames.
    """
    made: list[T] = []

    def get() -> T:
        if not made:
            made.append(make())
        return made[0]

    return get


def onnx_session(model: Path | bytes, threads: int) -> "InferenceSession":
    """Return an ONNX Runtime session on the CPU with a fixed number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: old exports are warned of line by line
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _missing(model: str) -> str:
    return f"weights {model} missing; agentkit models pull {model}"
