"""Files that are there whole or not at all, and never in a source's place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentkit.errors import UsageError


def check_output(output: Path, source: Path | str) -> None:
    """Make sure that a file may be written there, before hours of work.

    Raises:
        UsageError: the folder is missing, it is a folder itself, or the video's own file.
    """
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder; make it first")
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file in it")
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise UsageError(f"{output}: is the video itself; name another file")


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """Give a path beside `output` to write to; it takes its place when all went well."""
    part = output.with_name(f".{output.stem}.{os.getpid()}.part{output.suffix}")
    try:
        yield part
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def write_whole(output: Path, content: bytes) -> None:
    """Write a file; whoever reads it meanwhile sees the one before."""
    with whole(output) as part:
        part.write_bytes(content)
