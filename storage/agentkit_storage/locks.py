"""A lock between processes, freed by the system when its holder dies. Knows paths only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agentkit_storage.files import file_error

_POLL_S = 0.5


@contextmanager
def exclusive(
    path: Path, wait: bool, on_wait: Callable[[float], None] | None = None
) -> Iterator[bool]:
    """Give True with the lock held; False where another holds it and `wait` is False.

    `on_wait` is called now and again with the seconds waited so far.

    Raises:
        StoreError: the lock's file cannot be made.
    """
    lock = FileLock(path)
    if not _acquire(lock, path, wait, on_wait):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _acquire(
    lock: FileLock, path: Path, wait: bool, on_wait: Callable[[float], None] | None
) -> bool:
    waited_s = 0.0
    while True:
        try:
            lock.acquire(timeout=_POLL_S if wait else 0)
        except Timeout:
            if not wait:
                return False
            waited_s += _POLL_S
            if on_wait is not None:
                on_wait(waited_s)
        except OSError as error:
            raise file_error(error, path) from error
        else:
            return True
