"""What is done differently on a CUDA device, and only that. Elsewhere all of it is plain torch."""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """Make an elementwise function of tensors one kernel on CUDA; elsewhere it runs as written.

    Compiled at the first call. Where Triton or a C compiler is missing it stays as written, and
    the log says so once. (Unmeasured: no GPU was at hand.)
    """
    compiled: Callable[P, R] | None = None
    failed = False

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal compiled, failed
        if failed or not _fuses(args[0]):
            return function(*args, **kwargs)
        try:
            if compiled is None:
                compiled = torch.compile(function, dynamic=True)
            return compiled(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 — the compiler is optional, whatever it raises
            failed = True
            logger.warning("%s stays unfused: %s", function.__name__, _first_line(error))
            return function(*args, **kwargs)

    return call


def _fuses(first: Any) -> bool:
    """True for a tensor on CUDA where Triton is; never in the middle of recording a graph."""
    if not isinstance(first, Tensor) or first.device.type != "cuda" or not has_triton():
        return False
    return not torch.compiler.is_compiling()


@lru_cache
def has_triton() -> bool:
    return find_spec("triton") is not None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def by_device(sizes: Mapping[str, int], device: torch.device) -> int:
    """Return the size for a kind of device; what has none of its own is treated as a CPU."""
    return sizes.get(device.type, sizes["cpu"])


def indexed(device: torch.device) -> torch.device:
    """Return the device that tensors put on `device` name: `cuda` means the current one."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def upload(values: list[int], device: torch.device) -> Tensor:
    """Return integers [n] on a device, without waiting for what it is doing."""
    host = torch.tensor(values, dtype=torch.int64)
    return move(host, device)


def move(host: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; from host to CUDA through pinned memory, without waiting."""
    if host.device == device or host.device.type != "cpu" or device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)
