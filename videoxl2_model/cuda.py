"""What is done differently on a CUDA device, and only that. Elsewhere all of it is plain torch."""

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# Variants of one function: types, strides, sizes of one. The compiler's own limit is 8.
VARIANTS = 64
_limit_raised: ContextVar[bool] = ContextVar("limit_raised", default=False)


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """Make an elementwise function of tensors one kernel on CUDA; elsewhere it runs as written.

    Compiled at the first call that is not being recorded as a graph, and run without gradients.
    Where Triton or a C compiler is missing it stays as written, and the log says so once.
    (Unmeasured: no GPU was at hand.)
    """
    compiled: Callable[P, R] | None = None
    failed = False

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal compiled, failed
        if failed or not _fuses(args[0]) or (compiled is None and _recording()):
            return function(*args, **kwargs)
        try:
            if compiled is None:
                compiled = torch.compile(function, dynamic=True)
            _raise_limit()
            with torch.no_grad():  # the mode is part of what a variant is compiled for
                return compiled(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 — the compiler is optional, whatever it raises
            failed = True
            logger.warning("%s stays unfused: %s", function.__name__, _first_line(error))
            return function(*args, **kwargs)

    return call


def _fuses(first: Any) -> bool:
    """True for a tensor on CUDA where Triton is, unless something larger is being compiled."""
    if not isinstance(first, Tensor) or first.device.type != "cuda" or not has_triton():
        return False
    return not torch.compiler.is_compiling()


def _recording() -> bool:
    """True in the middle of recording a CUDA graph, where compiling would break it."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _raise_limit() -> None:
    """Allow `VARIANTS` of a function, once in each context: the compiler's settings are its own."""
    if _limit_raised.get():
        return
    from torch._dynamo import config  # imported here: takes seconds, and a CPU never needs it

    config.recompile_limit = max(config.recompile_limit, VARIANTS)
    _limit_raised.set(True)


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
    return staged(host).to(device, non_blocking=True)


def staged(host: Tensor) -> Tensor:
    """Return a host tensor contiguous in pinned memory: a copy of any other one would wait."""
    if host.is_contiguous() and host.is_pinned():
        return host
    return pinned(host.shape, host.dtype).copy_(host)


def pinned(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, pin_memory=True)
